"""Ranges that are read alone, through `CachedDevice.pread_alone`."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from tests.support.images.fixtures import CountingDevice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., CachedDevice]

MIB = 1 << 20
CHUNK = 4096
DATA = noise(4 * MIB)
AT, LENGTH = 3 * CHUNK + 100, CHUNK
"""A block that lies in two chunks."""


@pytest.fixture
def source() -> CountingDevice:
    return CountingDevice(DATA)


@pytest.fixture
def make(source: CountingDevice, tmp_path: Path) -> Make:
    def make(memory_bytes: int = 8 * MIB, store_bytes: int = 64 * MIB) -> CachedDevice:
        memory = ChunkMemory(memory_bytes)
        store = ChunkStore(tmp_path, store_bytes)
        return CachedDevice(source, "id", CHUNK, memory=memory, store=store)

    return make


def alone(device: CachedDevice, offset: int = AT, length: int = LENGTH) -> None:
    assert device.pread_alone(offset, length) == DATA[offset : offset + length]


def test_exactly_the_range_is_fetched_once(source: CountingDevice, make: Make) -> None:
    device = make()
    alone(device)
    alone(device)
    assert source.reads == [(AT, LENGTH)]


def test_the_range_is_found_on_disk_by_another_process(source: CountingDevice, make: Make) -> None:
    device = make()
    alone(device)
    device.background.wait_idle()
    other = make()
    alone(other)
    alone(other)
    assert source.reads == [(AT, LENGTH)]


def test_without_memory_the_range_is_stored_all_the_same(
    source: CountingDevice, make: Make
) -> None:
    alone(make(0))
    alone(make(0))
    assert source.reads == [(AT, LENGTH)]


@pytest.mark.parametrize("kept", ["memory", "disk"])
def test_chunks_that_are_at_hand_are_used(source: CountingDevice, make: Make, kept: str) -> None:
    device = make(8 * MIB, 0 if kept == "memory" else 64 * MIB)
    device.pread(3 * CHUNK, 2 * CHUNK)
    device.background.wait_idle()
    source.forget()
    alone(device if kept == "memory" else make())
    assert source.reads == []


def test_a_range_of_many_chunks_is_read_by_chunks(source: CountingDevice, make: Make) -> None:
    alone(make(), AT, MIB + 1)
    assert source.reads[0][0] == 3 * CHUNK


def test_reads_that_go_on_from_there_are_by_chunks(source: CountingDevice, make: Make) -> None:
    device = make()
    for at in range(AT, AT + 64 * LENGTH, LENGTH):
        alone(device, at)
    assert len(source.reads) < 12
    source.forget()
    alone(device)
    assert source.reads == []


def test_threads_that_want_a_range_fetch_it_once(source: CountingDevice, make: Make) -> None:
    device = make(8 * MIB, 0)
    start = threading.Barrier(8)

    def read(_: int) -> None:
        start.wait()
        alone(device)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(8)))
    assert source.reads == [(AT, LENGTH)]


def test_a_range_that_does_not_decode_is_fetched_anew(source: CountingDevice, make: Make) -> None:
    device = make()
    alone(device)
    device.background.wait_idle()
    assert device.discard(AT, DATA[AT : AT + LENGTH])
    source.forget()
    assert device.pread(AT, LENGTH) == DATA[AT : AT + LENGTH]
    assert source.total
    assert make().ranges.get(AT, LENGTH) is None


def test_a_range_outside_the_device_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="are not within the device's"):
        make().pread_alone(len(DATA) - 5, 6)


def test_a_device_that_returns_less_raises(make: Make, source: CountingDevice) -> None:
    source.pread = lambda offset, length: DATA[offset : offset + length - 1]  # type: ignore[method-assign]
    with pytest.raises(OSError, match="the device returned 4095 bytes of 4096"):
        make().pread_alone(AT, LENGTH)
