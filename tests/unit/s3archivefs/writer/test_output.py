"""An image appears whole under its name, or not at all."""

from __future__ import annotations

import io
import os
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from s3archivefs.errors import PackingError
from s3archivefs.writer.output import FileOutput, StreamOutput
from tests.support.processes.killed import is_killed

START, REST = b"\0" * 96, b"content"
SUPERBLOCK = b"s" * 96


def unnamed_refused(*_: object) -> int:
    raise OSError


@pytest.fixture(params=["unnamed files", "temporary names"])
def output(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FileOutput:
    """An output, as different file systems have it."""
    if request.param == "temporary names":
        monkeypatch.setattr("s3archivefs.unnamed_files.create_unnamed", unnamed_refused)
    return FileOutput(tmp_path / "a")


def test_a_file_has_its_name_when_it_is_whole(output: FileOutput, tmp_path: Path) -> None:
    path = tmp_path / "a"
    output.write(START + REST)
    assert not path.exists()
    output.finish(SUPERBLOCK)
    output.abandon()
    assert path.read_bytes() == (SUPERBLOCK + REST).ljust(4096, b"\0")
    assert [*tmp_path.iterdir()] == [path]


def test_nothing_but_the_whole_file_is_seen_where_files_need_no_name(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "a")
    output.write(START)
    assert [*tmp_path.iterdir()] == []
    output.finish(SUPERBLOCK)
    other = tmp_path / "b"
    other.touch()
    assert (tmp_path / "a").stat().st_mode == other.stat().st_mode


def write_whole(path: Path) -> None:
    output = FileOutput(path)
    output.write(START + REST)
    output.finish(SUPERBLOCK)


def test_killed_at_any_moment_it_leaves_the_whole_file_or_none(tmp_path: Path) -> None:
    for step in count(1):
        directory = tmp_path / str(step)
        directory.mkdir()
        was_killed = is_killed(step, partial(write_whole, directory / "a"))
        left = {path.name: path.read_bytes() for path in directory.iterdir()}
        trial = {name for name in left if name.startswith(".s3archivefs-") and not left[name]}
        assert len(trial) <= 1  # between the two steps of finding out what the file system can do
        left = {name: left[name] for name in left.keys() - trial}
        assert left in ({}, {"a": (SUPERBLOCK + REST).ljust(4096, b"\0")})
        if not was_killed:
            break
    assert step > 5
    assert left


def test_an_abandoned_file_leaves_nothing(output: FileOutput, tmp_path: Path) -> None:
    output.write(START)
    output.abandon()
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_stands_is_kept_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    late = FileOutput(path)
    path.write_bytes(b"before")
    with pytest.raises(FileExistsError) as caught:
        FileOutput(path)
    assert caught.value.filename == str(path)
    late.write(START)
    with pytest.raises(FileExistsError):
        late.finish(SUPERBLOCK)
    assert [*tmp_path.iterdir()] == [path]
    assert path.read_bytes() == b"before"

    replacing = FileOutput(path, replace=True)
    replacing.write(START)
    replacing.finish(SUPERBLOCK)
    assert path.read_bytes() == SUPERBLOCK.ljust(4096, b"\0")


def test_a_directory_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        FileOutput(tmp_path, replace=True)
    assert caught.value.filename == str(tmp_path)
    assert [*tmp_path.parent.glob(".*.partial")] == []
    with pytest.raises(NotADirectoryError):
        FileOutput(f"{tmp_path}/none/", replace=True)
    assert [*tmp_path.iterdir()] == []


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link"):
        with pytest.raises(PackingError, match=f"{name}: no regular file: nothing can take its"):
            FileOutput(tmp_path / name, replace=True)
    assert (tmp_path / "fifo").is_fifo()
    assert (tmp_path / "link").is_symlink()


def test_a_stream_takes_the_image_from_its_position_on() -> None:
    file = io.BytesIO()
    file.write(b"before")
    output = StreamOutput(file)
    output.write(START + REST)
    output.finish(SUPERBLOCK)
    assert file.getvalue() == b"before" + (SUPERBLOCK + REST).ljust(4096, b"\0")
    assert file.tell() == 6 + 4096
