"""The superblock: its fields, magic numbers, place, and contradictions."""

from __future__ import annotations

import struct

import pytest

import s3archivefs
from s3archivefs.format import SuperblockFlags
from s3archivefs.superblock import read_superblock
from tests.support.images.drafts import SUPERBLOCK, edited
from tests.support.images.fixtures import FIXTURES, observe, open_fixture

# ---- All fields ----------------------------------------------------------------------------------

GOLDEN = """
    68737173 06000000 00105e5f 00100000 01000000
    0100 0c00 c000 0100 0400 0000
    e400000000000000 8004000000000000
    cc03000000000000 6804000000000000 cc02000000000000
    3803000000000000 9e03000000000000 be03000000000000
"""


def test_all_19_fields_are_read_from_the_96_bytes() -> None:  # D1
    image = FIXTURES["xattrs"].image.read_bytes()
    assert image[:96] == bytes.fromhex(GOLDEN)
    with open_fixture(FIXTURES["xattrs"]) as fs:
        assert fs.superblock.as_dict() == {
            "magic": 0x73717368,
            "inode_count": 6,
            "mkfs_time": 1_600_000_000,
            "block_size": 4096,
            "fragment_count": 1,
            "compression": s3archivefs.Compression.GZIP,
            "block_log": 12,
            "flags": SuperblockFlags.DUPLICATES | SuperblockFlags.EXPORTABLE,
            "id_count": 1,
            "version_major": 4,
            "version_minor": 0,
            "root_inode": 0xE4,
            "bytes_used": 0x480,
            "id_table_start": 0x3CC,
            "xattr_table_start": 0x468,
            "inode_table_start": 0x2CC,
            "directory_table_start": 0x338,
            "fragment_table_start": 0x39E,
            "export_table_start": 0x3BE,
        }
        assert isinstance(fs.superblock.compression, s3archivefs.Compression)
        assert isinstance(fs.superblock.flags, SuperblockFlags)


def test_times_of_creation_are_unsigned() -> None:  # D13
    with open_fixture(FIXTURES["largest-time"]) as fs:
        assert fs.superblock.mkfs_time == 2**32 - 1
        assert fs.stat("/d/f").mtime == fs.stat("/").mtime == 2**32 - 1


# ---- Magic numbers, and the superblock at the end ------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "error", "said", "is_one"),
    [
        (b"hsqs", s3archivefs.UnsupportedError, r"version 0\.0", True),
        (b"sqsh", s3archivefs.UnsupportedError, "big-endian", False),
        (b"SQSH", s3archivefs.CorruptImageError, "streamed", True),
        (b"HSQS", s3archivefs.CorruptImageError, "streamed", True),
    ],
)
def test_each_magic_number_is_told_apart(  # D2
    magic: bytes, error: type[Exception], said: str, *, is_one: bool
) -> None:
    device = s3archivefs.BytesDevice(magic + bytes(96))
    with pytest.raises(error, match=said):
        s3archivefs.open(device)
    assert s3archivefs.is_squashfs(device) is is_one


def streamed(image: bytes, magic: bytes) -> bytes:
    """The image as `mksquashfs -stream` lays it out: its superblock in the last 96 bytes."""
    return magic + bytes(92) + image[96:] + image[:96]


@pytest.mark.parametrize("magic", [b"SQSH", b"HSQS"])
@pytest.mark.parametrize("name", ["gzip", "lz4", "unpadded", "xattrs"])
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "not counted"])
def test_streamed_image_reads_as_the_plain_one(  # D2
    name: str, magic: bytes, *, counted: bool
) -> None:
    draft = edited(name)
    del draft.data[draft["bytes_used"] :]
    if counted:  # whether or not bytes_used counts the superblock at the end
        draft["bytes_used"] += 96
    image = streamed(bytes(draft.data), magic)
    for source, offset in ((image, 0), (b"before" * 9 + image, 54)):
        device = s3archivefs.BytesDevice(source)
        assert s3archivefs.is_squashfs(device) is (offset == 0)
        with s3archivefs.open(device, offset=offset) as fs:
            assert observe(fs) == FIXTURES[name].tree
            assert list(fs.verify()) == []
            assert fs.superblock.magic == 0x73717368


