"""Inodes as they are stored, complete but for their numbers.

A member's record is packed as soon as its content has its place, and has a mark for its number
until all members are known. A million small files take 80 MB so.

Format: "Inode Table".
"""

from __future__ import annotations

import sys
from array import array
from typing import NamedTuple

from s3archivefs.data import SIZE_MASK
from s3archivefs.errors import PackingError
from s3archivefs.format import (
    ABSENT_32,
    EXTENDED,
    SYMLINK_MAX,
    BasicDevice,
    BasicDirectory,
    BasicFile,
    BasicIpc,
    BasicSymlink,
    ExtendedDevice,
    ExtendedDirectory,
    ExtendedFile,
    ExtendedIpc,
    InodeType,
)
from s3archivefs.writer.entries import UnfitError

__all__ = [
    "DUPLICATE",
    "KEPT",
    "Attributes",
    "Placement",
    "added_size",
    "basic_type",
    "blocks_of",
    "device_record",
    "directory_record",
    "file_record",
    "fragment_of",
    "ipc_record",
    "is_duplicate",
    "marked",
    "mtime_of",
    "numbered",
    "owned",
    "owners_of",
    "symlink_record",
    "with_blocks_at",
    "with_fragment",
    "with_links",
    "with_xattrs",
    "xattr_index_of",
]

DUPLICATE = 1
"""Mark of an added file whose content the image held already; others have 0."""
KEPT = 2
"""Mark of what an image had before."""

_FILE = InodeType.FILE.value  # a plain number packs in half the time
_pack_basic_file = BasicFile.layout.pack
_U16_MAX = (1 << 16) - 1
_U32_MAX = (1 << 32) - 1
_OWNERS = slice(4, 8)  # of InodeHeader.uid_index and gid_index in a record
_FRAGMENTS = {InodeType.FILE: slice(20, 24), InodeType.FILE + EXTENDED: slice(44, 48)}
"""Of fragment_index in records of files, by type."""
_BLOCK_STARTS = {InodeType.FILE: slice(16, 20), InodeType.FILE + EXTENDED: slice(16, 24)}
"""Of blocks_start in records of files, by type."""
_FILE_SIZES = {
    InodeType.FILE: BasicFile.layout.size,
    InodeType.FILE + EXTENDED: ExtendedFile.layout.size,
}
"""Bytes of records of files before their block lists, by type."""
_CONTENT_SIZES = {InodeType.FILE: slice(28, 32), InodeType.FILE + EXTENDED: slice(24, 32)}
"""Of size in records of files, by type."""
_TIME = slice(8, 12)  # of InodeHeader.mtime in a record
_NUMBER = slice(12, 16)  # of InodeHeader.inode_number in a record
_MARK = 12  # of its first byte
_LINKS = slice(16, 20)  # of nlink in the records of all but files and directories


_EXTENDED_SIZES = {
    InodeType.FILE + EXTENDED: ExtendedFile.layout.size,
    InodeType.BLOCK_DEVICE + EXTENDED: ExtendedDevice.layout.size,
    InodeType.CHAR_DEVICE + EXTENDED: ExtendedDevice.layout.size,
    InodeType.FIFO + EXTENDED: ExtendedIpc.layout.size,
    InodeType.SOCKET + EXTENDED: ExtendedIpc.layout.size,
}
"""Bytes of records that end with the index of a set of attributes, by type."""


class Attributes(NamedTuple):
    """What every inode has, but for its number."""

    mode: int
    """Permission bits."""
    uid_index: int
    gid_index: int
    mtime: int
    """Seconds since the epoch."""
    xattr_index: int = ABSENT_32


class Placement(NamedTuple):
    """Where the content of a file came to lie."""

    size: int
    """Bytes."""
    blocks_start: int = 0
    """Start of the first block, in bytes from the start of the image."""
    sizes: bytes = b""
    """The list of u32 block sizes."""
    fragment_index: int = ABSENT_32
    fragment_offset: int = 0
    """Start of the tail, in bytes from the start of the fragment block."""
    sparse: int = 0
    """Bytes in holes."""


