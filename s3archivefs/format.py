"""The squashfs 4.0 on-disk format on one page, in the order of the disk.

Each record is declared once, as a class whose annotations name the types of its fields; `records`
makes two decoders of that. Variable-length tails (names, block lists, link targets) are read by the
modules that know their bounds, and values are checked by the readers, which can say where a fault
is.

All integers are little-endian. A "reference" is (metadata block, relative to its table) << 16 |
offset inside the block once decoded.

Docstrings here and elsewhere name, as `Format: "..."`, the sections of the format's public
description that they rest on: "Squashfs Binary Format", https://dr-emann.github.io/squashfs/, kept
as doc/format.adoc of squashfs-tools-ng.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, TypeAlias

from s3archivefs.records import Record, record

if TYPE_CHECKING:
    from s3archivefs.records import S16, U16, U32, U64

__all__ = [
    "ABSENT_32",
    "ABSENT_64",
    "BLOCK_SIZE_MAX",
    "BLOCK_SIZE_MIN",
    "DATA_BLOCK_STORED",
    "EXTENDED",
    "MAGIC",
    "MAGIC_BIG_ENDIAN",
    "MAGIC_STREAMED",
    "METADATA_BLOCK_SIZE",
    "METADATA_BLOCK_STORED",
    "NAME_MAX",
    "RUN_MAX",
    "SYMLINK_MAX",
    "XATTR_PREFIXES",
    "XATTR_VALUE_ELSEWHERE",
    "BasicDevice",
    "BasicDirectory",
    "BasicFile",
    "BasicIpc",
    "BasicSymlink",
    "Compression",
    "DirectoryEntry",
    "DirectoryHeader",
    "DirectoryIndex",
    "ExtendedDevice",
    "ExtendedDirectory",
    "ExtendedFile",
    "ExtendedIpc",
    "ExtendedSymlink",
    "FragmentEntry",
    "GzipOptions",
    "InodeHeader",
    "InodeType",
    "Lz4Options",
    "LzoOptions",
    "Superblock",
    "SuperblockFlags",
    "XattrId",
    "XattrKey",
    "XattrTableHeader",
    "XzOptions",
    "ZstdOptions",
]

# ---- Constants -----------------------------------------------------------------------------------

MAGIC = 0x73717368
"""`hsqs` on disk."""
MAGIC_BIG_ENDIAN = 0x68737173
"""`sqsh` on disk: big-endian, versions 1 to 3."""
MAGIC_STREAMED = (0x53515348, 0x48535153)
"""`HSQS` (or `SQSH`) on disk: the superblock is the image's last 96 bytes.

`mksquashfs -stream` writes such images.
"""

BLOCK_SIZE_MIN = 4096
BLOCK_SIZE_MAX = 1 << 20
"""Bytes in a full data block, from BLOCK_SIZE_MIN on; a power of two."""
METADATA_BLOCK_SIZE = 8192
"""Bytes in a full metadata block, decoded."""
METADATA_BLOCK_STORED = 0x8000
"""Bit of a metadata block's header, set where the block is stored uncompressed."""
DATA_BLOCK_STORED = 1 << 24
"""Bit of a data block's size word, set where the block is stored uncompressed.

The low 24 bits are the size.
"""
NAME_MAX = 256
"""Bytes in a directory entry's name."""
SYMLINK_MAX = 65535
"""Bytes in a symlink's target."""
RUN_MAX = 256
"""Entries behind one directory header."""
XATTR_PREFIXES = {0: b"user.", 1: b"trusted.", 2: b"security."}
"""Prefixes of names, by the low byte of a key's type."""
XATTR_VALUE_ELSEWHERE = 0x0100
"""Bit of a key's type, set where the value is a reference to another."""
ABSENT_32 = 0xFFFF_FFFF
"""The index that stands for no fragment, or no xattrs."""
ABSENT_64 = 0xFFFF_FFFF_FFFF_FFFF
"""The position that stands for no such table."""


class Compression(IntEnum):
    """Compressor ids. Format: "The Superblock"."""

    GZIP = 1
    LZMA = 2
    LZO = 3
    XZ = 4
    LZ4 = 5
    ZSTD = 6


