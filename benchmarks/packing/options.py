"""Ways to pack each tree: a first one, mksquashfs's defaults, and others that may matter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["FACTORS", "SORT_FILE", "Packing"]

SORT_FILE = "SORT-FILE"
"""Stands, among options, for a file that puts first what is read at random."""
_KIB = 1 << 10


@dataclass(frozen=True, slots=True)
class Packing:
    """Options of a packer, and settings of the reader."""

    name: str
    options: tuple[str, ...] = ()
    """The packer's, beyond block size and compressor."""
    block_size: int = 128 * _KIB
    compressor: str = "zstd"
    tool: Literal["mksquashfs", "gensquashfs"] = "mksquashfs"
    settings: dict[str, str] = field(default_factory=dict)


def _with(*options: str) -> Packing:
    return Packing(" ".join(options), options)


def _blocks(*kibibytes: int) -> list[Packing]:
    return [Packing(f"-b {_size(size)}", block_size=size * _KIB) for size in kibibytes]


def _size(kibibytes: int) -> str:
    return f"{kibibytes}K" if kibibytes < _KIB else f"{kibibytes // _KIB}M"


def _codec(name: str, *options: str) -> Packing:
    return Packing(" ".join(["-comp", name, *options]), options, compressor=name)


def _chunks(packing: Packing, kibibytes: int) -> Packing:
    """Return the same packing, read in larger chunks."""
    settings = {"S3ARCHIVEFS_CACHE_CHUNK_SIZE": str(kibibytes * _KIB)}
    return replace(packing, name=f"{packing.name}, chunks of {_size(kibibytes)}", settings=settings)


_FIRST = [
    Packing("-comp zstd -b 128K"),
    Packing("mksquashfs's defaults", compressor="gzip"),
]
_NO_FRAGMENTS = _with("-no-fragments")
_LEVEL_1 = _with("-Xcompression-level", "1")

FACTORS: dict[str, list[Packing]] = {
    "records": [
        *_FIRST,
        *_blocks(4, 16, 64, 256, 1024),
        _chunks(_blocks(16)[0], 128),
        _chunks(_FIRST[0], 1024),
        *(_codec("lz4"), _codec("lz4", "-Xhc"), _codec("lzo"), _codec("xz")),
        *(_LEVEL_1, _with("-Xcompression-level", "22")),
        *(_NO_FRAGMENTS, _with("-no-exports"), _with("-noI")),
        Packing("-sort FILE, those 100 first", ("-sort", SORT_FILE)),
        Packing("gensquashfs", tool="gensquashfs"),
    ],
    "source": [*_FIRST, *_blocks(16, 64, 256, 1024), _NO_FRAGMENTS],
    "long": [
        *_FIRST,
        *_blocks(16, 64, 256, 1024),
        *(_codec("lz4", "-Xhc"), _codec("xz"), _LEVEL_1),
    ],
    "pictures": [
        *_FIRST,
        *_blocks(16, 64, 256, 1024),
        *(_NO_FRAGMENTS, _with("-tailends"), _with("-noD", "-noF")),
        _with("-no-fragments", "-noD"),
    ],
}
"""By tree; the name of each says what differs from the first."""
