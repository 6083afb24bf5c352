"""A device of which a part is read by chunks of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.cache.part import PartDevice, Window
from tests.support.images.fixtures import CountingDevice

if TYPE_CHECKING:
    from collections.abc import Generator

CHUNK = 4096
SIZE = 10 * CHUNK + 77
START, STOP = CHUNK + 100, 7 * CHUNK + 9
DATA = noise(SIZE)


class StreamingDevice(CountingDevice):
    def stream(
        self, offset: int, length: int, piece_bytes: int, **_: object
    ) -> Generator[memoryview, None, None]:
        data = memoryview(self.pread(offset, length))
        for at in range(0, length, piece_bytes):
            yield data[at : at + piece_bytes]


@pytest.fixture
def source() -> StreamingDevice:
    return StreamingDevice(DATA)


@pytest.fixture
def device(source: StreamingDevice, tmp_path: Path) -> PartDevice:
    memory, store = ChunkMemory(1 << 20), ChunkStore(tmp_path, 0)
    whole = CachedDevice(source, "whole", CHUNK, memory=memory, store=store)
    window = Window(source, START, STOP)
    part = CachedDevice(window, "part", CHUNK, memory=memory, store=store)
    return PartDevice(whole, part, START)


def test_a_part_is_fetched_and_nothing_beside_it(
    source: StreamingDevice, device: PartDevice
) -> None:
    assert device.pread(START, STOP - START) == DATA[START:STOP]
    assert b"".join(device.pread_pieces(STOP - 9, 9)) == DATA[STOP - 9 : STOP]
    assert device.pread_at_hand(START + 5, 20) == DATA[START + 5 : START + 25]
    assert source.reads == [(START, STOP - START)]


def test_a_reader_ahead_of_a_part_fetches_nothing_beside_it(
    source: StreamingDevice, device: PartDevice
) -> None:
    ahead = device.readahead(START, STOP - START)
    assert ahead.size == device.size == SIZE
    ahead.will_read_once(START, STOP - START)  # type: ignore[attr-defined]  # an optional method
    pieces = [ahead.pread(at, min(999, STOP - at)) for at in range(START, STOP, 999)]
    ahead.close()
    assert b"".join(pieces) == DATA[START:STOP]
    starts, ends = zip(*sorted((at, at + length) for at, length in source.reads), strict=True)
    assert (*starts, STOP) == (START, *ends)


def test_what_does_not_decode_is_discarded_in_the_part(
    source: StreamingDevice, device: PartDevice
) -> None:
    data = device.pread(START + 50, 10)
    assert device.discard(START + 50, data)
    device.pread(START + 50, 10)
    assert len(source.reads) == 2
    assert not device.discard(START + 50, data)


@pytest.mark.property
@given(data=st.data())
def test_any_range_has_the_bytes_of_the_device(data: st.DataObject) -> None:
    source = StreamingDevice(DATA)
    memory, store = ChunkMemory(1 << 20), ChunkStore(Path("/nowhere"), 0)
    whole = CachedDevice(source, "whole", CHUNK, memory=memory, store=store)
    window = Window(source, START, STOP)
    part = CachedDevice(window, "part", CHUNK, memory=memory, store=store)
    device = PartDevice(whole, part, START)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, SIZE - 1))
        length = data.draw(st.integers(1, SIZE - start))
        assert device.pread(start, length) == DATA[start : start + length]
        ahead = device.readahead(start, length)
        ahead.will_read(start, length)
        assert ahead.pread(start, length) == DATA[start : start + length]
        ahead.close()
