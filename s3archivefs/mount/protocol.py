"""The messages of Linux's FUSE protocol that a read-only mount needs.

They are declared in the machine's own byte order, as linux/fuse.h has them. Every request begins
with a header, every answer with another; only the bodies differ.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct

__all__ = [
    "ATTRIBUTES",
    "BATCH_FORGET",
    "CACHE_LISTING",
    "DAY_SECONDS",
    "ENTRY",
    "FLUSHLESS",
    "INIT_IN",
    "INIT_OUT",
    "INTERRUPT",
    "INVALIDATED_ENTRY",
    "INVALIDATED_NODE",
    "KEEP_CACHE",
    "MAJOR",
    "MINOR",
    "MINOR_NEEDED",
    "NAMES",
    "NAMES_AND_ATTRIBUTES",
    "NAMES_WITHOUT_ATTRIBUTES",
    "OPENED",
    "READ_IN",
    "RELEASE_IN",
    "REQUEST_BYTES",
    "REQUEST_HEADER",
    "ROOT_NODE",
    "STATISTICS",
    "XATTR_IN",
    "XATTR_SIZE",
    "Feature",
    "Notice",
    "Opcode",
    "answer_header",
    "sectors",
]

MAJOR, MINOR = 7, 31
"""The version that is spoken; a kernel with a newer one speaks this one too."""
MINOR_NEEDED = 23
"""The first minor version whose answer to INIT has today's length: Linux 3.15."""
ROOT_NODE = 1
"""The node id of a mount's root."""
DAY_SECONDS = 86_400
"""Seconds that the kernel may keep names and attributes: an image does not change."""
REQUEST_BYTES = 64 << 10
"""Bytes of the longest request that is taken: the kernel sends no data to write."""


class Opcode(IntEnum):
    """Requests of the kernel that are answered with more than "not implemented"."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    READLINK = 5
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    GETXATTR = 22
    LISTXATTR = 23
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44


class Feature(IntFlag):
    """What kernel and mount agree on in INIT."""

    ASYNC_READ = 1 << 0
    EXPORT_SUPPORT = 1 << 4
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23


class Notice(IntEnum):
    """What a mount tells the kernel unasked."""

    INVALIDATE_NODE = 2
    INVALIDATE_ENTRY = 3


REQUEST_HEADER = Struct("=IIQQIIIHH")
"""Length, opcode, number of the request, node; uid, gid and pid of the caller; extensions."""
INIT_IN = Struct("=IIII")
"""Major and minor version, bytes of readahead, features."""
INIT_OUT = Struct("=IIIIHHIIHHI28x")
"""The same; background requests, congestion, bytes of a write, ns of time, pages, alignment."""
READ_IN = Struct("=QQI")
"""Handle, offset and size, of READ, READDIR and READDIRPLUS."""
RELEASE_IN = Struct("=Q")
"""Handle."""
XATTR_IN = Struct("=I4x")
"""Bytes that the caller has room for; of GETXATTR a name follows."""
XATTR_SIZE = Struct("=I4x")
"""Bytes that an answer would have."""
INTERRUPT = Struct("=Q")
"""Number of the request that its caller waits for no longer."""
BATCH_FORGET = Struct("=I4x")
"""Number of forgotten nodes."""
OPENED = Struct("=QI4x")
"""Handle and flags."""
STATISTICS = Struct("=QQQQQIII4x24x")
"""Blocks, free, available; files, free; bytes of a block, of a name, of a fragment."""
INVALIDATED_NODE = Struct("=Qqq")
"""Node, offset and length."""
INVALIDATED_ENTRY = Struct("=QI4x")
"""Directory and length of the name, which follows with a NUL."""

KEEP_CACHE = 1 << 1
"""Flag of an opened file: what the kernel has of its content is still right."""
FLUSHLESS = 1 << 5
"""Flag of an opened file: to close it takes no request but RELEASE."""

CACHE_LISTING = 1 << 3
"""Flag of an opened directory: the kernel may keep its listing."""

_ATTRIBUTES = "QQQQQQ12xIIIII8x"
ATTRIBUTES = Struct(f"=Q8x{_ATTRIBUTES}")
"""Seconds to keep them, inode number, size, sectors, three times, mode, nlink, uid, gid, rdev."""
_ENTRY = f"Q8xQQ8x{_ATTRIBUTES}"
ENTRY = Struct(f"={_ENTRY}")
"""Node, seconds to keep the name, then as ATTRIBUTES."""
_SECTOR = 512  # bytes

_ANSWER_HEADER = Struct("=IiQ")
_ALIGNMENT = 8


def answer_header(length: int, error: int, request: int) -> bytes:
    """Return the header of an answer whose body has `length` bytes.

    Of a notice, `error` is its kind and `request` 0.
    """
    return _ANSWER_HEADER.pack(_ANSWER_HEADER.size + length, error, request)


def _aligned(length: int) -> int:
    """Return the bytes that a name takes with zeros behind it."""
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def _layouts(before: str) -> tuple[Struct, ...]:
    """Return the layouts of entries by the lengths of their names, up to 256 bytes."""
    return tuple(Struct(f"={before}QQII{_aligned(length)}s") for length in range(257))


NAMES = _layouts("")
"""Entries of READDIR: inode number, offset behind it, length, type, name."""
NAMES_AND_ATTRIBUTES = _layouts(_ENTRY)
"""Entries of READDIRPLUS: ENTRY, then as READDIR's."""
NAMES_WITHOUT_ATTRIBUTES = _layouts(f"{ENTRY.size}x")
"""Entries of READDIRPLUS without attributes: as READDIR's, behind zeros."""


def sectors(size: int, hole_bytes: int) -> int:
    """Return the sectors that a file takes without its holes, as stat(2) counts them."""
    stored = max(size - hole_bytes, 0) if hole_bytes else size  # an inode may claim any number
    return -(-stored // _SECTOR)
