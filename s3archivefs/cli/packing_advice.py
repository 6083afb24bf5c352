"""Advice on an image that is read remotely (docs/packing.md has the figures and their reasons)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cli.output import human_size
from s3archivefs.format import Compression, SuperblockFlags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s3archivefs.format import Superblock

__all__ = ["DEAD_PERCENT", "FETCHED_WHOLE", "FIRST_REQUEST", "Advice", "advice_on"]

FIRST_REQUEST = 512 << 10
"""Bytes at the end of an object that opening it in S3 fetches: S3ARCHIVEFS_TAIL_BYTES."""
FETCHED_WHOLE = 8 << 20
"""Bytes of metadata that are fetched whole at the opening: S3ARCHIVEFS_METADATA_BYTES."""
DEAD_PERCENT = 10
"""Percent of an image: with less that is dead, borg does not compact either."""

_SMALLEST_BLOCK, _LARGEST_BLOCK = 64 << 10, 256 << 10
_PADDING = 4 << 10  # bytes; writers fill up a device's block of that size
_SLOW = "takes 8 to 15 times zstd's processor time in each read, to save 4 to 9 % of size"
_LARGE = "makes an image 30 to 70 % larger than zstd does, and so its metadata"
_COMPRESSORS = {
    Compression.GZIP: "makes an image 2 to 9 % larger than zstd does, and reads take half as long "
    "again",
    Compression.XZ: _SLOW,
    Compression.LZMA: _SLOW,
    Compression.LZO: _LARGE,
    Compression.LZ4: _LARGE,
}


class Advice(NamedTuple):
    """Something that another way of packing would do better."""

    rule: str
    """A lower-case word for programs."""
    text: str


def advice_on(
    superblock: Superblock, tables: Mapping[str, int], padding: int, dead: int = 0
) -> Iterator[Advice]:
    """Yield what to change, by the bytes of tables, padding and dead data."""
    if (why := _COMPRESSORS.get(superblock.compression)) is not None:
        name = superblock.compression.name.lower()
        yield Advice("compressor", f"{name} {why}: pack with -comp zstd")
    size = superblock.block_size
    if size < _SMALLEST_BLOCK:
        why = "make an image larger, by a fifth at 16K, and a directory takes more requests"
        yield Advice("block_size", f"blocks of {human_size(size)} {why}: pack with -b 128K")
    elif size > _LARGEST_BLOCK:
        why = "are fetched and decoded whole, for a small file too"
        yield Advice("block_size", f"blocks of {human_size(size)} {why}: pack with -b 128K")
    yield from _advice_on_flags(superblock.flags)
    yield from _advice_on_metadata(tables)
    if padding > _PADDING:
        yield Advice(
            "padding",
            f"{human_size(padding)} behind the image are fetched with its metadata: "
            f"cut the file to {superblock.bytes_used:,} bytes",
        )
    if 100 * dead >= DEAD_PERCENT * superblock.bytes_used:
        yield Advice(
            "dead",
            f"{human_size(dead)} of it are data that no file refers to any more: s3archivefs "
            "compact drops them",
        )


def _advice_on_flags(flags: SuperblockFlags) -> Iterator[Advice]:
    is_stored = bool(flags & SuperblockFlags.UNCOMPRESSED_DATA)
    if is_stored:
        yield Advice(
            "uncompressed",
            "content is not compressed, which is right where all of it is compressed already, as "
            "JPEG or Parquet: else pack without -noD",
        )
    elif flags & SuperblockFlags.UNCOMPRESSED_FRAGMENTS:
        yield Advice("uncompressed", "small files are not compressed: pack without -noF")
    if flags & SuperblockFlags.NO_FRAGMENTS and not is_stored:
        yield Advice(
            "fragments",
            "small files share no blocks, which makes an image of them half as large again: pack "
            "without -no-fragments",
        )
    if flags & SuperblockFlags.ALWAYS_FRAGMENTS:
        yield Advice(
            "fragments",
            "the ends of long files lie away from their beginnings, so that such a file takes "
            "nearly two requests: pack without -tailends",
        )
    if flags & SuperblockFlags.UNCOMPRESSED_INODES:
        yield Advice(
            "uncompressed_metadata",
            "inodes are not compressed, which makes metadata nearly four times as large: pack "
            "without -noI",
        )


def _advice_on_metadata(tables: Mapping[str, int]) -> Iterator[Advice]:
    """Yield what lets one request bring the metadata, or else the opening bring it whole."""
    metadata = sum(tables.values())
    if metadata <= FIRST_REQUEST:
        return
    most = FETCHED_WHOLE if metadata > FETCHED_WHOLE else FIRST_REQUEST
    for table, option in (("exports", "-no-exports"), ("xattrs", "-no-xattrs")):
        if metadata - tables.get(table, 0) <= most:
            yield Advice(
                table,
                f"without {table}, which S3 does not show, {human_size(metadata)} of metadata "
                f"would be within the {human_size(most)} fetched at once: pack with {option}",
            )
    if metadata > FETCHED_WHOLE:
        yield Advice(
            "metadata",
            f"{human_size(metadata)} of metadata are more than the {human_size(most)} fetched at "
            "once, so that looking into directories takes requests: pack several images, or raise "
            "S3ARCHIVEFS_METADATA_BYTES where they are read",
        )
