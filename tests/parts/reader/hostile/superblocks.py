"""Hostile superblocks: S1 to S22."""

from __future__ import annotations

import struct
import sys
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from s3archivefs import (
    CodecUnavailableError,
    NotSquashfsError,
    SquashFS,
    TruncatedImageError,
    UnsupportedError,
)
from tests.parts.reader.hostile.case import Case
from tests.support.images.built import ABSENT_64, Image, build, directory, file, symlink

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["dir", "file", "frag", "link"]
SOUND = (NAMES, 4, b"content")
"""What looking at the image below gives."""
TABLES = ("inode", "directory", "fragment", "export", "id", "xattr")
PAIR = struct.pack("<HH4sI3s", 0, 4, b"kind", 3, b"abc")
STREAMED = b"SQSH"


def full(**superblock: int) -> Image:
    """An image that has every table."""
    tree = {
        b"dir": directory({b"inner": file(b"inner")}),
        b"file": file(b"content", extended=True, xattr=0),
        b"frag": file(b"a tail", in_fragment=True),
        b"link": symlink(b"file"),
    }
    return build(directory(tree), pairs=PAIR, sets=[(0, 1, 12)], superblock=superblock)


def with_fields(**fields: int) -> Callable[[], Image]:
    return lambda: full(**fields)


def start_of(length: int) -> bytes:
    return bytes(full())[:length]


def streamed_stub(length: int) -> bytes:
    return STREAMED + bytes(length - 4)


def streamed(tail: bytes | None = None) -> bytes:
    image = bytes(full())
    return STREAMED + image[4:] + (image[:96] if tail is None else tail)


def end_before(table: str) -> Image:
    image = full()
    return image.put_superblock(bytes_used=image.table(table) - 1)


def at_end(table: str) -> Image:
    image = full()
    return image.put_superblock(**{table + "_table": image.superblock["bytes_used"]})


def swapped(one: str, other: str) -> Image:
    image = full()
    return image.put_superblock(
        **{one + "_table": image.table(other), other + "_table": image.table(one)}
    )


def rooted(path: bytes) -> Image:
    image = full()
    return image.put_superblock(root_inode=image.node(path).reference)


def without_library(compression: int, *modules: str) -> Image:
    for module in modules:
        sys.modules[module] = None  # type: ignore[assignment]  # so that importing it fails
    return full(compression=compression)


def options(header: int, payload: bytes, compression: int = 1) -> Callable[[], Image]:
    """An image with these compressor options, as they stand on disk."""
    return lambda: build(
        directory({b"file": file(b"content")}),
        options=struct.pack("<H", header) + payload,
        compression=compression,
    )


def options_of(fs: SquashFS) -> object:
    return fs.compressor_options


def options_in_the_inode_table() -> Image:
    """Nothing stands between the superblock and the inode table."""
    return build(directory(), superblock={"flags": 0x400})


