from __future__ import annotations

import lzma
import sys
import zlib
from typing import TYPE_CHECKING

import lz4.block
import lzallright
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import CodecUnavailableError, Compression, CorruptImageError, Limits
from s3archivefs.compression import Codec, codec_for
from tests.support.images.python_lzo import needs_python_lzo
from tests.support.images.standard_zstd import use_standard_zstd

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 8192


def alone(data: bytes) -> bytes:
    """An LZMA-alone stream as mksquashfs writes it: with a size and an end marker."""
    stream = lzma.compress(data, lzma.FORMAT_ALONE)
    return stream[:5] + len(data).to_bytes(8, "little") + stream[13:]


def codec(name: str, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """The decoder of that name, even where a preferred library is installed."""
    compression, hidden = DECODERS[name]
    if name == "zstd":
        use_standard_zstd(monkeypatch)
    for module in hidden:
        monkeypatch.setitem(sys.modules, module, None)
    return codec_for(compression, Limits())


DECODERS: dict[str, tuple[Compression, list[str]]] = {
    "zlib": (Compression.GZIP, ["deflate"]),
    "libdeflate": (Compression.GZIP, []),
    "lzma": (Compression.LZMA, []),
    "lzo": (Compression.LZO, []),
    "lzallright": (Compression.LZO, ["lzo"]),
    "xz": (Compression.XZ, []),
    "lz4": (Compression.LZ4, []),
    "zstandard": (Compression.ZSTD, []),
    "zstd": (Compression.ZSTD, ["zstandard"]),
}
COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: zlib.compress,
    Compression.LZMA: alone,
    Compression.LZO: lzallright.LZOCompressor().compress,
    Compression.XZ: lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    Compression.LZ4: lambda data: lz4.block.compress(data, store_size=False),
    Compression.ZSTD: zstandard.compress,
}


@pytest.fixture(
    params=[
        pytest.param(name, marks=needs_python_lzo) if name == "lzo" else name for name in DECODERS
    ]
)
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Codec:
    """Every decoder; its name is the library's."""
    found = codec(request.param, monkeypatch)
    assert found.name == request.param
    return found


def compress(decoder: Codec, data: bytes) -> bytes:
    return COMPRESS[DECODERS[decoder.name][0]](data)


@pytest.mark.parametrize(
    "data", [b"x", b"squashfs" * 1024, bytes(LIMIT), bytes(range(256)) * 32], ids=len
)
def test_block_decodes_to_what_was_compressed(decoder: Codec, data: bytes) -> None:
    assert decoder.decode(compress(decoder, data), LIMIT, "a block", 0) == data
    assert decoder.decode(memoryview(compress(decoder, data)), len(data), "a block", 0) == data


def test_more_than_the_limit_is_corrupt(decoder: Codec) -> None:
    bomb = compress(decoder, bytes(1 << 24))
    for data in (compress(decoder, bytes(LIMIT + 1)), bomb):
        with pytest.raises(CorruptImageError, match=r"a block .*at byte 77"):
            decoder.decode(data, LIMIT, "a block", 77)


def test_truncated_block_is_corrupt_or_gives_less(decoder: Codec) -> None:
    # lzma's end marker may lack, and an lz4 block does not say where it ends: their callers know
    # how much is due.
    content = b"some squashfs " * 9
    data = compress(decoder, content)
    for cut in range(len(data)):
        try:
            decoded = decoder.decode(data[:cut], LIMIT, "a block", 0)
        except CorruptImageError:
            continue
        assert decoder.name in {"lz4", "lzma"}
        assert len(decoded) < len(content) or decoder.name == "lzma"
        assert content.startswith(decoded)


def test_bytes_behind_the_stream_are_corrupt(decoder: Codec) -> None:
    data = compress(decoder, b"some squashfs " * 9)
    for rest in (b"\0", b"junk", data):
        with pytest.raises(CorruptImageError):
            decoder.decode(data + rest, LIMIT, "a block", 0)


