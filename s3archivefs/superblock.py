"""The superblock, read and validated, and the extent of the image that each table takes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.device_reads import read_decoded
from s3archivefs.errors import (
    CorruptImageError,
    NotSquashfsError,
    TruncatedImageError,
    UnsupportedError,
)
from s3archivefs.format import (
    ABSENT_64,
    BLOCK_SIZE_MAX,
    BLOCK_SIZE_MIN,
    MAGIC,
    MAGIC_BIG_ENDIAN,
    MAGIC_STREAMED,
    METADATA_BLOCK_SIZE,
    Compression,
    FragmentEntry,
    Superblock,
    SuperblockFlags,
)
from s3archivefs.named_tuples import NamedTuple

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice

__all__ = [
    "ID_SIZE",
    "POINTER_SIZE",
    "REFERENCE_SIZE",
    "Extent",
    "Tables",
    "block_count",
    "is_image_start",
    "read_superblock",
    "tables_of",
]

_SUPERBLOCK_SIZE = Superblock.layout.size
ID_SIZE = 4
REFERENCE_SIZE = 8
POINTER_SIZE = 8


class Extent(NamedTuple):
    """A half-open range of the image: bytes [start, end)."""

    start: int
    end: int


class Tables(NamedTuple):
    """The extent of each table.

    That of a look-up table is the extent of its list of block positions; its blocks lie between the
    inode table and that list.
    """

    inodes: Extent
    directories: Extent
    ids: Extent
    fragments: Extent | None
    exports: Extent | None
    xattrs: Extent | None


def _is_magic(data: bytes) -> bool:
    """Return whether the bytes start with the magic number of a superblock."""
    return int.from_bytes(data[:4], "little") == MAGIC


def is_image_start(data: bytes) -> bool:
    """Return whether a squashfs 4.0 image, streamed or not, starts with these bytes."""
    return int.from_bytes(data[:4], "little") in {MAGIC, *MAGIC_STREAMED}


def read_superblock(device: BlockDevice) -> Superblock:
    """Read the image's superblock and check each of its fields.

    Raises NotSquashfsError, UnsupportedError (big-endian, other versions, unknown compressors),
    TruncatedImageError where the device is shorter than the image, CorruptImageError.

    Format: "The Superblock".
    """
    size = min(_SUPERBLOCK_SIZE, device.size)
    return read_decoded(device, 0, size, "the superblock", partial(_superblock, device))


def _superblock(device: BlockDevice, head: bytes) -> Superblock:
    """Return the superblock of an image that starts with `head`."""
    magic = int.from_bytes(head[:4], "little")
    if magic == MAGIC_BIG_ENDIAN:
        raise UnsupportedError(
            "a big-endian squashfs image (versions 1 to 3); only little-endian 4.0 images are read"
        )
    if magic in MAGIC_STREAMED and device.size >= _SUPERBLOCK_SIZE:
        # mksquashfs -stream cannot go back to the start, and writes the superblock last.
        start = device.size - _SUPERBLOCK_SIZE
        what = "the superblock at the end"
        return read_decoded(device, start, _SUPERBLOCK_SIZE, what, partial(_streamed, device))
    if magic != MAGIC:
        raise NotSquashfsError(_describe(head), 0)
    if len(head) < _SUPERBLOCK_SIZE:
        raise TruncatedImageError(
            f"the superblock has {_SUPERBLOCK_SIZE} bytes, the device only {len(head)}", 0
        )
    return _checked(device, head)


def _streamed(device: BlockDevice, head: bytes) -> Superblock:
    """Return the superblock `head`, read at the end of a streamed image."""
    if not _is_magic(head):
        start = device.size - _SUPERBLOCK_SIZE
        raise CorruptImageError("a streamed image does not end with its superblock", start)
    return _checked(device, head)


def _checked(device: BlockDevice, head: bytes) -> Superblock:
    superblock = Superblock.parse(head)
    _check(superblock)
    if superblock.bytes_used > device.size:
        raise TruncatedImageError(
            f"the image has {superblock.bytes_used} bytes, the device only {device.size}: "
            "was its copy cut short?",
            device.size,
        )
    superblock.flags = SuperblockFlags(superblock.flags)
    tables_of(superblock)  # raises here where they contradict each other
    return superblock


_GIVE_OFFSET = "holds one further in: say at which byte it starts, as `offset`"


def _describe(head: bytes) -> str:
    """Return what starts with `head` instead of an image, and where it may hold one."""
    if head[8:10] == b"AI":  # the magic number of AppImage, in bytes that ELF leaves free
        return f"no squashfs image: an AppImage {_GIVE_OFFSET} (--appimage-offset prints that)"
    if head[:4] == b"\x7fELF":
        return f"no squashfs image: an ELF program. If it {_GIVE_OFFSET}"
    if head[32:41] == b"SIF_MAGIC":
        return (
            f"no squashfs image: a SIF container {_GIVE_OFFSET} (`apptainer sif list` shows that)"
        )
    if not head:
        return "an empty file, no squashfs image"
    return f"not a squashfs image: it starts with {head[:4]!r} instead of b'hsqs'"


def _check(superblock: Superblock) -> None:
    version = superblock.version_major, superblock.version_minor
    if version != (4, 0):
        raise UnsupportedError(f"squashfs version {version[0]}.{version[1]}; only 4.0 is read")
    try:
        superblock.compression = Compression(superblock.compression)
    except ValueError:
        raise UnsupportedError(
            f"compressor id {superblock.compression} is unknown; "
            "1 to 6 are gzip, lzma, lzo, xz, lz4 and zstd"
        ) from None
    size = superblock.block_size
    if not BLOCK_SIZE_MIN <= size <= BLOCK_SIZE_MAX or size & (size - 1):
        raise CorruptImageError(
            f"block size {size} is not a power of two from {BLOCK_SIZE_MIN} to {BLOCK_SIZE_MAX}", 12
        )
    if superblock.block_log != size.bit_length() - 1:
        raise CorruptImageError(
            f"block size {size} and its logarithm {superblock.block_log} contradict each other", 22
        )
    if superblock.inode_count == 0:
        raise CorruptImageError("the image claims to have no inodes", 4)
    if superblock.fragment_count > superblock.inode_count:
        raise CorruptImageError(
            f"{superblock.fragment_count} fragments for {superblock.inode_count} inodes", 16
        )
    if not 1 <= superblock.id_count <= 2 * superblock.inode_count:
        raise CorruptImageError(
            f"{superblock.id_count} ids for {superblock.inode_count} inodes", 26
        )
    if not _SUPERBLOCK_SIZE <= superblock.bytes_used < 1 << 63:
        raise CorruptImageError(f"the image claims to have {superblock.bytes_used} bytes", 40)


# Bytes from the start of the image to the superblock's field with a table's start.
_START_FIELDS = {
    "id": 48,
    "xattr": 56,
    "inode": 64,
    "directory": 72,
    "fragment": 80,
    "export": 88,
}


def tables_of(superblock: Superblock) -> Tables:
    """Return the extents of the tables.

    They stand in one fixed order: inodes, directories, fragments, exports, ids, xattrs. Raises
    CorruptImageError naming the table that is out of order, outside the image, or too small for its
    count.

    Format: "Overview".
    """
    fragments = superblock.fragment_table_start if superblock.fragment_count else ABSENT_64
    starts = {
        "inode": superblock.inode_table_start,
        "directory": superblock.directory_table_start,
        "fragment": fragments,  # mksquashfs stores some position where there are no fragments
        "export": superblock.export_table_start,
        "id": superblock.id_table_start,
        "xattr": superblock.xattr_table_start,
    }
    extents: dict[str, Extent] = {}
    following, end = "the image's end", superblock.bytes_used
    for name, start in reversed(starts.items()):
        if start == ABSENT_64 and name in {"fragment", "export", "xattr"}:
            continue
        if not _SUPERBLOCK_SIZE <= start <= end or (start == end and name != "directory"):
            raise CorruptImageError(
                f"the {name} table starts at byte {start}, "
                f"which is not before {following} at byte {end}",
                _START_FIELDS[name],
            )
        extents[name] = Extent(start, end)
        following, end = f"the {name} table", start
    _check_list("id", extents["id"], superblock.id_count, ID_SIZE)
    if "fragment" in extents:
        _check_list(
            "fragment", extents["fragment"], superblock.fragment_count, FragmentEntry.layout.size
        )
    if "export" in extents:
        _check_list("export", extents["export"], superblock.inode_count, REFERENCE_SIZE)
    return Tables(
        inodes=extents["inode"],
        directories=extents["directory"],
        ids=extents["id"],
        fragments=extents.get("fragment"),
        exports=extents.get("export"),
        xattrs=extents.get("xattr"),
    )


def block_count(records: int, record_size: int) -> int:
    """Return the number of metadata blocks that hold so many records of a look-up table."""
    return -(-records * record_size // METADATA_BLOCK_SIZE)


def _check_list(name: str, extent: Extent, records: int, record_size: int) -> None:
    size = block_count(records, record_size) * POINTER_SIZE
    if extent.start + size > extent.end:
        raise CorruptImageError(
            f"the {name} table's list of blocks needs {size} bytes for {records} records, "
            f"and has {extent.end - extent.start}",
            extent.start,
        )