CASES: dict[str, Case] = {
    "S1-empty": Case(image=lambda: b"", error=NotSquashfsError, reads=1),
    **{
        f"S1-{length}": Case(
            image=partial(start_of, length),
            error=NotSquashfsError if length < 4 else TruncatedImageError,
            reads=1,
        )
        for length in (1, 3, 4, 50, 95)
    },
    "S2-zeros": Case(image=lambda: bytes(96), error=NotSquashfsError, reads=1),
    "S2-random": Case(image=lambda: Random(2).randbytes(4096), error=NotSquashfsError, reads=1),
    "S3-big-endian": Case(
        image=with_fields(magic=0x68737173), error=UnsupportedError, match="big-endian"
    ),
    "S3-version-3": Case(
        image=with_fields(version_major=3, version_minor=1), error=UnsupportedError, match=r"3\.1"
    ),
    **{
        f"S4-{major}.{minor}": Case(
            image=with_fields(version_major=major, version_minor=minor),
            error=UnsupportedError,
            match=rf"version {major}\.{minor}",
        )
        for major, minor in ((3, 0), (5, 0), (4, 1))
    },
    "S5-streamed": Case(image=streamed, error=None, answer=SOUND),
    "S6-streamed-twice": Case(image=lambda: streamed(STREAMED + bytes(92)), match="streamed"),
    **{
        f"S6-streamed-{length}": Case(
            image=partial(streamed_stub, length), match="streamed", reads=2
        )
        for length in (96, 150, 191)
    },
    **{
        f"S7-block_size-{size}": Case(
            image=with_fields(block_size=size), match=f"block size {size}", reads=1
        )
        for size in (0, 1, 2048, 4097, 3 << 15, 2**21, 2**31, 2**32 - 1)
    },
    **{
        f"S8-block_log-{log}": Case(image=with_fields(block_log=log), match="logarithm", reads=1)
        for log in (0, 11, 13, 63, 65535)
    },
    **{
        f"S9-compression-{number}": Case(
            image=with_fields(compression=number), error=UnsupportedError, match=str(number)
        )
        for number in (0, 7, 65535)
    },
    "S9-no-library": Case(
        image=lambda: without_library(5, "lz4", "lz4.block"),
        error=CodecUnavailableError,
        match=r"s3archivefs\[lz4\]",
        whole=False,
    ),
    "S10-one-byte-short": Case(
        image=lambda: bytes(full())[:-1], error=TruncatedImageError, match="cut short", reads=1
    ),
    "S10-half": Case(
        image=lambda: bytes(full())[:200], error=TruncatedImageError, match="cut short", reads=1
    ),
    **{
        f"S11-bytes_used-{used}": Case(image=with_fields(bytes_used=used), match=str(used), reads=1)
        for used in (0, 95, 2**63, ABSENT_64)
    },
    **{
        f"S12-ends-before-{table}": Case(
            image=partial(end_before, table), match="table starts at byte", reads=1
        )
        for table in TABLES
    },
    **{
        f"S13-{table}-{start}": Case(
            image=with_fields(**{table + "_table": start}), match="table starts at byte", reads=1
        )
        for table in TABLES
        for start in (0, 95, 2**63, ABSENT_64 - 1)
    },
    **{
        f"S13-{table}-at-the-end": Case(
            image=partial(at_end, table), match="table starts at byte", reads=1
        )
        for table in TABLES
    },
    **{
        f"S14-{one}-{other}-swapped": Case(image=partial(swapped, one, other), reads=3)
        for one in TABLES
        for other in TABLES
        if one < other
    },
    "S15-no-ids": Case(image=with_fields(id_count=0), match="0 ids", reads=1),
    "S15-too-many-ids": Case(image=with_fields(id_count=65535), match="65535 ids", reads=1),
    "S15-more-ids-than-blocks": Case(
        image=with_fields(id_count=65535, inode_count=65535, export_table=ABSENT_64),
        match="id table's list|table's list of blocks",
    ),
    "S15-three-ids-an-inode": Case(image=with_fields(id_count=15), match="15 ids", reads=1),
    "S16-no-inodes": Case(image=with_fields(inode_count=0), match="no inodes", reads=1),
    "S16-4-billion-inodes": Case(image=with_fields(inode_count=2**32 - 1), reads=1),
    "S16-4-billion-without-exports": Case(
        image=with_fields(inode_count=2**32 - 1, export_table=ABSENT_64),
        match="cannot be within",
        reads=1,
    ),
    "S17-4-billion-fragments": Case(
        image=with_fields(fragment_count=2**32 - 1), match="fragments", reads=1
    ),
    "S17-4-billion-of-both": Case(
        image=with_fields(fragment_count=2**32 - 1, inode_count=2**32 - 1), reads=1
    ),
    **{
        f"S18-root-{reference:#x}": Case(image=with_fields(root_inode=reference), reads=3)
        for reference in (2**31 << 16, 8191, 8192, 65535, 2**63, ABSENT_64)
    },
    **{
        f"S19-root-is-{path[1:].decode()}": Case(
            image=partial(rooted, path), match="not a directory", reads=3
        )
        for path in (b"/file", b"/link", b"/frag")
    },
    **{
        f"S20-flags-{flags:#x}": Case(image=with_fields(flags=flags), error=None, answer=SOUND)
        for flags in (0, 0x4, 0x1, 0x10, 0x80, 0x200, 0xFBFF, 0xFFFF)
    },
    "S21-in-the-inode-table": Case(
        image=options_in_the_inode_table, ask=options_of, match="run into the inode table"
    ),
    "S21-data-in-their-place": Case(image=with_fields(flags=0x400), ask=options_of),
    "S21-compressed": Case(image=options(8, bytes(8)), ask=options_of, match="header 0x0008"),
    "S21-size-0": Case(image=options(0x8000, b""), ask=options_of, match="header 0x8000|run into"),
    "S21-size-8192": Case(
        image=options(0xA000, bytes(8192)), ask=options_of, match="header 0xa000"
    ),
    "S21-lz4-without": Case(
        image=with_fields(compression=5), ask=options_of, match="lacks its compressor options"
    ),
    "S21-lzma-with": Case(
        image=options(0x8008, bytes(8), compression=2), ask=options_of, match="no compressor"
    ),
    "S22-lz4-version-2": Case(
        image=options(0x8008, struct.pack("<II", 2, 0), compression=5),
        error=UnsupportedError,
        ask=options_of,
        match="version 2",
    ),
    **{
        f"S22-xz-dictionary-{size}": Case(
            image=options(0x8008, struct.pack("<II", size, 0), compression=4),
            ask=options_of,
            match=f"dictionary of {size}",
        )
        for size in (0, 7, 3 << 30)
    },
}
