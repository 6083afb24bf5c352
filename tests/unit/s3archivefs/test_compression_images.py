"""Images of every compressor, with every option that the tools offer."""

from __future__ import annotations

import lzma
import sys
import zlib
from random import Random
from typing import TYPE_CHECKING

import pytest
import zstandard

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.shapes import noise, text
from fixtures.tree import file
from s3archivefs import Compression, CorruptImageError, Limits
from s3archivefs.compression import codec_for
from tests.support.images.fixtures import make_image
from tests.support.images.python_lzo import needs_python_lzo
from tests.support.images.standard_zstd import use_standard_zstd

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 8192
BLOCK = 1 << 17
TREE = (
    file("empty"),
    file("large", text(2 * BLOCK + 300)),
    file("mixed", text(3000) + noise(3000) + bytes(3000) + text(BLOCK)),
    file("noise", noise(BLOCK + 1)),
    file("short", text(500)),
)

OPTIONS = {
    "gzip": [
        *(f"-Xcompression-level {level}" for level in (1, 9)),
        *(f"-Xwindow-size {size}" for size in range(8, 16)),
        "-Xstrategy default,filtered,huffman_only,run_length_encoded,fixed",
    ],
    "lzma": [""],
    "lzo": [
        *(f"-Xalgorithm {name}" for name in ("lzo1x_1", "lzo1x_1_11", "lzo1x_1_12", "lzo1x_1_15")),
        *(f"-Xalgorithm lzo1x_999 -Xcompression-level {level}" for level in (1, 9)),
    ],
    "xz": [
        "-Xbcj x86,arm,armthumb,powerpc,sparc,ia64",
        *(f"-Xdict-size {size}" for size in ("8K", "12K", "25%", "100%")),
        "-b 1M -Xdict-size 100%",
    ],
    "lz4": ["", "-Xhc"],
    "zstd": [f"-Xcompression-level {level}" for level in (1, 15, 22)],
}
NG_OPTIONS = {
    "gzip": ["", "level=1,window=8", "default,filtered,huffman,rle,fixed"],
    "lzma": ["", "lc=0,lp=4,pb=4", "lc=4,lp=0,pb=0", "lc=2,lp=1,pb=1,level=9,extreme"],
    "lzo": ["", "algorithm=lzo1x_999,level=1"],
    "xz": ["", "x86,powerpc,ia64,arm,armthumb,sparc", "dictsize=8K,lc=0,lp=2,pb=0,extreme"],
    "lz4": ["", "hc"],
    "zstd": ["", "level=1", "level=22"],
}


