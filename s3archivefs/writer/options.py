"""How an image is packed: the choices of docs/packing.md, and their defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass

from s3archivefs.errors import PackOptionsError
from s3archivefs.format import BLOCK_SIZE_MAX, BLOCK_SIZE_MIN, Compression

__all__ = ["COMPRESSORS", "PackOptions"]

COMPRESSORS = {
    "gzip": Compression.GZIP,
    "lzo": Compression.LZO,
    "xz": Compression.XZ,
    "lz4": Compression.LZ4,
    "zstd": Compression.ZSTD,
}
"""The compressors that the writer has, by the names that mksquashfs has for them."""

_TIME_MAX = (1 << 32) - 1
_DIGITS = 20
"""Of a time at most: Python reads no number of thousands."""


@dataclass(frozen=True, slots=True)
class PackOptions:
    """The options of a new image. Raises PackOptionsError for those that no image can have."""

    compressor: str = "zstd"
    """A key of COMPRESSORS, or "none" to store all as it is."""
    level: int | None = None
    """The compressor's level; None for mksquashfs's default."""
    block_size: int = 128 << 10
    """Bytes in a data block: a power of two, from 4 KiB to 1 MiB."""
    fragments: bool = True
    """Whether files smaller than a block share blocks."""
    tail_ends: bool = False
    """Whether the last parts of larger files share blocks too."""
    deduplicate: bool = True
    """Whether files of the same content share it."""
    exportable: bool = True
    """Whether inodes can be found by their numbers, as an NFS server needs."""
    checksums: bool = False
    """Whether each file gets its SHA-256 in hexadecimal as the xattr `user.sha256`."""
    time: int | None = None
    """The image's own time, in seconds since the epoch.

    None for SOURCE_DATE_EPOCH of the environment, or else the newest time of its members.
    """

    def __post_init__(self) -> None:
        if self.compressor not in {*COMPRESSORS, "none"}:
            names = ", ".join([*COMPRESSORS, "none"])
            raise PackOptionsError(f"no compressor {self.compressor!r}; there are {names}")
        size = self.block_size
        if not BLOCK_SIZE_MIN <= size <= BLOCK_SIZE_MAX or size & (size - 1):
            raise PackOptionsError(
                f"a block size of {size} bytes; it is a power of two from 4 KiB to 1 MiB"
            )
        if self.time is not None and not 0 <= self.time <= _TIME_MAX:
            raise PackOptionsError(f"a time of {self.time} s; an image holds 0 to {_TIME_MAX}")
        self.image_time(0)  # raises now, rather than when all else is packed

    def image_time(self, newest: int) -> int:
        """Return the image's time, where the newest of its members has `newest`.

        Raises PackOptionsError where SOURCE_DATE_EPOCH is no time.
        """
        if self.time is not None:
            return self.time
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None:
            return newest
        if (
            not epoch.isascii()
            or not epoch.isdigit()
            or len(epoch) > _DIGITS
            or int(epoch) > _TIME_MAX
        ):
            raise PackOptionsError(
                f"SOURCE_DATE_EPOCH={epoch}: set it to seconds since the epoch, or unset it"
            )
        return int(epoch)