class SuperblockFlags(IntFlag):
    """How the image was written. Only COMPRESSOR_OPTIONS changes the layout; the others inform.

    Format: "The Superblock".
    """

    UNCOMPRESSED_INODES = 0x0001
    UNCOMPRESSED_DATA = 0x0002
    CHECK = 0x0004
    UNCOMPRESSED_FRAGMENTS = 0x0008
    NO_FRAGMENTS = 0x0010
    ALWAYS_FRAGMENTS = 0x0020
    DUPLICATES = 0x0040
    EXPORTABLE = 0x0080
    UNCOMPRESSED_XATTRS = 0x0100
    NO_XATTRS = 0x0200
    COMPRESSOR_OPTIONS = 0x0400
    UNCOMPRESSED_IDS = 0x0800


class InodeType(IntEnum):
    """Inode types: a basic one per kind of file, and the same plus EXTENDED.

    Format: "Common Inode Header".
    """

    DIRECTORY = 1
    FILE = 2
    SYMLINK = 3
    BLOCK_DEVICE = 4
    CHAR_DEVICE = 5
    FIFO = 6
    SOCKET = 7


EXTENDED = 7
"""The difference between an extended inode type and its basic one."""

CompressionU16: TypeAlias = Compression
SuperblockFlagsU16: TypeAlias = SuperblockFlags

# ---- Superblock ----------------------------------------------------------------------------------


@record
class Superblock(Record):
    """The first 96 bytes of the image.

    Positions are bytes from its start; ABSENT_64 marks a table that the image lacks. The starts of
    the id, fragment and export tables are those of their lists of block positions, the xattr
    table's that of a header before its list, the others' that of the first metadata block.

    Format: "The Superblock".
    """

    magic: U32
    inode_count: U32
    mkfs_time: U32
    """Seconds since the epoch, unsigned."""
    block_size: U32
    """Bytes in a full data block."""
    fragment_count: U32
    compression: CompressionU16
    block_log: U16
    flags: SuperblockFlagsU16
    id_count: U16
    version_major: U16
    version_minor: U16
    root_inode: U64
    """Reference of the root directory's inode."""
    bytes_used: U64
    """Bytes in the image without its padding."""
    id_table_start: U64
    xattr_table_start: U64
    inode_table_start: U64
    directory_table_start: U64
    fragment_table_start: U64
    export_table_start: U64


# ---- Compressor options --------------------------------------------------------------------------
# One record in an uncompressed metadata block behind the superblock, where the writer did not use
# its defaults; always with lz4, never with lzma.


@record
class GzipOptions(Record):
    """Options of gzip.

    Format: "Compression Options".
    """

    level: U32
    window_log: U16
    strategies: U16


@record
class LzoOptions(Record):
    """Options of lzo: the algorithm that made the blocks; all decode alike.

    Format: "Compression Options".
    """

    algorithm: U32
    level: U32


@record
class XzOptions(Record):
    """Options of xz; each block is a whole .xz stream, which repeats them.

    Format: "Compression Options".
    """

    dictionary_size: U32
    """Bytes."""
    filters: U32
    """One bit for each branch filter that the writer tried."""


@record
class Lz4Options(Record):
    """Options of lz4.

    Format: "Compression Options".
    """

    version: U32
    flags: U32
    """Bit 0: the high-compression mode."""


@record
class ZstdOptions(Record):
    """Options of zstd.

    Format: "Compression Options".
    """

    level: U32


# ---- Inode table ---------------------------------------------------------------------------------


@record
class InodeHeader(Record):
    """The start of every inode.

    Format: "Common Inode Header".
    """

    type: U16
    mode: U16
    """Permission bits only: the type says what the inode is."""
    uid_index: U16
    gid_index: U16
    mtime: U32
    """Seconds since the epoch, unsigned."""
    inode_number: U32


@record
class BasicDirectory(InodeHeader):
    """Directory; its listing is at `start_block`, `offset` of the directory table.

    The listing has `size - 3` bytes.

    Format: "Directory Inodes".
    """

    start_block: U32
    nlink: U32
    size: U16
    offset: U16
    parent_inode: U32


