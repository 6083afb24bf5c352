"""What becomes of each subcommand's output where it cannot be written, and where Ctrl-C ends it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO, cast

import pytest

from fixtures.tree import file
from s3archivefs.cli import main
from s3archivefs.cli.streams import OutputError, standard_streams
from tests.support.commands import PRINTING, WITHOUT_PATH, arguments_of
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES

MARK = 1_234_567_890  # the time by which the inode is found
HELP = [["--help"], ["--version"], *([name, "--help"] for name in PRINTING)]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with a file to read, and one that is damaged, for `verify` to name."""
    directory = tmp_path_factory.mktemp("image")
    found = draft(directory, (file("bad", b"tail", mtime=MARK), file("good", b"content")))
    found.put(found.inode(MARK) + 20, "I", 5)
    path = directory / "image.sqfs"
    path.write_bytes(found.data)
    return str(path)


def ran(arguments: list[str], output: TextIO | None) -> tuple[int, str]:
    """Exit code, and what is said on standard error, with that standard output."""
    errors = io.StringIO()
    with redirect_stdout(cast("TextIO", output)), redirect_stderr(errors):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, errors.getvalue()


def without_summary(errors: str) -> str:
    return "".join(line for line in errors.splitlines(keepends=True) if "content read" not in line)


@contextmanager
def full_disk() -> Iterator[TextIO]:
    with open("/dev/full", "w", encoding="utf-8") as stream:  # noqa: PTH123 -- a device
        yield stream


@contextmanager
def broken_pipe() -> Iterator[TextIO]:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 -- a descriptor
        yield stream


@pytest.mark.parametrize("command", PRINTING)
def test_a_pipe_that_nobody_reads_ends_it_quietly(command: str, image: str) -> None:
    with broken_pipe() as output:
        code, errors = ran(arguments_of(command, image, "/good"), output)
    assert (code, without_summary(errors)) == (141, "")


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_so_does_one_of_a_help_text(arguments: list[str]) -> None:
    with broken_pipe() as output:
        assert ran(arguments, output) == (141, "")


@pytest.mark.parametrize("command", PRINTING)
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_full_disk_is_one_line_about_the_output(command: str, buffering: int, image: str) -> None:
    with open("/dev/full", "wb", buffering) as full:  # noqa: PTH123 -- with a buffering
        output = io.TextIOWrapper(full, "utf-8", write_through=True)
        code, errors = ran(arguments_of(command, image, "/good"), output)
    assert code == 1
    expected = "s3archivefs: standard output: No space left on device\n"
    assert without_summary(errors) == expected


@pytest.mark.parametrize("command", PRINTING)
def test_so_is_a_closed_output(command: str, image: str) -> None:
    code, errors = ran(arguments_of(command, image, "/good"), None)
    assert code == 1
    assert without_summary(errors) == "s3archivefs: standard output: Bad file descriptor\n"


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_a_help_text_that_cannot_be_written_is_a_fault(arguments: list[str]) -> None:
    code, errors = ran(arguments, None)
    assert (code, errors) == (1, "s3archivefs: standard output: Bad file descriptor\n")


def test_faults_go_nowhere_where_standard_error_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["ls", str(tmp_path / "nowhere")]) == 3
    assert sys.stderr is None


@pytest.mark.parametrize("command", PRINTING)
def test_neither_the_output_nor_the_code_hangs_on_standard_error(
    command: str, image: str, tmp_path: Path
) -> None:
    arguments = arguments_of(command, image, "/good")
    if command not in WITHOUT_PATH:
        arguments.insert(-1, "/nowhere")
    told, untold = tmp_path / "told", tmp_path / "untold"
    with told.open("w") as output:
        code, errors = ran(arguments, output)
    assert (code, bool(errors)) == ({"info": 0, "verify": 4}.get(command, 3), command != "info")
    for unwritable in (full_disk(), broken_pipe()):
        with (
            unwritable as stream,
            untold.open("w") as output,
            redirect_stdout(output),
            redirect_stderr(stream),
        ):
            assert main(arguments) == code
        assert untold.read_bytes() == told.read_bytes()


@pytest.mark.parametrize("command", PRINTING)
def test_ctrl_c_ends_it_quietly(
    command: str, image: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(descriptor: int, length: int, offset: int) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "pread", interrupt)
    with (tmp_path / "output").open("w") as output:
        assert ran(arguments_of(command, image, "/good"), output) == (130, "")


def test_output_is_that_of_the_stream_it_stands_for(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w", encoding="latin-1", errors="replace") as output:
        output.write("before ")
        with redirect_stdout(output):
            with standard_streams():
                assert (sys.stdout.encoding, sys.stdout.errors) == ("latin-1", "replace")
                assert sys.stdout.fileno() == output.fileno()
                print("é ü €", flush=True)
            assert sys.stdout is output
        output.write("after")
    assert (tmp_path / "output").read_bytes() == "before é ü ?\nafter".encode("latin-1")


def test_what_was_not_flushed_is_dropped(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as output, redirect_stdout(output), standard_streams():
        sys.stdout.write("lost")
    assert (tmp_path / "output").read_text() == ""


def test_a_stream_in_memory_stays(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with standard_streams():
        assert sys.stdout is before


def test_the_error_of_an_output_is_none_of_an_image() -> None:
    assert not issubclass(OutputError, OSError | ValueError)


def test_a_full_disk_does_not_count_as_a_fault_of_each_file() -> None:
    image = str(FIXTURES["gzip"].image)
    with open("/dev/full", "w", encoding="utf-8") as output:  # noqa: PTH123 -- a device
        _, errors = ran(["cat", image, *["/docs/guide.txt"] * 9], output)
    assert errors.count("\n") == 1


def test_what_was_found_before_a_fault_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def found_and_failed(options: object) -> int:
        sys.stdout.write("found\n")
        raise OSError(5, "failed")

    monkeypatch.setattr("s3archivefs.cli.ls.run", found_and_failed)
    with (tmp_path / "output").open("w") as output:
        assert ran(["ls", "image"], output) == (1, "s3archivefs: image: failed\n")
    assert (tmp_path / "output").read_text() == "found\n"
