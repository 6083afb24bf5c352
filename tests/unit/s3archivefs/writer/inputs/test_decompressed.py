"""Streams are decompressed as the programs do that compress them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.writer.inputs.decompressed import Decompressed, DecompressionError
from tests.support.images.standard_zstd import standard_zstd, use_standard_zstd


def alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


def with_checksum(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


STANDARD: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress, alone]
COMPRESSORS = [*STANDARD, with_checksum]
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0skip"  # a frame of zstd that holds no content


def read(stream: bytes, size: int = 1000) -> bytes:
    source = Decompressed(io.BytesIO(stream), "it")
    pieces = []
    while piece := source.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    return b"".join(pieces)


@given(st.sampled_from(COMPRESSORS), st.lists(st.binary(max_size=3000), min_size=1), st.integers(1))
def test_parts_one_after_another_are_one_stream(
    compress: Callable[[bytes], bytes], contents: list[bytes], size: int
) -> None:
    stream = b"".join(map(compress, contents))
    assert read(stream, min(size, 1 << 20)) == b"".join(contents)


def test_parts_of_zstd_are_one_stream_with_the_standard_library_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_standard_zstd(monkeypatch)
    compress = standard_zstd().compress
    stream = SKIPPED + compress(b"one") + SKIPPED + compress(b"two" * 9999) + SKIPPED
    assert read(stream) == b"one" + b"two" * 9999


def test_frames_of_zstd_to_skip_may_come_first() -> None:
    assert read(SKIPPED + with_checksum(b"content") + SKIPPED) == b"content"


@pytest.mark.parametrize("data", [b"", b"\x1f", b"BZh is no bzip2", b"]\0\0 nor lzma" * 999])
def test_a_stream_that_is_not_compressed_is_itself(data: bytes) -> None:
    assert read(data) == data


@pytest.mark.parametrize("compress", STANDARD)
@pytest.mark.parametrize("padding", [1, 10, 100_000])
def test_zeros_may_pad_the_parts(compress: Callable[[bytes], bytes], padding: int) -> None:
    part = compress(b"content") + bytes(padding)
    assert read(part + part) == b"content" * 2


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_damage_gives_no_other_content(compress: Callable[[bytes], bytes]) -> None:
    content = b"".join(b"%d, " % number for number in range(40))
    stream = compress(content)
    for at in range(10, len(stream)):
        damaged = bytearray(stream)
        damaged[at] ^= 0x55
        if compress is alone:  # which has no checksum
            with suppress(DecompressionError):
                read(bytes(damaged))
            continue
        with suppress(DecompressionError):  # and nothing else
            assert read(bytes(damaged)) == content


@pytest.mark.parametrize("compress", STANDARD)
def test_a_part_that_ends_early_is_an_error(compress: Callable[[bytes], bytes]) -> None:
    whole = compress(b"first")
    stream = whole + compress(b"second")
    for end in [*range(10, len(whole)), *range(len(whole) + 10, len(stream))]:
        with pytest.raises(DecompressionError):
            read(stream[:end])


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_what_follows_the_parts_and_is_none_is_an_error(
    compress: Callable[[bytes], bytes],
) -> None:
    with pytest.raises(DecompressionError):
        read(compress(b"content") + b"no more of it")


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_stream_that_decompresses_to_very_much_takes_little_memory(
    compress: Callable[[bytes], bytes],
) -> None:
    stream = compress(bytes(30 << 20))
    tracemalloc.start()
    try:
        source = Decompressed(io.BytesIO(stream), "it")
        while source.read(10_240):
            pass
        assert tracemalloc.get_traced_memory()[1] < 10 << 20  # xz has a dictionary of 8 MiB
    finally:
        tracemalloc.stop()
