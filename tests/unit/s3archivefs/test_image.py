"""Opening an image by each kind of source, and closing it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.images.fixtures import FIXTURES, open_fixture

if TYPE_CHECKING:
    from collections.abc import Callable


def test_closed_image_refuses_every_call() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        opened = fs.open("/docs/guide.txt")
    assert fs.closed
    fs.close()
    for call in (fs.stat, fs.listdir, fs.scandir, fs.open, fs.read_bytes, fs.readlink):
        with pytest.raises(ValueError, match="closed"):
            call("/docs")
    with pytest.raises(ValueError, match="closed"):
        next(iter(fs.walk("/")))
    with pytest.raises(ValueError, match="closed"):
        opened.read()


def test_closing_leaves_what_the_caller_opened_open() -> None:
    with FIXTURES["gzip"].image.open("rb") as source:
        with s3archivefs.open(source) as fs:
            assert fs.listdir("/docs") == ["deep", "guide.txt"]
        assert not source.closed
        source.seek(0)
        assert source.read(4) == b"hsqs"


def test_closing_closes_what_was_opened_by_path() -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- no Path
    with open_fixture(FIXTURES["gzip"]) as fs:
        assert fs.exists("/docs")
        assert len(os.listdir("/proc/self/fd")) == len(before) + 1  # noqa: PTH208
    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize("wrap", [str, Path, os.fsencode])
def test_opens_paths_of_every_type(wrap: Callable[[Path], str | bytes | Path]) -> None:
    with s3archivefs.open(wrap(FIXTURES["gzip"].image)) as fs:
        assert fs.exists("/docs")
    assert s3archivefs.is_squashfs(wrap(FIXTURES["gzip"].image))


def test_opens_any_seekable_binary_file() -> None:
    data = FIXTURES["embedded"].image.read_bytes()
    with s3archivefs.open(io.BytesIO(data), offset=1000) as fs:
        assert fs.listdir("/docs") == ["deep", "guide.txt"]


@pytest.mark.parametrize("name", ["gzip", "embedded"])
def test_asking_whether_a_file_is_an_image_leaves_its_position(name: str) -> None:
    source = io.BytesIO(FIXTURES[name].image.read_bytes())
    source.seek(7)
    assert s3archivefs.is_squashfs(source) is (name == "gzip")
    assert source.tell() == 7


def test_no_image_is_where_no_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "file", tmp_path / "file/below"):
        assert not s3archivefs.is_squashfs(path)


@pytest.mark.parametrize("offset", [-1, 10**9])
def test_offset_outside_the_source_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="offset"):
        s3archivefs.open(FIXTURES["embedded"].image, offset=offset)
