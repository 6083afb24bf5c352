from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import s3archivefs
from fixtures.shapes import text
from fixtures.tree import directory, file, hard_link, symlink
from s3archivefs.cli import main
from tests.support.images.fixtures import FIXTURES, make_image
from tests.support.processes.terminal import Terminal

NAMES = ("new\nline", "back\\slash", "return\r", "-dash", " space ", "not-utf8-\udcff", "a\\nb")
FILES = {name: name.encode(errors="surrogateescape") * 9 for name in NAMES}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of files with odd names, twice over: one is large, one is in two places."""
    tree = [file(name, content) for name, content in FILES.items()]
    tree += [directory("d\n")]
    tree += [file(f"d\n/{name}", content) for name, content in FILES.items()]
    tree += [file("large", text(5 << 20)), hard_link("second", "large"), symlink("link", "large")]
    return str(make_image(tmp_path_factory.mktemp("odd"), tuple(tree)))


def test_sha256sum_finds_what_was_extracted_as_it_was_hashed(
    odd: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["hash", odd]) == 0
    sums = capfdbinary.readouterr().out
    with s3archivefs.open(odd) as fs:
        for path, _, content in fs.walk_files(b"/"):
            target = os.fsencode(tmp_path) + path
            os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 -- bytes
            with open(target, "wb") as copy:  # noqa: PTH123
                copy.write(content.read())
    check = ["sha256sum", "--check", "--strict"]
    done = subprocess.run(check, cwd=tmp_path, input=sums, check=True, capture_output=True)
    assert done.stdout.count(b": OK\n") == len(FILES) * 2 + 2


def test_sha256sum_takes_no_name_for_anything_but_a_file(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    names = ("-", "--", "*", "*star", "#", "SHA256 (a) = 1", " ", "\\", "(", "~", "-c", "$HOME")
    tree = [file(name, name.encode()) for name in names]
    image = str(make_image(tmp_path, (*tree, directory("d"), file("d/-", b"below"))))
    assert main(["extract", image, "-C", str(tmp_path / "out")]) == 0
    capfdbinary.readouterr()
    assert main(["hash", image]) == 0
    check = ["sha256sum", "--check", "--strict", "SUMS"]
    (tmp_path / "out" / "SUMS").write_bytes(capfdbinary.readouterr().out)
    done = subprocess.run(
        check, cwd=tmp_path / "out", input=b"other", check=True, capture_output=True
    )
    assert done.stdout.count(b": OK\n") == len(names) + 1
    assert main(["hash", "--json", image, "--", "/-"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["path"] == "/-"


def test_a_line_names_the_path_from_the_root(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    image = str(FIXTURES["gzip"].image)
    assert main(["hash", image, "/docs/guide.txt", "short.txt"]) == 0
    with s3archivefs.open(image) as fs:
        expected = [
            f"{hashlib.sha256(fs.read_bytes(path)).hexdigest()}  {path}"
            for path in ("docs/guide.txt", "short.txt")
        ]
    assert capfdbinary.readouterr().out.decode().splitlines() == expected


@pytest.mark.parametrize("algorithm", ["sha512", "md5", "blake2b"])
def test_json_names_path_size_and_algorithm(
    algorithm: str, odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hash", "--json", "--algorithm", algorithm, odd, "new\\x0aline"]) == 0
    content = FILES["new\nline"]
    assert json.loads(capsys.readouterr().out) == {
        "path": "new\nline",
        "size": len(content),
        algorithm: hashlib.new(algorithm, content).hexdigest(),
    }


def test_a_terminal_gets_no_control_characters(odd: str) -> None:
    with Terminal() as terminal, redirect_stdout(terminal.file):
        assert main(["hash", odd, "new\\x0aline"]) == 0
    (line,) = terminal.text.splitlines()
    assert line.endswith(r"  new\x0aline")


def test_what_cannot_be_read_is_reported_and_the_rest_follows(
    odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hash", "--json", odd, "/nowhere", "/-dash"]) == 3
    written = capsys.readouterr()
    assert written.err == "s3archivefs: /nowhere: No such file or directory\n"
    assert json.loads(written.out)["path"] == "/-dash"


def test_checksums_that_the_image_has_are_written_without_its_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    summed = {"user.sha256": digest.encode()}
    tree = (
        directory("d"),
        file("d/has", b"content", xattrs=summed),
        file("d/none", b"content"),
        file("d/false", b"another", xattrs=summed),
        symlink("d/link", "has"),
        file("e", b"content", xattrs=summed),
    )
    image = str(make_image(tmp_path, tree))
    assert main(["hash", "--stored", image, "/d", "e"]) == 1
    written = capsys.readouterr()
    assert written.out.splitlines() == [f"{digest}  {name}" for name in ("d/false", "d/has", "e")]
    assert written.err == ("s3archivefs: /d/none: no SHA-256 in an attribute user.sha256\n")
    assert main(["hash", "--stored", "--json", image, "e"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "e", "size": 7, "sha256": digest}
    assert main(["hash", "--stored", "--algorithm", "md5", image]) == 2


def test_an_image_without_stored_checksums_is_one_line(
    odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hash", "--stored", odd]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == (
        f"s3archivefs: {odd}: its files have no attributes, and so no SHA-256: pack --checksums "
        "stores them\n"
    )


def test_progress_knows_how_much_there_is(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hash", "--json", "--progress", odd]) == 0
    files = len(FILES) * 2 + 2
    assert f"{files} of {files} files, 11M of 11M, " in capsys.readouterr().err
