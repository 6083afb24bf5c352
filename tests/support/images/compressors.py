"""Streams of each compressor, as squashfs-tools writes them, by the libraries themselves."""

from __future__ import annotations

import lzma
import zlib
from typing import TYPE_CHECKING

import lz4.block
import lzallright
import zstandard

if TYPE_CHECKING:
    from tests.support.images.built import Compressor

__all__ = ["COMPRESSORS", "lzma_alone", "xz_crc32"]


def lzma_alone(data: bytes) -> bytes:
    """As squashfs-tools writes it: the size in the header, and the end marker all the same."""
    stream = lzma.compress(data, lzma.FORMAT_ALONE)
    return stream[:5] + len(data).to_bytes(8, "little") + stream[13:]


def xz_crc32(data: bytes) -> bytes:
    return lzma.compress(data, check=lzma.CHECK_CRC32)


COMPRESSORS: dict[str, tuple[int, Compressor]] = {
    "gzip": (1, zlib.compress),
    "lzma": (2, lzma_alone),
    "lzo": (3, lzallright.LZOCompressor().compress),
    "xz": (4, xz_crc32),
    "lz4": (5, lambda data: bytes(lz4.block.compress(data, store_size=False))),
    "zstd": (6, zstandard.ZstdCompressor().compress),
}
"""By name, the number that a superblock has for a compressor, and what compresses."""
