"""Files as fsspec's users read them."""

from __future__ import annotations

import errno
import io
import zipfile
from typing import TYPE_CHECKING

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import LimitExceededError
from s3archivefs.filesystem import ArchiveFileSystem
from tests.support.distant_device import DistantDevice
from tests.support.images.fixtures import make_image
from tests.unit.s3archivefs.filesystem.conftest import CONTENTS, LATIN

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_has_the_attributes_of_fsspec_files(fs: ArchiveFileSystem) -> None:
    with fs.open("/a/both", block_size=1 << 16, cache_type="none", cache_options={}) as file:
        assert (file.name, file.path, file.full_name) == ("a/both",) * 3
        assert (file.mode, file.size, file.blocksize) == ("rb", len(CONTENTS["a/both"]), 1 << 16)
        assert file.fs is fs
        assert file.info() == file.details == fs.info("a/both")
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert not file.closed
        assert repr(file) == "<ArchiveFile 'a/both'>"
    assert file.closed


def test_a_file_seeks_and_reads(fs: ArchiveFileSystem) -> None:
    expected = CONTENTS["a/both"]
    with fs.open("a/both") as file:
        assert file.seek(-10, io.SEEK_END) == len(expected) - 10
        assert file.read() == expected[-10:]
        assert file.read(1) == b""
        assert file.seek(5) == file.tell() == 5
        assert file.peek(1)[:1] == expected[5:6]
        buffer = bytearray(4096)
        assert file.readinto(buffer) == 4096
        assert buffer == expected[5:4101]
        assert file.readinto1(memoryview(buffer)[:3]) == 3
        assert file.read1(7) == expected[4104:4111]


@pytest.mark.parametrize(
    ("size", "start", "fetched"),
    [
        (1 << 20, (1 << 20) - 8, 1 << 20),
        (2 << 20, (2 << 20) - (64 << 10), 2 << 20),
        (1 << 20, 0, 0),
        (1 << 20, 1 << 19, 0),
        ((2 << 20) + 1, 2 << 20, 0),
        (4096, 4088, 0),
    ],
)
def test_a_small_file_is_fetched_at_once_where_its_end_is_read_first(
    tmp_path: Path, size: int, start: int, fetched: int
) -> None:
    content = noise(size)
    device = DistantDevice(make_image(tmp_path, (file("table", content),)).read_bytes())
    with ArchiveFileSystem(device, limits={"cache_bytes": 0}) as fs, fs.open("table") as opened:
        device.forget()
        opened.seek(start)
        assert opened.read(8) == content[start : start + 8]
        assert [length for _, length in device.reads if length > 128 << 10] == [fetched][:fetched]
        device.forget()
        opened.seek(start)
        assert opened.read() == content[start:]
        assert all(length <= 128 << 10 for _, length in device.reads)


def test_text_is_read_as_text(fs: ArchiveFileSystem) -> None:
    with fs.open("lines", "r") as lines:
        assert [next(lines) for _ in range(3)] == ["one\n", "two\n", "three\n"]
    with fs.open("lines", "rt", newline="") as lines:
        assert lines.readline() == "one\n"
    with fs.open(LATIN, "r", encoding="latin-1") as latin:
        assert latin.read() == fs.read_text(LATIN) == "latin"
    with fs.open("lines") as lines:
        assert [*lines][:2] == [b"one\n", b"two\n"]
        lines.seek(0)
        assert lines.readline() == b"one\n"
        assert lines.readlines(5) == [b"two\n", b"three\n"]


def test_compression_is_undone_as_asked(fs: ArchiveFileSystem) -> None:
    with pytest.raises(OSError, match="gzip"), fs.open("lines", compression="gzip") as lines:
        lines.read()


def test_blocks_heads_and_tails_are_read(fs: ArchiveFileSystem) -> None:
    expected = CONTENTS["lines"]
    assert fs.head("lines", 5) == expected[:5]
    assert fs.tail("lines", 7) == expected[-7:]
    assert fs.read_block("lines", 0, 5) == expected[:5]
    assert fs.read_block("lines", 1, 8, b"\n") == b"two\nthree\n"
    assert fs.read_block("lines", 4, None, b"\n") == expected[8:]


def test_a_directory_or_fifo_is_not_opened(fs: ArchiveFileSystem) -> None:
    with pytest.raises(IsADirectoryError):
        fs.open("a")
    with pytest.raises(OSError, match="pipe"):
        fs.open("pipe")


def test_readuntil_reads_up_to_a_mark(fs: ArchiveFileSystem) -> None:
    with fs.open("lines") as lines:
        assert lines.readuntil() == b"one\n"
        assert lines.readuntil(b"ee\n") == b"two\nthree\n"
        assert lines.tell() == 14
        assert lines.readuntil(b"no such mark") == CONTENTS["lines"][14:]
        assert lines.readuntil() == b""
    with fs.open("large") as large:
        assert large.readuntil(b"no such mark", blocks=70_000) == CONTENTS["large"]
        assert fs.open("large", block_size=1 << 20).readuntil(b"no such mark") == CONTENTS["large"]


def test_zipfile_sees_that_a_short_file_is_no_archive(fs: ArchiveFileSystem) -> None:
    with fs.open("a.b") as short:
        assert not zipfile.is_zipfile(short)
        with pytest.raises(OSError, match="cannot seek to byte -1") as caught:
            short.seek(-1)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("mode", ["", "b", "q", "rt+"])
def test_a_mode_that_is_none_is_refused(fs: ArchiveFileSystem, mode: str) -> None:
    with pytest.raises((OSError, ValueError), match=r"mode|Read-only"):
        fs.open("lines", mode)


@pytest.mark.parametrize("cache", ["simplecache", "filecache"])
def test_a_cache_of_fsspec_reads_a_file_through_it(image: Path, tmp_path: Path, cache: str) -> None:
    url = f"{cache}::squashfs://a/both::{image}"
    with fsspec.open(url, **{cache: {"cache_storage": str(tmp_path)}}) as opened:
        assert opened.read() == CONTENTS["a/both"]


def test_lines_are_read_at_once_up_to_the_limit(image: Path) -> None:
    content = CONTENTS["lines"]
    lines = content.splitlines(keepends=True)
    for limit in (len(content), len(content) - 1):
        with ArchiveFileSystem(str(image), limits={"read_all_bytes": limit}) as fs:
            with fs.open("lines") as opened:
                assert opened.readlines(6) == lines[:2]
                assert opened.readlines() == lines[2:]
            with fs.open("lines") as opened:
                if limit == len(content):
                    assert opened.readlines() == lines
                    continue
                with pytest.raises(LimitExceededError, match="read_all_bytes"):
                    opened.readlines()


def test_readuntil_gives_up_beyond_the_limit(image: Path) -> None:
    limits = {"read_all_bytes": 1 << 20}
    with ArchiveFileSystem(str(image), limits=limits).open("large") as large:
        content = CONTENTS["large"]
        assert large.readuntil(content[9 << 16 : (9 << 16) + 40]) == content[: (9 << 16) + 40]
        large.seek(0)
        with pytest.raises(LimitExceededError, match="read_all_bytes"):
            large.readuntil(content[-40:])


@pytest.mark.property
@given(st.integers(0, (5 << 20) - 40), st.integers(1, 40))
def test_readuntil_finds_a_mark_wherever_it_lies(image: Path, start: int, length: int) -> None:
    content = CONTENTS["large"]
    mark = content[start : start + length]
    end = content.index(mark) + length
    with ArchiveFileSystem(str(image)).open("large") as large:
        assert large.readuntil(mark) == content[:end]
        assert large.tell() == end
