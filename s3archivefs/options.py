"""The compressor options behind the superblock: what the writer says of how it compressed.

Reading needs none of them. So what they say is judged only as far as Linux judges it before it
mounts an image (decompressor.c, xz_wrapper.c, lz4_wrapper.c), and writers may store more than is
known here: OpenWrt's has 12 bytes for xz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.device import read_exactly
from s3archivefs.errors import CorruptImageError, UnsupportedError
from s3archivefs.format import (
    METADATA_BLOCK_STORED,
    Compression,
    GzipOptions,
    Lz4Options,
    LzoOptions,
    Record,
    Superblock,
    SuperblockFlags,
    XzOptions,
    ZstdOptions,
)

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice

__all__ = ["check_compressor_options", "read_compressor_options"]

_START = Superblock.layout.size
_HEADER_SIZE = 2
_SIZE_MAX = 4096  # as Linux, which has a page for them
_LZ4_VERSION = 1
_WHAT = "the compressor options"
_RECORDS: dict[Compression, type[Record]] = {
    Compression.GZIP: GzipOptions,
    Compression.LZO: LzoOptions,
    Compression.XZ: XzOptions,
    Compression.LZ4: Lz4Options,
    Compression.ZSTD: ZstdOptions,
}


def read_compressor_options(device: BlockDevice, superblock: Superblock) -> Record | None:
    """What the writer stored of its compressor's options, or None where it used its defaults.

    Raises UnsupportedError where they are of a size that is not known, and what
    `check_compressor_options` raises.

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
    return record.decode(stored)


def check_compressor_options(device: BlockDevice, superblock: Superblock) -> bytes | None:
    """The options as they are stored, or None where there are none.

    Raises CorruptImageError where they are damaged, or missing with lz4, which always has them, and
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
    stored = _read_block(device, superblock.inode_table_start)
    if compression in {Compression.LZ4, Compression.XZ}:  # of the others Linux reads nothing
        record = _RECORDS[compression]
        if len(stored) < record.layout.size:
            raise CorruptImageError(
                f"{_WHAT} have {len(stored)} bytes of {record.layout.size}", _START
            )
        _check_values(record.decode(stored))
    return stored


def _read_block(device: BlockDevice, end: int) -> bytes:
    """The content of the metadata block behind the superblock, which is never compressed."""
    size = 0
    if end >= _START + _HEADER_SIZE:
        header = int.from_bytes(read_exactly(device, _START, _HEADER_SIZE, _WHAT), "little")
        size = header & ~METADATA_BLOCK_STORED
        if not header & METADATA_BLOCK_STORED or not 0 < size <= _SIZE_MAX:
            raise CorruptImageError(f"{_WHAT} have the header {header:#06x}", _START)
    if _START + _HEADER_SIZE + size > end:
        raise CorruptImageError(f"{_WHAT} run into the inode table", _START)
    return read_exactly(device, _START + _HEADER_SIZE, size, _WHAT)


def _check_values(options: Record) -> None:
    """Refuse what Linux refuses: another version of lz4; a dictionary of xz that is no power of
    two, nor the sum of two adjacent ones.
    """
    if isinstance(options, Lz4Options) and options.version != _LZ4_VERSION:
        raise UnsupportedError(f"lz4 of version {options.version}; only version 1 is known")
    if isinstance(options, XzOptions):
        size = options.dictionary_size
        lowest_bit = size & -size
        if not 0 < size < 1 << 31 or size not in {lowest_bit, 3 * lowest_bit}:
            raise CorruptImageError(f"{_WHAT} claim an xz dictionary of {size} bytes", _START)
