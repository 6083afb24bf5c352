"""Damaged images raise one of the reader's errors, and never return wrong bytes."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from tests.support.images.fixtures import (
    FIXTURES,
    Fixture,
    Observed,
    ShortDevice,
    make_image,
    observe,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def open_bytes(data: bytes) -> s3archivefs.SquashFS:
    return s3archivefs.open(s3archivefs.BytesDevice(data))


def patched(fixture: str, offset: int, layout: str, *values: int) -> bytes:
    """The fixture's image with other values in one place."""
    data = bytearray(FIXTURES[fixture].image.read_bytes())
    struct.pack_into("<" + layout, data, offset, *values)
    return bytes(data)


# ---- No image at all -----------------------------------------------------------------------------

NOT_IMAGES = {
    "zeros": bytes(96),
    "one zero": b"\0",
    "many zeros": bytes(1 << 16),
    "noise": noise(4096),
    "a zip file": b"PK\x03\x04" + bytes(200),
    "text": b"hsq",
    "an XML error page": b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>" * 3,
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_other_bytes_are_not_squashfs(name: str) -> None:
    with pytest.raises(s3archivefs.NotSquashfsError):
        open_bytes(NOT_IMAGES[name])
    assert not s3archivefs.is_squashfs(s3archivefs.BytesDevice(NOT_IMAGES[name]))


def test_empty_file_says_that_it_is_empty() -> None:
    with pytest.raises(s3archivefs.NotSquashfsError, match="empty"):
        open_bytes(b"")
    assert not s3archivefs.is_squashfs(s3archivefs.BytesDevice(b""))


def test_first_bytes_alone_are_no_image() -> None:
    image = FIXTURES["gzip"].image.read_bytes()
    for size in range(1, 96):
        with pytest.raises((s3archivefs.NotSquashfsError, s3archivefs.TruncatedImageError)):
            open_bytes(image[:size])


def test_missing_file_is_no_squashfs() -> None:
    assert not s3archivefs.is_squashfs("/no/such/image.sqfs")


# ---- Images of other kinds -----------------------------------------------------------------------


def test_big_endian_image_is_named() -> None:
    with pytest.raises(s3archivefs.UnsupportedError, match="big-endian"):
        open_bytes(b"sqsh" + FIXTURES["gzip"].image.read_bytes()[4:])


@pytest.mark.parametrize("version", [(3, 0), (3, 1), (5, 0), (4, 1), (0, 0)])
def test_other_versions_are_named(version: tuple[int, int]) -> None:
    with pytest.raises(s3archivefs.UnsupportedError, match=r"{}\.{}".format(*version)):
        open_bytes(patched("gzip", 28, "HH", *version))


@pytest.mark.parametrize("number", [0, 7, 65535])
def test_unknown_compressor_is_named(number: int) -> None:
    with pytest.raises(s3archivefs.UnsupportedError, match=f"compressor.* {number} "):
        open_bytes(patched("gzip", 20, "H", number))


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_wrong_compressor_is_corrupt(number: int) -> None:
    with (
        pytest.raises(s3archivefs.CorruptImageError),
        open_bytes(patched("gzip", 20, "H", number)) as fs,
    ):
        observe(fs)


# ---- Superblocks that contradict themselves ------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2048, 4097, 3 << 15, 1 << 21, 1 << 31, 2**32 - 1, 8192])
def test_bad_block_size_is_corrupt(size: int) -> None:
    with pytest.raises(s3archivefs.CorruptImageError, match="block size"):
        open_bytes(patched("gzip", 12, "I", size))


@pytest.mark.parametrize("log", [0, 11, 13, 63, 65535])
def test_bad_block_log_is_corrupt(log: int) -> None:
    with pytest.raises(s3archivefs.CorruptImageError):
        open_bytes(patched("gzip", 22, "H", log))


@pytest.mark.parametrize(
    ("offset", "layout", "values"),
    [
        (4, "I", [0]),  # inode_count
        (16, "I", [2**32 - 1]),  # fragment_count: a table of 64 GiB
        (26, "H", [0, 65535]),  # id_count
        (32, "Q", [2**63, 2**64 - 1, 1 << 40, 0xFFFF, 8192]),  # root_inode
        (40, "Q", [0, 95, 2**63, 2**64 - 1]),  # bytes_used
        (48, "Q", [0, 95, 2**63, 2**64 - 2]),  # id_table_start
        (64, "Q", [0, 95, 2**63, 2**64 - 2, 2**64 - 1]),  # inode_table_start
        (72, "Q", [0, 95, 2**63, 2**64 - 2, 2**64 - 1]),  # directory_table_start
        (80, "Q", [0, 95, 2**63, 2**64 - 2]),  # fragment_table_start
        (88, "Q", [0, 95, 2**63, 2**64 - 2]),  # export_table_start
    ],
)
def test_bad_superblock_field_is_corrupt(offset: int, layout: str, values: list[int]) -> None:
    for value in values:
        with (
            pytest.raises(s3archivefs.CorruptImageError),
            open_bytes(patched("gzip", offset, layout, value)) as fs,
        ):
            observe(fs)


def test_image_larger_than_its_device_is_truncated() -> None:
    with pytest.raises(s3archivefs.TruncatedImageError):
        open_bytes(patched("gzip", 40, "Q", 1 << 40))


def test_root_that_is_no_directory_is_corrupt() -> None:
    image = FIXTURES["uncompressed"].image.read_bytes()
    inode_table = struct.unpack_from("<Q", image, 64)[0]
    assert struct.unpack_from("<H", image, inode_table + 2)[0] == 2  # the first inode is a file
    with pytest.raises(s3archivefs.CorruptImageError, match="root"):
        open_bytes(patched("uncompressed", 32, "Q", 0))


# ---- Truncated and damaged images ----------------------------------------------------------------

PLACES = 8 * settings().max_examples
"""Positions in an image that a test tries, a fixed choice; the nightly profile tries more."""


def some(places: range | list[int], name: str) -> list[int]:
    """Return PLACES of the places, or all where there are no more."""
    return random.Random(name).sample(places, min(len(places), PLACES))


def survive(fixture: Fixture, opener: Callable[[], s3archivefs.SquashFS]) -> None:
    """Each path reads as the manifest says, or raises one of the reader's errors."""
    expected = {each.path: each for each in fixture.tree}
    try:
        fs = opener()
    except s3archivefs.SquashfsError:
        return
    with fs:
        for path, each in expected.items():
            try:
                assert_reads(fs, path, each)
            except s3archivefs.SquashfsError:
                continue


def assert_reads(fs: s3archivefs.SquashFS, path: str, each: Observed) -> None:
    found = fs.stat(path, follow_symlinks=False)
    assert (found.mode, found.uid, found.gid) == (each.mode, each.uid, each.gid)
    assert (found.size, found.mtime, found.nlink) == (each.size, each.mtime, each.nlink)
    if each.kind == "file":
        with fs.open(path) as opened:
            content = opened.read()
        assert len(content) == each.size
        assert each.holds(content)
    elif each.kind == "symlink":
        assert fs.readlink(path) == each.target
    elif each.kind == "directory":
        names = fs.listdir(path)
        assert names == [entry.name for entry in fs.scandir(path)]


@pytest.mark.parametrize("name", ["unpadded", "hard-links", "empty"])
def test_every_cut_of_an_image_is_noticed(name: str) -> None:
    fixture = FIXTURES[name]
    image = fixture.image.read_bytes()
    with open_bytes(image) as fs:
        bytes_used = fs.superblock.bytes_used
    for size in range(bytes_used):
        with pytest.raises((s3archivefs.TruncatedImageError, s3archivefs.NotSquashfsError)):
            open_bytes(image[:size])
    for size in range(bytes_used, len(image) + 1, 97):
        with open_bytes(image[:size]) as fs:
            assert observe(fs) == fixture.tree


@pytest.mark.property
@pytest.mark.parametrize("name", ["hard-links", "symlinks", "uncompressed", "zstd", "xattrs"])
def test_device_cut_short_gives_right_bytes_or_an_error(name: str) -> None:
    # The device claims its full size, as a store does that breaks off while it sends.
    fixture = FIXTURES[name]
    image = fixture.image.read_bytes()
    for size in some(range(len(image)), name):
        survive(fixture, lambda: s3archivefs.open(ShortDevice(image[:size], len(image))))  # noqa: B023 -- called at once


@pytest.mark.parametrize("name", ["hard-links", "zstd", "lz4", "xz", "lzo", "lzma", "gzip"])
def test_image_whose_end_is_zeros_gives_right_metadata_or_an_error(name: str) -> None:
    # As a download that was given its size first and then broke off.
    fixture = FIXTURES[name]
    image = fixture.image.read_bytes()
    with open_bytes(image) as fs:
        metadata = fs.superblock.inode_table_start
        bytes_used = fs.superblock.bytes_used
    for size in range(metadata, bytes_used, 3):
        damaged = image[:size] + bytes(len(image) - size)
        try:
            with open_bytes(damaged) as fs:
                assert fs.superblock.bytes_used == bytes_used
                observe(fs)
        except s3archivefs.SquashfsError:
            continue


@pytest.mark.property
@given(
    name=st.sampled_from(sorted(FIXTURES)),
    changes=st.lists(
        st.tuples(st.integers(0, 16 << 10), st.integers(0, 255)), min_size=1, max_size=4
    ),
)
def test_changed_bytes_give_data_or_one_of_the_errors(
    name: str, changes: list[tuple[int, int]]
) -> None:
    fixture = FIXTURES[name]
    damaged = bytearray(fixture.image.read_bytes())
    for position, value in changes:
        damaged[position % len(damaged)] = value
    explore(bytes(damaged), fixture.offset)


@pytest.mark.property
@pytest.mark.parametrize(
    "name", ["uncompressed", "uncompressed-inodes", "indexed", "special", "hard-links"]
)
def test_every_kind_of_change_to_metadata_gives_data_or_one_of_the_errors(name: str) -> None:
    fixture = FIXTURES[name]
    image = fixture.image.read_bytes()
    inode_table = struct.unpack_from("<Q", image, 64)[0]
    bytes_used = struct.unpack_from("<Q", image, 40)[0]
    positions = [*range(96), *range(inode_table, bytes_used)]
    for position in some(positions, name):
        for value in (0x00, 0xFF, image[position] ^ 0x01, image[position] ^ 0x80):
            damaged = bytearray(image)
            damaged[position] = value
            explore(bytes(damaged))


def explore(image: bytes, offset: int = 0) -> None:
    """Read all, within bounds, and allow only errors of the reader and path faults."""
    limits = s3archivefs.Limits(read_all_bytes=1 << 20, walk_depth=16)
    try:
        with s3archivefs.open(s3archivefs.BytesDevice(image), offset=offset, limits=limits) as fs:
            for number, (top, _, _) in enumerate(fs.walk("/")):
                if number > 100:
                    break
                for entry in fs.scandir(top):
                    explore_entry(fs, entry)
    except s3archivefs.SquashfsError:
        pass


def explore_entry(fs: s3archivefs.SquashFS, entry: s3archivefs.DirEntry[str]) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
        if found.kind is s3archivefs.FileKind.FILE:
            content = fs.read_bytes(entry.path)
            assert len(content) == found.size
            with fs.open(entry.path) as opened:
                opened.seek(found.size // 2)
                assert opened.read(1) == content[found.size // 2 :][:1]
        elif found.kind is s3archivefs.FileKind.SYMLINK:
            assert len(fs.readlink(entry.path)) <= found.size
    except s3archivefs.SquashfsError:
        pass


# ---- Faults that need a second file to show ------------------------------------------------------


def test_block_kept_for_one_file_is_not_taken_for_another_length(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # Two equal files share their blocks; then the second one's inode claims ten bytes more.
    content = noise(5000)
    tree = (file("first", content), file("second", content))
    path = make_image(tmp_path_factory.mktemp("shared"), tree, "-noI", "-no-fragments")
    image = bytearray(path.read_bytes())
    sizes = [
        at for at in range(96, len(image) - 4) if image[at : at + 4] == struct.pack("<I", 5000)
    ]
    assert len(sizes) == 2
    struct.pack_into("<I", image, sizes[1], 5010)
    with open_bytes(bytes(image)) as fs:
        for _ in range(2):  # before the first file's block is kept, and after
            with fs.open("second") as second:
                second.seek(4990)
                with pytest.raises(s3archivefs.CorruptImageError):
                    second.read()
            with fs.open("first") as first:
                first.seek(4990)
                assert first.read() == content[4990:]
