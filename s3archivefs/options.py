"""The compressor options behind the superblock: how the writer compressed the image.

Reading needs none of them. So they are checked only where their layout is known, and only as far as
Linux checks them before it mounts an image (decompressor.c, xz_wrapper.c, lz4_wrapper.c). OpenWrt's
writer stores 12 bytes for xz, and not the values of Linux's 8 at their start.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.device_reads import read_decoded
from s3archivefs.errors import CorruptImageError, UnsupportedError
from s3archivefs.format import (
    METADATA_BLOCK_STORED,
    Compression,
    GzipOptions,
    Lz4Options,
    LzoOptions,
    Superblock,
    SuperblockFlags,
    XzOptions,
    ZstdOptions,
)

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice
    from s3archivefs.records import Record

__all__ = ["check_compressor_options", "data_start", "read_compressor_options"]

_START = Superblock.layout.size
_HEADER_SIZE = 2
_SIZE_MAX = 4096  # bytes; Linux has one page for them
_LZ4_VERSION = 1
_DICTIONARY_MAX = (1 << 31) - 1  # bytes; Linux keeps the size in a signed integer
_WHAT = "the compressor options"
_TOO_LONG = f"{_WHAT} run into the inode table"
_RECORDS: dict[Compression, type[Record]] = {
    Compression.GZIP: GzipOptions,
    Compression.LZO: LzoOptions,
    Compression.XZ: XzOptions,
    Compression.LZ4: Lz4Options,
    Compression.ZSTD: ZstdOptions,
}


def data_start(device: BlockDevice, superblock: Superblock) -> int:
    """Return where data can start: behind the superblock, and the options that may follow it.

    Raises what `check_compressor_options` raises.

    Format: "Overview".
    """
    stored = check_compressor_options(device, superblock)
    return _START if stored is None else _START + _HEADER_SIZE + len(stored)


def read_compressor_options(device: BlockDevice, superblock: Superblock) -> Record | None:
    """Return the options that the writer stored, or None where it used its defaults.

    Raises UnsupportedError where their size is unknown, and what `check_compressor_options` raises.

    Format: "Compression Options".
    """
    stored = check_compressor_options(device, superblock)
    if stored is None:
        return None
    record = _RECORDS[superblock.compression]
    if len(stored) != record.layout.size:
        raise UnsupportedError(
            f"{superblock.compression.name.lower()} options of {len(stored)} bytes, where"
            f" {record.layout.size} are known; reading needs none of them"
        )
    return record.parse(stored)


def check_compressor_options(device: BlockDevice, superblock: Superblock) -> bytes | None:
    """Check the stored options and return them undecoded, or None where the image has none.

    Raises CorruptImageError where they are damaged, or where an lz4 image lacks them, and
    UnsupportedError for another version of lz4.

    Format: "Compression Options".
    """
    compression = superblock.compression
    if not superblock.flags & SuperblockFlags.COMPRESSOR_OPTIONS:
        if compression is Compression.LZ4:
            raise CorruptImageError("an lz4 image lacks its compressor options", _START)
        return None
    if compression not in _RECORDS:
        raise CorruptImageError(f"{compression.name.lower()} has no compressor options", _START)
    room = superblock.inode_table_start - _START - _HEADER_SIZE
    if room < 0:
        raise CorruptImageError(_TOO_LONG, _START)
    size = read_decoded(device, _START, _HEADER_SIZE, _WHAT, partial(_size, room=room))
    check = partial(_checked, compression=compression)
    return read_decoded(device, _START + _HEADER_SIZE, size, _WHAT, check)


def _size(raw: bytes, *, room: int) -> int:
    """Return the size of the block, which is never compressed, by its header."""
    header = int.from_bytes(raw, "little")
    size = header & ~METADATA_BLOCK_STORED
    if not header & METADATA_BLOCK_STORED or not 0 < size <= _SIZE_MAX:
        raise CorruptImageError(f"{_WHAT} have the header {header:#06x}", _START)
    if size > room:
        raise CorruptImageError(_TOO_LONG, _START)
    return size


def _checked(stored: bytes, *, compression: Compression) -> bytes:
    """Return the block's content, unless Linux refuses it.

    Linux refuses lz4 of another version or with less than its record, and an xz dictionary that is
    neither a power of two nor the sum of two adjacent ones. Options of xz of another size have
    another layout. Linux reads no options of other compressors.
    """
    known = _RECORDS[compression].layout.size
    if compression is Compression.LZ4:
        if len(stored) < known:
            raise CorruptImageError(f"{_WHAT} have {len(stored)} bytes of {known}", _START)
        version = Lz4Options.parse(stored).version
        if version != _LZ4_VERSION:
            raise UnsupportedError(f"lz4 of version {version}; only version 1 is known")
    elif compression is Compression.XZ and len(stored) == known:
        size = XzOptions.parse(stored).dictionary_size
        lowest_bit = size & -size
        if not 0 < size <= _DICTIONARY_MAX or size not in {lowest_bit, 3 * lowest_bit}:
            raise CorruptImageError(f"{_WHAT} claim an xz dictionary of {size} bytes", _START)
    return stored