@record
class ExtendedDirectory(InodeHeader):
    """Directory with xattrs, an index or a long listing.

    `index_count` DirectoryIndex records follow.

    Format: "Directory Inodes".
    """

    nlink: U32
    size: U32
    start_block: U32
    parent_inode: U32
    index_count: U16
    offset: U16
    xattr_index: U32


@record
class BasicFile(InodeHeader):
    """Regular file; the list of u32 block sizes follows.

    Format: "File Inodes".
    """

    blocks_start: U32
    fragment_index: U32
    fragment_offset: U32
    size: U32


@record
class ExtendedFile(InodeHeader):
    """Regular file with links, xattrs, holes or 64-bit sizes.

    The list of u32 block sizes follows.

    Format: "File Inodes".
    """

    blocks_start: U64
    size: U64
    sparse: U64
    """Bytes in holes, for information: reading goes by the block list."""
    nlink: U32
    fragment_index: U32
    fragment_offset: U32
    xattr_index: U32


@record
class BasicSymlink(InodeHeader):
    """Symbolic link; `target_size` bytes of target follow.

    Format: "Symbolic Links".
    """

    nlink: U32
    target_size: U32


@record
class ExtendedSymlink(BasicSymlink):
    """As BasicSymlink; behind the target stands a u32 xattr index.

    Format: "Symbolic Links".
    """


@record
class BasicDevice(InodeHeader):
    """Block or character device; `rdev` in Linux's 32-bit encoding.

    Format: "Device Special Files".
    """

    nlink: U32
    rdev: U32


@record
class ExtendedDevice(BasicDevice):
    """Device with xattrs.

    Format: "Device Special Files".
    """

    xattr_index: U32


@record
class BasicIpc(InodeHeader):
    """Fifo or socket.

    Format: "IPC Inodes".
    """

    nlink: U32


@record
class ExtendedIpc(BasicIpc):
    """Fifo or socket with xattrs.

    Format: "IPC Inodes".
    """

    xattr_index: U32


# ---- Directory table -----------------------------------------------------------------------------


@record
class DirectoryHeader(Record):
    """Head of a run of `count_minus_one + 1` entries, whose inodes share a metadata block.

    Format: "Directory Table".
    """

    count_minus_one: U32
    inode_block: U32
    """Start of that metadata block, relative to the inode table."""
    inode_number: U32
    """The number to which the entries' deltas are added."""


@record
class DirectoryEntry(Record):
    """One entry; its name of `name_size_minus_one + 1` bytes follows.

    Format: "Directory Table".
    """

    inode_offset: U16
    inode_delta: S16
    type: U16
    """A basic InodeType, even where the inode is extended."""
    name_size_minus_one: U16


@record
class DirectoryIndex(Record):
    """A place in a long listing where a run starts in a new metadata block.

    The first name of the run follows, with `name_size_minus_one + 1` bytes.

    Format: "Directory Index".
    """

    listing_offset: U32
    """Bytes from the start of the listing."""
    block: U32
    """Start of that metadata block, relative to the directory table."""
    name_size_minus_one: U32


# ---- Xattr table ---------------------------------------------------------------------------------


@record
class XattrTableHeader(Record):
    """The record at the superblock's xattr table start.

    The list of positions of the blocks of XattrId records follows.

    Format: "Extended Attribute Table".
    """

    pairs_start: U64
    """Start of the first metadata block of pairs, from the start of the image."""
    count: U32
    """Number of sets of attributes."""
    unused: U32


@record
class XattrId(Record):
    """A set of attributes, shared by the inodes that name its index.

    Format: "Extended Attribute Table".
    """

    reference: U64
    """Reference of the first pair, relative to `pairs_start`."""
    count: U32
    size: U32
    """Bytes, which writers count in different ways; the reader ignores them."""


@record
class XattrKey(Record):
    """Head of a pair of name and value.

    `name_size` bytes of name without its prefix follow, then a u32 size and the value.

    Format: "Extended Attribute Table".
    """

    type: U16
    """The name's prefix, and XATTR_VALUE_ELSEWHERE."""
    name_size: U16


# ---- Fragment table ------------------------------------------------------------------------------


@record
class FragmentEntry(Record):
    """A block with tails of files; `size` is a word like those of block lists.

    Format: "Fragment Table".
    """

    start: U64
    size: U32
    unused: U32
