"""The compressor options behind the superblock."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.shapes import PLAIN, text
from fixtures.tree import file
from s3archivefs.format import GzipOptions, Lz4Options, LzoOptions, XzOptions, ZstdOptions
from s3archivefs.options import read_compressor_options
from tests.support.images.built import STORED, directory
from tests.support.images.built import build as build_image
from tests.support.images.built import file as built_file
from tests.support.images.drafts import Draft, edited
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

    from s3archivefs.records import Record

OPTIONS: dict[str, tuple[tuple[str, ...], Record | None]] = {
    "gzip": (("-comp", "gzip"), None),
    "gzip spelt out": (
        ("-comp", "gzip", "-Xcompression-level", "9", "-Xwindow-size", "15"),
        None,
    ),
    "gzip level": (("-comp", "gzip", "-Xcompression-level", "1"), GzipOptions(1, 15, 0)),
    "gzip window": (("-comp", "gzip", "-Xwindow-size", "8"), GzipOptions(9, 8, 0)),
    "gzip strategies": (
        ("-comp", "gzip", "-Xstrategy", "default,huffman_only,fixed"),
        GzipOptions(9, 15, 0b10101),
    ),
    "lzma": (("-comp", "lzma"), None),
    "lzo": (("-comp", "lzo"), None),
    "lzo level": (("-comp", "lzo", "-Xcompression-level", "1"), LzoOptions(4, 1)),
    "lzo algorithm": (("-comp", "lzo", "-Xalgorithm", "lzo1x_1_12"), LzoOptions(2, 0)),
    "xz": (("-comp", "xz", "-b", "8K"), None),
    "xz dictionary": (("-comp", "xz", "-b", "16K", "-Xdict-size", "12K"), XzOptions(12 << 10, 0)),
    "xz filters": (("-comp", "xz", "-b", "8K", "-Xbcj", "x86,sparc"), XzOptions(8192, 0b100001)),
    "lz4": (("-comp", "lz4"), Lz4Options(1, 0)),
    "lz4 high": (("-comp", "lz4", "-Xhc"), Lz4Options(1, 1)),
    "zstd": (("-comp", "zstd"), None),
    "zstd level": (("-comp", "zstd", "-Xcompression-level", "22"), ZstdOptions(22)),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_stand_behind_the_superblock_where_they_are_not_the_defaults(
    name: str, tmp_path: Path
) -> None:  # D9, D10
    arguments, expected = OPTIONS[name]
    content = text(40_000)
    image = make_image(tmp_path, (file("first", content),), *arguments, "-noD").read_bytes()
    draft = Draft(image)
    size = 0 if expected is None else 2 + expected.layout.size
    assert bool(draft["flags"] & 0x0400) is bool(size)
    if size:
        assert draft.get(96, "H") == 0x8000 | (size - 2)
    assert image[96 + size :].startswith(content[:4096])  # data begins right behind
    with draft.open() as fs:
        assert fs.compressor_options == expected
        assert fs.read_bytes("first") == content
        assert list(fs.verify()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-c", "gzip", "-X", "level=3,window=9,rle"), GzipOptions(3, 9, 0b1000)),
        (("-c", "xz", "-X", "dictsize=12K,arm", "-b", "16K"), XzOptions(12 << 10, 0b1000)),
        (("-c", "lz4", "-X", "hc"), Lz4Options(1, 1)),
        (("-c", "lz4"), Lz4Options(1, 0)),
        (("-c", "zstd", "-X", "level=4"), ZstdOptions(4)),
        (("-c", "lzo", "-X", "level=3"), LzoOptions(4, 3)),
        (("-c", "lzma"), None),
        (("-c", "zstd"), None),
    ],
    ids=str,
)
def test_options_of_the_other_writer_are_read(
    options: tuple[str, ...], expected: Record | None, tmp_path: Path
) -> None:
    image = tmp_path / "t.sqfs"
    build(Recipe(name="t", shape="", tool="tar2sqfs", options=options, tree=PLAIN), image)
    with s3archivefs.open(image) as fs:
        assert fs.compressor_options == expected
        assert fs.exists("/docs/guide.txt")


@pytest.mark.parametrize(
    ("name", "layout", "values", "error", "said"),
    [
        ("gzip-options", "H", [8], "CorruptImageError", "header 0x0008"),  # not stored
        ("gzip-options", "H", [0x8000], "CorruptImageError", "header 0x8000"),
        ("gzip-options", "H", [0xA000], "CorruptImageError", "header 0xa000"),
        ("lz4", "H", [0x8004], "CorruptImageError", "4 bytes of 8"),
        ("lz4", "HI", [0x8008, 2], "UnsupportedError", "lz4 of version 2"),
        ("lz4", "HI", [0x8008, 0], "UnsupportedError", "lz4 of version 0"),
        ("xz-options", "HI", [0x8008, 0], "CorruptImageError", "dictionary of 0 bytes"),
        ("xz-options", "HI", [0x8008, 7], "CorruptImageError", "dictionary of 7 bytes"),
        ("xz-options", "HI", [0x8008, 3 << 30], "CorruptImageError", "dictionary of 3221225472"),
        ("xz-options", "HI", [0x8008, 5 << 13], "CorruptImageError", "dictionary of 40960"),
    ],
)
def test_damaged_options_are_refused_and_named(
    name: str, layout: str, values: list[int], error: str, said: str
) -> None:
    draft = edited(name)
    draft.put(96, layout, *values)
    with draft.open() as fs:
        with pytest.raises(getattr(s3archivefs, error), match=said):
            _ = fs.compressor_options
        (problem,) = fs.verify()  # and the rest of the image is sound
        assert problem.path == "/"
        assert said in str(problem.error)


# As OpenWrt's mksquashfs stores them for xz: another layout, which has the dictionary last.
OPENWRT = bytes.fromhex("0000 1900 9800 4000 00000400")


@pytest.mark.parametrize(
    ("compression", "options"),
    [
        (1, bytes(4)),
        (1, bytes(12)),
        (3, bytes(1)),
        (4, OPENWRT),
        (4, OPENWRT[:7]),
        (4, struct.pack("<III", 1 << 18, 0, 0)),
        (4, bytes(64)),
        (5, struct.pack("<III", 1, 0, 0)),
        (6, bytes(7)),
        (6, bytes(8)),
    ],
    ids=str,
)
def test_options_of_an_unknown_size_are_no_fault_of_the_image(
    compression: int, options: bytes
) -> None:
    # Unsquashfs reads it: it needs none of these bytes but lz4's version.
    stored = struct.pack("<H", len(options) | STORED) + options
    image = build_image(
        directory({b"a": built_file(b"content")}), compression=compression, options=stored
    )
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(image))) as fs:
        with pytest.raises(s3archivefs.UnsupportedError, match=f"options of {len(options)} bytes"):
            _ = fs.compressor_options
        assert fs.read_bytes("/a") == b"content"
        assert list(fs.verify()) == []


def test_known_part_of_longer_lz4_options_is_checked_as_linux_does() -> None:
    options = struct.pack("<HIII", 12 | STORED, 2, 0, 0)
    tree = directory({b"a": built_file(b"content")})
    image = build_image(tree, compression=5, options=options)
    with s3archivefs.open(s3archivefs.BytesDevice(bytes(image))) as fs:
        (problem,) = fs.verify()
        assert "lz4 of version 2" in str(problem.error)


def test_options_that_the_image_must_or_must_not_have_are_missed() -> None:  # D9
    without = edited("lz4")
    without["flags"] &= ~0x0400
    with without.open() as fs, pytest.raises(s3archivefs.CorruptImageError, match=r"lz4.*lacks"):
        _ = fs.compressor_options
    with_some = edited("lzma")
    with_some["flags"] |= 0x0400
    with with_some.open() as fs, pytest.raises(s3archivefs.CorruptImageError, match="lzma has no"):
        _ = fs.compressor_options


def test_options_past_the_end_of_the_device_are_truncated() -> None:
    draft = edited("gzip-options")
    device = s3archivefs.BytesDevice(bytes(draft.data[:100]))
    with (
        draft.open() as fs,
        pytest.raises(s3archivefs.TruncatedImageError, match="compressor options"),
    ):
        read_compressor_options(device, fs.superblock)