def file_record(attributes: Attributes, content: Placement, links: int = 1) -> bytes:
    """Return the record of a regular file, a basic one where that holds it."""
    *head, xattr_index = attributes
    size, start, sizes, fragment, offset, sparse = content
    if (
        links == 1
        and xattr_index == ABSENT_32
        and size <= _U32_MAX
        and start <= _U32_MAX
        and not sparse
    ):
        return _pack_basic_file(_FILE, *head, 0, start, fragment, offset, size) + sizes
    record = ExtendedFile.layout.pack(
        _FILE + EXTENDED, *head, 0, start, size, sparse, links, fragment, offset, xattr_index
    )
    return record + sizes


def symlink_record(attributes: Attributes, target: bytes) -> bytes:
    """Return the record of a symlink. Raises UnfitError for a target that none can have."""
    if not target or len(target) > SYMLINK_MAX or b"\0" in target:
        raise UnfitError(
            f"a symlink's target of {len(target)} bytes; it has 1 to {SYMLINK_MAX}, and no NUL"
        )
    kind = InodeType.SYMLINK
    record = BasicSymlink.layout.pack(kind, *attributes[:4], 0, 1, len(target)) + target
    if attributes.xattr_index == ABSENT_32:
        return record
    return _extended(record) + attributes.xattr_index.to_bytes(4, "little")


def device_record(kind: InodeType, attributes: Attributes, rdev: int) -> bytes:
    """Return the record of a block or character device. Raises UnfitError."""
    if not 0 <= rdev <= _U32_MAX:
        raise UnfitError(f"a device number of {rdev}, where squashfs holds 32 bits")
    if attributes.xattr_index == ABSENT_32:
        return BasicDevice.layout.pack(kind, *attributes[:4], 0, 1, rdev)
    return ExtendedDevice.layout.pack(
        kind + EXTENDED, *attributes[:4], 0, 1, rdev, attributes.xattr_index
    )


def ipc_record(kind: InodeType, attributes: Attributes) -> bytes:
    """Return the record of a fifo or socket."""
    if attributes.xattr_index == ABSENT_32:
        return BasicIpc.layout.pack(kind, *attributes[:4], 0, 1)
    return ExtendedIpc.layout.pack(kind + EXTENDED, *attributes[:4], 0, 1, attributes.xattr_index)


class Listed(NamedTuple):
    """Where the listing of a directory lies, in the directory table."""

    reference: int
    """Reference of its first header."""
    size: int
    """Bytes."""
    index_count: int
    index_records: bytes
    """The DirectoryIndex records, each with its name."""


def directory_record(
    attributes: Attributes, listed: Listed, links: int, number: int, parent: int
) -> bytes:
    """Return the record of a directory, with its number and that of its parent.

    Raises PackingError for a listing that is too long.
    """
    block, offset = listed.reference >> 16, listed.reference & _U16_MAX
    size = listed.size + 3  # the format counts `.` and `..`, which it does not store
    if size > _U32_MAX:
        raise PackingError(
            f"a directory whose names take {listed.size:,} bytes, where squashfs holds"
            f" {_U32_MAX - 3:,}: put its members in several"
        )
    if attributes.xattr_index == ABSENT_32 and not listed.index_count and size <= _U16_MAX:
        return BasicDirectory.layout.pack(
            InodeType.DIRECTORY, *attributes[:4], number, block, links, size, offset, parent
        )
    return (
        ExtendedDirectory.layout.pack(
            InodeType.DIRECTORY + EXTENDED,
            *attributes[:4],
            number,
            links,
            size,
            block,
            parent,
            listed.index_count,
            offset,
            attributes.xattr_index,
        )
        + listed.index_records
    )


def basic_type(record: bytes) -> int:
    """Return the type that a directory entry has for an inode."""
    kind = record[0]
    return kind - EXTENDED if kind > EXTENDED else kind


def added_size(record: bytes) -> int | None:
    """Return the bytes of content of a file that was added; None for anything else."""
    place = _CONTENT_SIZES.get(record[0])
    if place is None or record[_MARK] == KEPT:
        return None
    return int.from_bytes(record[place], "little")


