"""What is fetched along with missing chunks: behind sequences of misses, and of metadata."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.support.adapter.cached_device import (
    CHUNK,
    DATA,
    KIB,
    MIB,
    SIZE,
    Device,
    cached_device,
    store_chunks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# ---- Sequences of misses -------------------------------------------------------------------------


def test_reading_on_and_on_takes_ever_fewer_reads(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    for offset in range(0, 8 * MIB, 10_000):
        cached.pread(offset, 10_000)
    lengths = [length // CHUNK for _, length in below.reads]
    most = 2 * MIB // CHUNK
    assert lengths[:4] == [1, 4, 16, most]
    assert set(lengths[4:]) == {most}
    assert below.chunks  # none twice


def test_several_that_read_on_are_told_apart(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    for step in range(0, 2 * MIB, 20_000):
        for start in (0, 8 * MIB, 16 * MIB):
            cached.pread(start + step, 20_000)
    assert len(below.reads) <= 3 * 7


def test_random_reads_fetch_their_own_chunks_only(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    places = random.Random(1).sample(range(0, SIZE // CHUNK, 3), 40)
    for place in places:
        cached.pread(place * CHUNK, 10)
    assert below.chunks == set(places)


def test_a_sequence_goes_on_behind_what_is_stored_already(below: Device, tmp_path: Path) -> None:
    store_chunks(tmp_path, 3 * CHUNK, 2 * CHUNK)
    cached = cached_device(below, tmp_path)
    for offset in range(0, 8 * CHUNK, CHUNK // 8):
        cached.pread(offset, CHUNK // 8)
    runs = [(0, 1), (1, 2), (5, 16)]
    assert below.reads == [(first * CHUNK, count * CHUNK) for first, count in runs]


def test_an_error_in_prefetched_chunks_fails_no_read(below: Device, tmp_path: Path) -> None:
    class Breaking(Device):
        def stream(
            self, offset: int, length: int, piece_bytes: int, **_: object
        ) -> Iterator[bytes]:
            self.reads.append((offset, length))
            yield DATA[offset : offset + piece_bytes]
            if length > piece_bytes:
                raise ConnectionError("lost")

    breaking = Breaking()
    cached = cached_device(breaking, tmp_path)
    for offset in range(0, 3 * CHUNK, CHUNK):
        assert cached.pread(offset, CHUNK) == DATA[offset : offset + CHUNK]
    assert breaking.reads == [(0, CHUNK), (CHUNK, 4 * CHUNK), (2 * CHUNK, CHUNK)]


def test_no_read_is_made_for_chunks_along_alone(below: Device, tmp_path: Path) -> None:
    start = 8 * MIB + 5 * CHUNK  # three chunks end the half a mebibyte that the read ends in
    cached = cached_device(below, tmp_path, metadata_start=start)
    assert cached.pread(start, 8 * MIB) == DATA[start : start + 8 * MIB]
    assert below.reads == [(start, 8 * MIB)]


def test_the_end_of_the_device_ends_a_sequence(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    start = SIZE // CHUNK - 20
    for offset in range(start * CHUNK, SIZE, 10_000):
        length = min(10_000, SIZE - offset)
        assert cached.pread(offset, length) == DATA[offset : offset + length]
    assert below.chunks == set(range(start, -(-SIZE // CHUNK)))


# ---- Metadata ------------------------------------------------------------------------------------


def test_metadata_is_fetched_half_a_mebibyte_at_a_time(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, metadata_start=10 * MIB + 5)
    cached.pread(20 * MIB + 3 * CHUNK, 100)
    assert below.reads == [(20 * MIB, 512 * KIB)]
    cached.pread(20 * MIB, 512 * KIB)
    assert len(below.reads) == 1


def test_metadata_does_not_bring_data_along(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, metadata_start=10 * MIB + 2 * CHUNK + 5)
    cached.pread(10 * MIB + 4 * CHUNK, 100)
    assert below.reads == [(10 * MIB + 3 * CHUNK, 5 * CHUNK)]
