"""An image appears whole under its name, or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from s3archivefs.writer.output import FileOutput, StreamOutput

START, REST = b"\0" * 96, b"content"
SUPERBLOCK = b"s" * 96


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    output = FileOutput(path)
    output.write(START + REST)
    assert not path.exists()
    output.finish(SUPERBLOCK)
    output.abandon()
    assert path.read_bytes() == (SUPERBLOCK + REST).ljust(4096, b"\0")
    assert [*tmp_path.iterdir()] == [path]


def test_an_abandoned_file_leaves_nothing(tmp_path: Path) -> None:
    output = FileOutput(tmp_path / "a")
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


def test_a_stream_takes_the_image_from_its_position_on() -> None:
    file = io.BytesIO()
    file.write(b"before")
    output = StreamOutput(file)
    output.write(START + REST)
    output.finish(SUPERBLOCK)
    assert file.getvalue() == b"before" + (SUPERBLOCK + REST).ljust(4096, b"\0")
    assert file.tell() == 6 + 4096