@pytest.mark.parametrize("size", [96, 97, 191, 192, 1000, 4096])
def test_streamed_image_without_its_superblock_is_corrupt(size: int) -> None:  # D2
    for rest in (bytes(size - 4), b"SQSH" * size):
        with pytest.raises(s3archivefs.CorruptImageError, match="does not end"):
            s3archivefs.open(s3archivefs.BytesDevice((b"SQSH" + rest)[:size]))


def test_streamed_image_checks_its_superblock_like_any_other() -> None:
    draft = edited("gzip")
    draft["block_size"] = 4097
    image = streamed(bytes(draft.data), b"SQSH")
    with pytest.raises(s3archivefs.CorruptImageError, match="block size 4097"):
        s3archivefs.open(s3archivefs.BytesDevice(image))


# ---- bytes_used ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gzip", "xattrs", "empty"])
def test_only_bytes_used_counts_not_the_length_of_the_file(name: str) -> None:  # D3
    draft = edited(name)
    end = draft["bytes_used"]
    assert end < len(draft.data)  # the tools pad to 4 KiB
    for image in (bytes(draft.data) + b"junk" * (1 << 18), bytes(draft.data[:end])):
        with s3archivefs.open(s3archivefs.BytesDevice(image)) as fs:
            assert observe(fs) == FIXTURES[name].tree
            assert list(fs.verify()) == []
    with pytest.raises(s3archivefs.TruncatedImageError, match=rf"{end} bytes.*{end - 1}"):
        s3archivefs.open(s3archivefs.BytesDevice(bytes(draft.data[: end - 1])))


@pytest.mark.parametrize("offset", [0, 1, 96, 1000, 4096])
@pytest.mark.parametrize("name", ["unpadded", "xattrs", "lz4"])
def test_positions_count_from_the_start_of_the_image_wherever_that_is(
    name: str, offset: int
) -> None:  # D14
    image = b"j" * offset + FIXTURES[name].image.read_bytes() + b"junk"
    with s3archivefs.open(s3archivefs.BytesDevice(image), offset=offset) as fs:
        assert observe(fs) == FIXTURES[name].tree
        assert list(fs.verify()) == []
    part = s3archivefs.OffsetDevice(s3archivefs.BytesDevice(image), offset)
    with s3archivefs.open(part) as fs:
        assert observe(fs) == FIXTURES[name].tree
    if offset:
        with pytest.raises(s3archivefs.NotSquashfsError):
            s3archivefs.open(s3archivefs.BytesDevice(image), offset=offset - 1)


# ---- Counts that contradict each other -----------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "largest"), [("fragment_count", 10), ("id_count", 20)], ids=["fragments", "ids"]
)
def test_more_fragments_or_ids_than_inodes_can_use_are_refused(field: str, largest: int) -> None:
    # F4: unsquashfs refuses these counts, the kernel does not; they bound what is read and kept.
    draft = edited("gzip")
    draft["inode_count"] = 10
    draft[field] = largest
    assert getattr(read_superblock(s3archivefs.BytesDevice(bytes(draft.data))), field) == largest
    draft[field] = largest + 1
    with pytest.raises(s3archivefs.CorruptImageError, match=f"{largest + 1} .* for 10 inodes"):
        draft.open()


@pytest.mark.parametrize(("field", "said"), [("inode_count", "no inodes"), ("id_count", "0 ids")])
def test_image_without_inodes_or_ids_is_refused(field: str, said: str) -> None:
    draft = edited("gzip")
    draft[field] = 0
    with pytest.raises(s3archivefs.CorruptImageError, match=said):
        draft.open()


# ---- Flags ---------------------------------------------------------------------------------------


def test_all_flags_at_once_change_nothing_but_the_options() -> None:  # D8
    for flags in (0xFBFF, 0x0000):
        draft = edited("gzip")
        draft["flags"] = flags
        with draft.open() as fs:
            assert observe(fs) == FIXTURES["gzip"].tree
            assert fs.superblock.flags == flags
            assert fs.compressor_options is None


def test_fields_of_the_drafts_are_those_of_the_format() -> None:
    assert list(SUPERBLOCK) == list(s3archivefs.Superblock.__annotations__)
    assert struct.calcsize("<" + "".join(layout for _, layout in SUPERBLOCK.values())) == 96