def assert_reads(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        assert [fs.read_bytes(node.path) for node in TREE] == [node.content for node in TREE]
        assert list(fs.verify()) == []


@pytest.mark.parametrize(
    ("compressor", "options"),
    [(compressor, each) for compressor, some in OPTIONS.items() for each in some],
)
def test_every_option_of_the_first_writer_is_read(
    compressor: str, options: str, tmp_path: Path
) -> None:  # D37, D38, D39, D40, D41, D42
    arguments = ("-comp", compressor, "-b", str(BLOCK), *options.split())
    assert_reads(make_image(tmp_path, TREE, *arguments))


@pytest.mark.parametrize(
    ("compressor", "options"),
    [(compressor, each) for compressor, some in NG_OPTIONS.items() for each in some],
)
def test_every_option_of_the_other_writer_is_read(
    compressor: str, options: str, tmp_path: Path
) -> None:  # D37, D38, D39, D40, D41, D42
    extra = ("-X", options) if options else ()
    arguments = ("-c", compressor, "-b", str(BLOCK), *extra)
    image = tmp_path / "t.sqfs"
    build(Recipe(name="t", shape="", tool="tar2sqfs", options=arguments, tree=TREE), image)
    assert_reads(image)


@pytest.mark.parametrize("library", [pytest.param("lzo", marks=needs_python_lzo), "lzallright"])
@pytest.mark.parametrize("algorithm", ["1", "1_11", "1_12", "1_15", "999"])
def test_both_libraries_read_every_algorithm_of_lzo(  # D41
    library: str, algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"lzo": "lzallright", "lzallright": "lzo"}[library]
    monkeypatch.setitem(sys.modules, other, None)
    assert codec_for(Compression.LZO, Limits()).name == library
    options = ("-comp", "lzo", "-Xalgorithm", f"lzo1x_{algorithm}")
    assert_reads(make_image(tmp_path, TREE, *options))


# ---- xz ------------------------------------------------------------------------------------------

FILTERS = {
    "x86": lzma.FILTER_X86,
    "arm": lzma.FILTER_ARM,
    "armthumb": lzma.FILTER_ARMTHUMB,
    "powerpc": lzma.FILTER_POWERPC,
    "sparc": lzma.FILTER_SPARC,
    "ia64": lzma.FILTER_IA64,
}


def program(branch_filter: int) -> bytes:
    """4 KiB that compress well after the filter, and badly without it, as machine code does.

    The content is made backwards: from repeated code whose branches have absolute targets.
    """
    last = {"id": lzma.FILTER_LZMA2, "dict_size": 4096}  # each try would clear 8 MiB
    choice = Random(branch_filter)
    while True:
        repeated = choice.randbytes(16) * 256
        packed = lzma.compress(repeated, lzma.FORMAT_RAW, filters=[last])
        chain = [{"id": branch_filter}, last]
        content = lzma.decompress(packed, lzma.FORMAT_RAW, filters=chain)
        if len(set(zip(*[iter(content)] * 16, strict=False))) > 200:
            return content


@pytest.mark.parametrize("name", FILTERS)
def test_filters_inside_xz_streams_are_undone(name: str, tmp_path: Path) -> None:  # D38
    content = program(FILTERS[name])
    image = make_image(tmp_path, (file("code", content),), "-comp", "xz", "-Xbcj", name)
    data = image.read_bytes()
    start = 96 + 2 + 8
    assert data[start:].startswith(b"\xfd7zXZ\0")
    assert data[start + 13] & 3 == 1  # the block's header counts two filters: it was used
    with s3archivefs.open(image) as fs:
        assert fs.read_bytes("code") == content


@pytest.mark.parametrize(
    "check", [lzma.CHECK_NONE, lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256]
)
def test_checks_of_xz_streams_are_made(check: int) -> None:  # D38
    codec = codec_for(Compression.XZ, Limits())
    stream = lzma.compress(text(1000), check=check)
    assert codec.decode(stream, LIMIT, "a block", 0) == text(1000)
    damaged = bytearray(stream)
    damaged[-12 - 8 - 1] ^= 1  # before the index and the footer: the check, or the content
    with pytest.raises(CorruptImageError):
        codec.decode(bytes(damaged), LIMIT, "a block", 0)


# ---- The others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", range(8, 16))
@pytest.mark.parametrize("library", ["zlib", "libdeflate"])
def test_gzip_is_zlib_framing_of_any_window(  # D39
    window: int, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "zlib":
        monkeypatch.setitem(sys.modules, "deflate", None)
    codec = codec_for(Compression.GZIP, Limits())
    assert codec.name == library
    packer = zlib.compressobj(9, wbits=window)
    stream = packer.compress(text(LIMIT)) + packer.flush()
    assert codec.decode(stream, LIMIT, "a block", 0) == text(LIMIT)
    packer = zlib.compressobj(9, wbits=max(window, 9) + 16)  # the framing of gzip files
    stream = packer.compress(text(LIMIT)) + packer.flush()
    with pytest.raises(CorruptImageError):
        codec.decode(stream, LIMIT, "a block", 0)


def test_lzma_needs_no_end_marker() -> None:  # D37
    codec = codec_for(Compression.LZMA, Limits())
    content = noise(300) + text(2000)
    marked = lzma.compress(content, lzma.FORMAT_ALONE)
    stream = marked[:5] + len(content).to_bytes(8, "little") + marked[13:]
    complete = []
    for cut in range(12):
        try:
            complete.append(codec.decode(stream[: len(stream) - cut], LIMIT, "a block", 0))
        except CorruptImageError:
            break
    assert len(complete) >= 3  # the end marker and what follows it take some bytes
    assert set(complete) == {content}


@pytest.mark.parametrize("size", [1, 1999, 2001, LIMIT + 1, 1 << 40, 2**64 - 1])
def test_lzma_whose_header_has_another_size_is_corrupt(size: int) -> None:  # D37
    codec = codec_for(Compression.LZMA, Limits())
    stream = lzma.compress(text(2000), lzma.FORMAT_ALONE)
    with pytest.raises(CorruptImageError):
        codec.decode(stream[:5] + size.to_bytes(8, "little") + stream[13:], LIMIT, "a block", 0)


@pytest.fixture(params=["zstandard", "compression.zstd"])
def zstd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either library for zstd."""
    if request.param != "zstandard":
        use_standard_zstd(monkeypatch)


def test_empty_content_is_read_as_such(zstd: None) -> None:  # D42
    codec = codec_for(Compression.ZSTD, Limits())
    assert codec.decode(zstandard.compress(b""), LIMIT, "a block", 0) == b""


def test_zstd_frame_without_its_size_is_bounded_all_the_same(zstd: None) -> None:  # D42
    packer = zstandard.ZstdCompressor(write_content_size=False)
    codec = codec_for(Compression.ZSTD, Limits())
    assert codec.decode(packer.compress(text(LIMIT)), LIMIT, "a block", 0) == text(LIMIT)
    for size in (LIMIT + 1, 1 << 24):
        with pytest.raises(CorruptImageError):
            codec.decode(packer.compress(bytes(size)), LIMIT, "a block", 0)


def test_zstd_window_larger_than_the_limit_is_corrupt(zstd: None) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=25, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = packer.compress(text(1000)) + packer.flush()
    assert codec_for(Compression.ZSTD, Limits()).decode(frame, LIMIT, "", 0) == text(1000)
    small = codec_for(Compression.ZSTD, Limits(codec_memory_bytes=1 << 20))
    with pytest.raises(CorruptImageError):
        small.decode(frame, LIMIT, "a block", 0)