def is_duplicate(record: bytes) -> bool:
    """Return whether a record has the mark of a duplicate."""
    return record[_MARK] == DUPLICATE


def marked(record: bytes, mark: int) -> bytes:
    """Return a record with a mark, before it has its number."""
    return numbered(record, mark)


def mtime_of(record: bytes) -> int:
    """Return a record's time, in seconds since the epoch."""
    return int.from_bytes(record[_TIME], "little")


def owners_of(record: bytes) -> tuple[int, int]:
    """Return the indexes of a record's user and group."""
    return record[4] | record[5] << 8, record[6] | record[7] << 8


def owned(record: bytes, uid_index: int, gid_index: int) -> bytes:
    """Return a record with other indexes of user and group."""
    owners = (uid_index | gid_index << 16).to_bytes(4, "little")
    return record[: _OWNERS.start] + owners + record[_OWNERS.stop :]


def fragment_of(record: bytes) -> int:
    """Return the number of the fragment that a record names; ABSENT_32 for none."""
    place = _FRAGMENTS.get(record[0])
    return ABSENT_32 if place is None else int.from_bytes(record[place], "little")


def with_fragment(record: bytes, index: int) -> bytes:
    """Return a file's record that names another fragment."""
    place = _FRAGMENTS[record[0]]
    return record[: place.start] + index.to_bytes(4, "little") + record[place.stop :]


def blocks_of(record: bytes) -> tuple[int, int]:
    """Return the start of a record's blocks, and the bytes that they take."""
    place = _BLOCK_STARTS.get(record[0])
    if place is None:
        return 0, 0
    words = array("I", record[_FILE_SIZES[record[0]] :])
    if sys.byteorder == "big":  # pragma: no cover -- on no machine that runs the tests
        words.byteswap()
    return int.from_bytes(record[place], "little"), sum(word & SIZE_MASK for word in words)


def with_blocks_at(record: bytes, start: int) -> bytes:
    """Return a file's record whose blocks start elsewhere."""
    place = _BLOCK_STARTS[record[0]]
    moved = start.to_bytes(place.stop - place.start, "little")
    return record[: place.start] + moved + record[place.stop :]


def with_xattrs(record: bytes, index: int) -> bytes:
    """Return a record with another index of attributes, where it has one."""
    end = _xattrs_end(record)
    return record[: end - 4] + index.to_bytes(4, "little") + record[end:] if end else record


def xattr_index_of(record: bytes) -> int:
    """Return the index of a record's attributes; ABSENT_32 for none."""
    end = _xattrs_end(record)
    return int.from_bytes(record[end - 4 : end], "little") if end else ABSENT_32


def _xattrs_end(record: bytes) -> int:
    """Return where the index of attributes ends; 0 in a basic record."""
    kind = record[0]
    if kind <= EXTENDED:
        return 0
    # Behind a symlink's target.
    return len(record) if kind == InodeType.SYMLINK + EXTENDED else _EXTENDED_SIZES[kind]


def numbered(record: bytes, number: int) -> bytes:
    """Return a record with its inode number."""
    return record[: _NUMBER.start] + number.to_bytes(4, "little") + record[_NUMBER.stop :]


def with_links(record: bytes, links: int) -> bytes:
    """Return a record of anything but a directory with its number of names."""
    if record[0] == InodeType.FILE:
        file = BasicFile.decode(record)
        content = Placement(
            file.size,
            file.blocks_start,
            record[BasicFile.layout.size :],
            file.fragment_index,
            file.fragment_offset,
        )
        head = Attributes(file.mode, file.uid_index, file.gid_index, file.mtime)
        return file_record(head, content, links)
    if record[0] == InodeType.FILE + EXTENDED:
        fields: list[int] = [*ExtendedFile.layout.unpack_from(record)]
        fields[list(ExtendedFile.codes).index("nlink")] = links
        return ExtendedFile.layout.pack(*fields) + record[ExtendedFile.layout.size :]
    return record[: _LINKS.start] + links.to_bytes(4, "little") + record[_LINKS.stop :]


def _extended(record: bytes) -> bytes:
    return (record[0] + EXTENDED).to_bytes(2, "little") + record[2:]
