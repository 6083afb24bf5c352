"""Every committed image reads back as its manifest says, without any tool."""

from __future__ import annotations

import hashlib
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.images.fixtures import DIRECTORY, FIXTURES, Fixture, observe, open_fixture

if TYPE_CHECKING:
    from collections.abc import Iterator


each_fixture = pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)


@contextmanager
def open_from(source: str, fixture: Fixture) -> Iterator[s3archivefs.SquashFS]:
    """The fixture's image, opened through one kind of source."""
    path, offset = fixture.image, fixture.offset
    if source == "path":
        with s3archivefs.open(str(path), offset=offset) as fs:
            yield fs
    elif source == "file":
        with path.open("rb") as file, s3archivefs.open(file, offset=offset) as fs:
            yield fs
    elif source == "FileDevice":
        device = s3archivefs.FileDevice(path)
        with s3archivefs.open(device, offset=offset) as fs:
            yield fs
        device.close()
    else:
        device_of_bytes = s3archivefs.BytesDevice(path.read_bytes())
        with s3archivefs.open(device_of_bytes, offset=offset) as fs:
            yield fs


@pytest.mark.parametrize("source", ["path", "file", "FileDevice", "BytesDevice"])
@each_fixture
def test_reads_back_as_the_manifest_says(fixture: Fixture, source: str) -> None:
    with open_from(source, fixture) as fs:
        assert observe(fs) == fixture.tree


@each_fixture
def test_is_recognised_as_squashfs_unless_it_is_embedded(fixture: Fixture) -> None:
    assert s3archivefs.is_squashfs(fixture.image) is (fixture.offset == 0)


@each_fixture
def test_image_is_the_one_of_the_manifest(fixture: Fixture) -> None:
    data = fixture.image.read_bytes()
    assert len(data) == fixture.size <= 16 << 10
    assert hashlib.sha256(data).hexdigest() == fixture.sha256


def test_manifest_names_every_committed_image() -> None:
    assert {fixture.image for fixture in FIXTURES.values()} == set(DIRECTORY.glob("*.sqfs"))


@pytest.mark.parametrize("compression", s3archivefs.Compression, ids=lambda each: each.name.lower())
def test_every_compressor_has_a_fixture(compression: s3archivefs.Compression) -> None:
    with open_fixture(FIXTURES[compression.name.lower()]) as fs:
        assert fs.superblock.compression is compression


@each_fixture
def test_junk_behind_the_image_changes_nothing(fixture: Fixture) -> None:  # D3
    data = fixture.image.read_bytes() + b"junk" * 300
    with s3archivefs.open(s3archivefs.BytesDevice(data), offset=fixture.offset) as fs:
        assert observe(fs) == fixture.tree


@each_fixture
def test_missing_padding_changes_nothing(fixture: Fixture) -> None:  # D3
    with open_fixture(fixture) as fs:
        end = fixture.offset + fs.superblock.bytes_used
    device = s3archivefs.BytesDevice(fixture.image.read_bytes()[:end])
    with s3archivefs.open(device, offset=fixture.offset) as fs:
        assert observe(fs) == fixture.tree


@pytest.mark.parametrize("bit", [0, 1, 3, 4, 5, 6, 7, 8, 9, 11])
def test_flags_that_only_inform_do_not_change_what_is_read(bit: int) -> None:  # D8
    fixture = FIXTURES["gzip"]
    data = bytearray(fixture.image.read_bytes())
    data[24 + bit // 8] ^= 1 << bit % 8
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(data))) as fs:
        assert observe(fs) == fixture.tree


# ---- The fixtures have the shapes that they are there for, seen without the reader ---------------


SUPERBLOCK_FIELDS = (  # in the order on disk, which is not that of the tables
    "magic",
    "inode_count",
    "mkfs_time",
    "block_size",
    "fragment_count",
    "compression",
    "block_log",
    "flags",
    "id_count",
    "version_major",
    "version_minor",
    "root_inode",
    "bytes_used",
    "id_table_start",
    "xattr_table_start",
    "inode_table_start",
    "directory_table_start",
    "fragment_table_start",
    "export_table_start",
)


def test_superblock_has_every_field_where_the_format_puts_it() -> None:  # D1
    image = FIXTURES["gzip"].image.read_bytes()
    fields = dict(zip(SUPERBLOCK_FIELDS, struct.unpack_from("<5I6H8Q", image), strict=True))
    with open_fixture(FIXTURES["gzip"]) as fs:
        assert {name: getattr(fs.superblock, name) for name in SUPERBLOCK_FIELDS} == fields
    assert fields["block_size"] == 1 << fields["block_log"] == 4096
    assert fields["mkfs_time"] == 1_600_000_000


def test_hard_links_fixture_has_a_negative_inode_delta() -> None:  # D50
    image = FIXTURES["hard-links"].image.read_bytes()
    listings = _first_metadata_block(image, start_field=72)
    place = listings.index(b"004-link")
    assert struct.unpack_from("<HhHH", listings, place - 8)[1] == -2


def test_indexed_fixture_has_a_directory_index() -> None:  # D51
    image = FIXTURES["indexed"].image.read_bytes()
    inodes = _first_metadata_block(image, start_field=64)
    extended_directory = inodes.index(struct.pack("<HH", 8, 0o755))
    assert struct.unpack_from("<H", inodes, extended_directory + 32)[0] == 2  # index entries


def test_absent_fragment_table_is_marked_in_two_ways() -> None:  # D6
    starts = {
        name: struct.unpack_from("<Q", FIXTURES[name].image.read_bytes(), 80)[0]
        for name in ("empty-files", "tar2sqfs-empty-files")
    }
    assert starts["empty-files"] < 4096
    assert starts["tar2sqfs-empty-files"] == 2**64 - 1


def test_empty_fixture_has_an_empty_directory_table() -> None:  # D11
    image = FIXTURES["empty"].image.read_bytes()
    directory_table, next_table = struct.unpack_from("<QQ", image, 72)
    assert directory_table == next_table


@pytest.mark.parametrize(
    ("name", "present"),
    [("gzip", False), ("gzip-options", True), ("lz4", True), ("xz-options", True), ("lzma", False)],
)
def test_flag_says_whether_options_follow_the_superblock(name: str, *, present: bool) -> None:  # D9
    flags = struct.unpack_from("<H", FIXTURES[name].image.read_bytes(), 24)[0]
    assert bool(flags & 0x0400) is present


def _first_metadata_block(image: bytes, *, start_field: int) -> bytes:
    start = struct.unpack_from("<Q", image, start_field)[0]
    header = struct.unpack_from("<H", image, start)[0]
    stored = image[start + 2 : start + 2 + (header & 0x7FFF)]
    return stored if header & 0x8000 else zlib.decompress(stored)
