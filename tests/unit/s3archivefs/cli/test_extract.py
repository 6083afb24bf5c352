"""The command `extract`: what it makes, what it says, and how it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fixtures.shapes import text
from tests.support.command_line import run
from tests.support.images.built import build, directory, file, special, symlink
from tests.support.images.extracted import tree_of
from tests.support.images.fixtures import FIXTURES

IMAGE = FIXTURES["gzip"].image
FILES = {"block.txt", "docs/deep/page.txt", "docs/guide.txt", "empty.txt", "noise.bin", "short.txt"}

REFUSALS = (
    "fifo: a fifo is no data; the filters tar and fully-trusted keep it",
    "l: a symlink to /etc, an absolute path; the filter tar keeps it",
)


def files(top: Path) -> set[str]:
    return {name for name, made in tree_of(top).items() if isinstance(made, bytes)}


def test_everything_is_extracted_without_a_word(tmp_path: Path) -> None:
    ran = run("extract", IMAGE, "-C", tmp_path / "out")
    assert (ran.code, ran.written, ran.errors) == (0, b"", "")
    assert files(tmp_path / "out") == FILES


def test_members_are_made_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("extract", f"{IMAGE}/docs/deep").code == 0
    assert files(tmp_path) == {"docs/deep/page.txt"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/docs", "short.txt"], {"docs/deep/page.txt", "docs/guide.txt", "short.txt"}),
        (["--include", "*.bin", "--include", "/docs/deep"], {"noise.bin", "docs/deep/page.txt"}),
        (["--exclude", "docs", "--exclude", "*.txt"], {"noise.bin"}),
        (["--strip-components", "1"], {"deep/page.txt", "guide.txt"}),
        (["/docs/deep/page.txt", "--strip-components=2", "-j", "1"], {"page.txt"}),
    ],
)
def test_options_select(arguments: list[str], expected: set[str], tmp_path: Path) -> None:
    assert run("extract", IMAGE, *arguments, "-C", tmp_path).code == 0
    assert files(tmp_path) == expected


def test_what_stands_there_is_a_fault_and_the_rest_is_extracted(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("mine")
    ran = run("extract", IMAGE, "-C", tmp_path)
    what = "something stands there: --force replaces it, --no-clobber keeps it"
    assert ran.errors == f"s3archivefs: {tmp_path}/short.txt: {what}\n"
    assert ran.code == 1
    assert files(tmp_path) == FILES
    assert (tmp_path / "short.txt").read_text() == "mine"
    assert run("extract", IMAGE, "-n", "-C", tmp_path).code == 0
    assert (tmp_path / "short.txt").read_text() == "mine"
    assert run("extract", IMAGE, "-f", "-C", tmp_path).code == 0
    assert (tmp_path / "short.txt").read_text() != "mine"


FILE_IN_THE_WAY = "docs: a file stands there, where a directory is to be: --force replaces it"
LINK_IN_THE_WAY = "a symlink stands there in the target, and is not followed: replace or remove it"
IN_THE_WAY = "short.txt: a directory stands there: --no-clobber keeps it; else remove it"


@pytest.mark.parametrize(
    ("standing", "option", "says"),
    [
        ("a file", [], FILE_IN_THE_WAY),
        ("a file", ["-n"], FILE_IN_THE_WAY),
        ("a file", ["-f"], ""),
        ("a symlink", [], LINK_IN_THE_WAY),
        ("a symlink", ["-n"], LINK_IN_THE_WAY),
        ("a symlink", ["-f"], ""),
        ("a directory", [], IN_THE_WAY),
        ("a directory", ["-f"], IN_THE_WAY),
        ("a directory", ["-n"], ""),
    ],
)
def test_what_helps_is_said_of_what_stands_in_the_way(
    standing: str, option: list[str], says: str, tmp_path: Path
) -> None:
    if standing == "a file":
        (tmp_path / "docs").touch()
    elif standing == "a symlink":
        (tmp_path / "docs").symlink_to(".")
    else:
        (tmp_path / "short.txt").mkdir()
    ran = run("extract", IMAGE, *option, "-C", tmp_path)
    assert ran.code == bool(says)
    assert says in ran.errors
    assert ran.errors.count("\n") == bool(says)


def test_owners_are_for_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ran = run("extract", IMAGE, "--owner", "--filter", "tar", "-C", tmp_path / "out")
    assert ran.code == 2
    assert "--owner is for root" in ran.errors
    assert not (tmp_path / "out").exists()


def test_json_says_what_was_made(tmp_path: Path) -> None:
    target = tmp_path / "out"
    (made,) = run("extract", "--json", IMAGE, "-C", target).items
    assert made == {"files": 6, "size": 13788, "directories": 3, "others": 1, "kept": 0}
    (made,) = run("extract", "--json", "-n", IMAGE, "-C", target).items
    assert made == {"files": 0, "size": 0, "directories": 0, "others": 0, "kept": 7}


def test_refused_members_are_faults_and_the_rest_is_extracted(tmp_path: Path) -> None:
    image = tmp_path / "hostile.sqfs"
    top = {b"f": file(b"f"), b"fifo": special(6), b"l": symlink(b"/etc")}
    image.write_bytes(bytes(build(directory(top))))
    ran = run("extract", image, "-C", tmp_path / "out")
    assert ran.errors.splitlines() == [f"s3archivefs: {image}: {refusal}" for refusal in REFUSALS]
    assert ran.code == 1
    assert tree_of(tmp_path / "out") == {"f": b"f"}
    trusting = ("--filter", "tar", "--exclude", "fifo", "-n", "-C", tmp_path / "out")
    assert run("extract", image, *trusting).code == 0
    assert tree_of(tmp_path / "out") == {"f": b"f", "l": "/etc"}


def test_names_in_refusals_are_printed_as_everywhere(tmp_path: Path) -> None:
    image = tmp_path / "odd.sqfs"
    image.write_bytes(bytes(build(directory({b"\xff\n\\": symlink(b"/\x1b")}))))
    ran = run("extract", image, "-C", tmp_path / "out")
    refusal = r"\xff\x0a\\: a symlink to /\x1b, an absolute path; the filter tar keeps it"
    assert ran.errors == f"s3archivefs: {image}: {refusal}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/nowhere"], 3, "/nowhere: No such file or directory"),
        (["/short.txt/x"], 3, "Not a directory"),
        (["--owner"], 2, "--owner takes --filter tar or --filter fully-trusted"),
        (["--jobs", "0"], 2, "--jobs takes 1 or more"),
        (["--include", ""], 2, "include has '', which matches no name"),
        (["-C", ""], 2, "give a directory after -C"),
    ],
)
def test_what_cannot_be_done_has_its_exit_code(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    ran = run("extract", IMAGE, "-C", tmp_path / "out", *arguments)
    assert ran.code == code
    assert says in ran.errors
    assert ran.errors.count("\n") == 1


def test_a_target_that_is_no_directory_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = run("extract", IMAGE, "-C", tmp_path / "file")
    assert ran.errors == f"s3archivefs: {tmp_path}/file: Not a directory\n"
    assert ran.code == 1


def test_a_damaged_file_is_a_fault_and_the_rest_is_extracted(tmp_path: Path) -> None:
    image = tmp_path / "damaged.sqfs"
    top = {b"bad": file(text(9), words=[9]), b"good": file(b"good")}
    image.write_bytes(bytes(build(directory(top))))
    assert run("extract", image, "-C", tmp_path / "out").code == 4
    assert tree_of(tmp_path / "out") == {"good": b"good"}


def test_a_full_disk_is_one_line_that_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def write(handle: int, piece: bytes) -> int:
        if len(piece) > 4000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(handle, piece)

    monkeypatch.setattr(os, "write", write)
    ran = run("extract", IMAGE, "-C", tmp_path, "--json")
    assert ran.code == 1
    (line,) = ran.errors.splitlines()
    assert line.startswith(f"s3archivefs: {tmp_path}/")
    assert line.endswith(
        ": No space left on device: what is extracted is whole; make room and go on with"
        " --no-clobber"
    )
    made_so_far = files(tmp_path)
    (said,) = ran.items
    assert said["files"] == len(made_so_far) < len(FILES)
    assert said["size"] == sum((tmp_path / name).stat().st_size for name in made_so_far)
    monkeypatch.undo()
    assert run("extract", IMAGE, "-n", "-C", tmp_path).code == 0
    assert files(tmp_path) == FILES


def test_json_says_what_was_made_whatever_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"files": 0, "size": 0, "directories": 0, "others": 0, "kept": 0}
    ran = run("extract", IMAGE, "-C", tmp_path, "--json", "/nowhere", "/short.txt")
    assert (ran.code, ran.items) == (3, [nothing | {"files": 1, "size": 700}])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupt)
    ran = run("extract", IMAGE, "-C", tmp_path / "out", "--json")
    assert ran.code == 130
    assert [each["files"] for each in ran.items] == [1]  # the one without content


def test_json_says_nothing_where_nothing_began(tmp_path: Path) -> None:
    wrong = (["--jobs", "0"], ["-C", ""], ["--include", ""], ["--exclude", "/"])
    for image, *options in ((tmp_path / "missing",), *((IMAGE, *each) for each in wrong)):
        ran = run("extract", "--json", image, *options)
        assert ran.code in {2, 3}
        assert ran.written == b""


def test_progress_counts_files_and_bytes(tmp_path: Path) -> None:
    ran = run("extract", "--progress", IMAGE, "-C", tmp_path)
    assert ran.errors.startswith("6 of 6 files, 14K of 14K")
    ran = run("extract", "--progress", IMAGE, "-n", "-C", tmp_path, "--include", "*.bin")
    assert ran.errors.startswith("1 files, 4.0K")