@given(
    data=st.binary(min_size=1, max_size=300),
    junk=st.lists(st.sampled_from([b"checksum", b"stream", b"\0", b"\xff"]), max_size=4),
)
def test_libdeflate_tells_where_a_stream_ends_as_zlib_does(data: bytes, junk: list[bytes]) -> None:
    stream = zlib.compress(data)
    parts = {b"checksum": stream[-4:], b"stream": stream}
    rest = b"".join(parts.get(part, part) for part in junk)
    decoder = codec_for(Compression.GZIP, Limits())
    assert decoder.name == "libdeflate"
    if not rest:
        assert decoder.decode(stream, LIMIT, "a block", 0) == data
        return
    with pytest.raises(CorruptImageError, match="bytes follow the end of the stream"):
        decoder.decode(stream + rest, LIMIT, "a block", 0)


def test_garbage_is_corrupt(decoder: Codec) -> None:
    for garbage in (b"", b"\xff" * 40, b"garbage, in short"):
        with pytest.raises(CorruptImageError):
            decoder.decode(garbage, LIMIT, "a block", 0)


@given(
    data=st.binary(min_size=1, max_size=300),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    cut=st.integers(0, 400),
)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("zlib", "libdeflate"),
        pytest.param("lzo", "lzallright", marks=needs_python_lzo),
        ("zstandard", "zstd"),
    ],
)
def test_two_libraries_for_one_compressor_give_equal_results_on_good_and_bad_streams(
    first: str, second: str, data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    stream = bytearray(COMPRESS[DECODERS[first][0]](data))
    for position, value in changes:
        if position < len(stream):
            stream[position] = value
    results = []
    for name in (first, second):
        with pytest.MonkeyPatch.context() as patch:
            decoder = codec(name, patch)
        try:
            results.append(decoder.decode(bytes(stream[: cut or None]), LIMIT, "a block", 0))
        except CorruptImageError:
            results.append(b"corrupt")
    assert results[0] == results[1]


def test_lzma_is_read_without_end_marker_and_without_size() -> None:
    # D37: writers fill in the size although the end marker stands; others write only one of them.
    data = b"squashfs" * 100
    decoder = codec_for(Compression.LZMA, Limits())
    marked = lzma.compress(data, lzma.FORMAT_ALONE)
    sized = alone(data)
    assert decoder.decode(sized, LIMIT, "a block", 0) == data
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 23, "lc": 3, "lp": 0, "pb": 2}]
    raw = lzma.compress(data, lzma.FORMAT_RAW, filters=filters)
    assert sized[13:] == marked[13:]
    assert raw == marked[13:]


def test_dictionary_larger_than_the_limit_is_corrupt_and_not_allocated() -> None:
    limits = Limits(codec_memory_bytes=1 << 20)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
    data = lzma.compress(b"x" * 100, filters=filters)
    assert codec_for(Compression.XZ, Limits(codec_memory_bytes=1 << 27)).decode(data, 100, "", 0)
    with pytest.raises(CorruptImageError, match=r"[Mm]emory"):
        codec_for(Compression.XZ, limits).decode(data, LIMIT, "a block", 0)


@pytest.mark.parametrize(
    ("compression", "modules", "extra"),
    [
        (Compression.LZ4, ["lz4.block"], "lz4"),
        (Compression.ZSTD, ["zstandard", "compression.zstd"], "zstd"),
        (Compression.LZO, ["lzo", "lzallright"], "lzo-wheels"),
    ],
)
def test_missing_library_names_the_extra_that_installs_it(
    compression: Compression, modules: list[str], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CodecUnavailableError, match=rf"s3archivefs\[{extra}\]"):
        codec_for(compression, Limits())


@needs_python_lzo
def test_python_lzo_is_preferred_to_lzallright() -> None:
    assert codec_for(Compression.LZO, Limits()).name == "lzo"
