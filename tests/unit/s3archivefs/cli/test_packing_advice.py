from __future__ import annotations

import re
from pathlib import Path

import pytest

from s3archivefs.cli.packing_advice import FETCHED_WHOLE, FIRST_REQUEST, advice_on
from s3archivefs.format import Compression, Superblock, SuperblockFlags
from tests.support.images.drafts import edited

ROOT = Path(__file__).parents[4]
SMALL = {"inodes": 1000, "directories": 1000}
Flags = SuperblockFlags


def superblock(
    compression: Compression = Compression.ZSTD,
    block_size: int = 128 << 10,
    flags: SuperblockFlags = Flags.DUPLICATES | Flags.EXPORTABLE,
) -> Superblock:
    found = Superblock.decode(bytes(edited("zstd").data))
    found.compression, found.block_size, found.flags = compression, block_size, flags
    return found


def rules(found: Superblock, tables: dict[str, int] = SMALL, padding: int = 0) -> list[str]:
    return [each.rule for each in advice_on(found, tables, padding)]


def test_an_image_packed_as_the_documentation_says_needs_nothing() -> None:
    assert rules(superblock(), SMALL, 4095) == []


@pytest.mark.parametrize("compression", set(Compression) - {Compression.ZSTD})
def test_other_compressors_than_zstd_are_advised_against(compression: Compression) -> None:
    assert rules(superblock(compression)) == ["compressor"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(16, ["block_size"]), (64, []), (256, []), (512, ["block_size"]), (1024, ["block_size"])],
)
def test_blocks_of_64_to_256_kib_are_advised(size: int, expected: list[str]) -> None:
    assert rules(superblock(block_size=size << 10)) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (Flags.NO_FRAGMENTS, ["fragments"]),
        (Flags.ALWAYS_FRAGMENTS, ["fragments"]),
        (Flags.UNCOMPRESSED_INODES, ["uncompressed_metadata"]),
        (Flags.UNCOMPRESSED_FRAGMENTS, ["uncompressed"]),
        (Flags.UNCOMPRESSED_DATA | Flags.NO_FRAGMENTS, ["uncompressed"]),
        (Flags.UNCOMPRESSED_DATA | Flags.UNCOMPRESSED_FRAGMENTS, ["uncompressed"]),
        (Flags.UNCOMPRESSED_XATTRS | Flags.UNCOMPRESSED_IDS | Flags.NO_XATTRS, []),
    ],
)
def test_flags_tell_of_options_that_cost(flags: SuperblockFlags, expected: list[str]) -> None:
    assert rules(superblock(flags=flags)) == expected


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({"inodes": FIRST_REQUEST}, []),
        ({"inodes": FIRST_REQUEST + 1}, []),
        ({"inodes": FIRST_REQUEST, "exports": 1}, ["exports"]),
        ({"inodes": FIRST_REQUEST, "xattrs": 1}, ["xattrs"]),
        ({"inodes": FIRST_REQUEST, "xattrs": 1, "exports": 1}, []),
        ({"inodes": FETCHED_WHOLE, "exports": 1}, ["exports", "metadata"]),
        ({"inodes": FETCHED_WHOLE + 1}, ["metadata"]),
    ],
)
def test_a_table_counts_where_metadata_would_fit_without_it(
    tables: dict[str, int], expected: list[str]
) -> None:
    assert rules(superblock(), tables) == expected


def test_padding_of_more_than_a_device_s_block_is_named() -> None:
    assert rules(superblock(), SMALL, 4097) == ["padding"]


def test_options_that_are_named_are_those_of_the_page() -> None:
    every = Flags.NO_FRAGMENTS | Flags.ALWAYS_FRAGMENTS | Flags.UNCOMPRESSED_INODES
    tables = {"inodes": FIRST_REQUEST, "exports": 1}
    found = advice_on(superblock(Compression.GZIP, 4096, every), tables, 0)
    named = {option for each in found for option in re.findall(r"-\w[\w-]+", each.text)}
    pages = "".join(
        (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        for page in ("packing", "packing-measurements")
    )
    assert {"-comp", "-no-fragments", "-tailends", "-noI", "-no-exports"} <= named
    assert {option for option in named if option not in pages} == set()
