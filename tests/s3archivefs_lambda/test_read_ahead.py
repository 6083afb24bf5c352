"""What a cached device fetches before it is asked for: hints, sequences of misses, metadata."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.chunk_cache import CachedDevice, ChunkStore
from s3archivefs_lambda.chunk_memory import ChunkMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64 * KIB
SIZE = 24 * MIB + 1000
DATA = random.Random(7).randbytes(SIZE)


class Device:
    """Records its reads, and can be made to fail or wait."""

    def __init__(self) -> None:
        self.size = SIZE
        self.reads: list[tuple[int, int]] = []
        self.before: Callable[[], None] = lambda: None
        self.failed: list[AssertionError] = []
        """Assertions of `before`, which reading ahead swallows as it does any fault."""

    def pread(self, offset: int, length: int) -> bytes:
        try:
            self.before()
        except AssertionError as error:
            self.failed.append(error)
            raise
        self.reads.append((offset, length))
        return DATA[offset : offset + length]

    @property
    def chunks(self) -> set[int]:
        """Those that were read, each once."""
        read = [n for offset, length in self.reads for n in _numbers(offset, length)]
        assert len(read) == len(set(read))
        return set(read)


def _numbers(offset: int, length: int) -> range:
    assert offset % CHUNK == 0
    return range(offset // CHUNK, -(-(offset + length) // CHUNK))


@pytest.fixture
def below() -> Iterator[Device]:
    device = Device()
    yield device
    assert device.failed == []


def cached_device(
    below: Device,
    directory: Path,
    *,
    metadata_start: int = SIZE,
    memory: int | None = 64 * MIB,
    store: int = 256 * MIB,
) -> CachedDevice:
    return CachedDevice(
        below,
        ChunkStore(directory, store),
        "archive",
        CHUNK,
        memory=None if memory is None else ChunkMemory(memory),
        metadata_start=metadata_start,
    )


def finish(cached: CachedDevice) -> None:
    """Wait for what it does in other threads."""
    assert cached._memory is not None
    if cached._memory._pool is not None:
        cached._memory._pool.shutdown()
        cached._memory._pool = None


def store_chunks(directory: Path, offset: int, length: int, metadata_start: int = SIZE) -> None:
    """As an instance leaves them that has read them, and ended."""
    cached = cached_device(Device(), directory, metadata_start=metadata_start)
    cached.pread(offset, length)
    finish(cached)


def stored_chunks(directory: Path) -> set[int]:
    return {int(path.name) for path in directory.glob("s3archivefs-cache/v1/*/*/*")}


# ---- Hints ---------------------------------------------------------------------------------------


def test_a_hint_fetches_what_the_reads_behind_it_want(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    cached.prefetch([(100, 10 * MIB)])
    assert cached.pread(100, 10 * MIB) == DATA[100 : 100 + 10 * MIB]
    assert [length / MIB for _, length in sorted(below.reads)] == pytest.approx([10 / 3] * 3, 0.1)
    assert below.chunks == set(range(10 * MIB // CHUNK + 1))


def test_the_end_of_a_hint_is_no_read_of_its_own(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    cached.prefetch([(96, 8 * MIB)])  # of 129 chunks, as nothing lies at the start of one
    cached.pread(96, 8 * MIB)
    assert len(below.reads) == 2


def test_a_hint_returns_before_anything_has_come(below: Device, tmp_path: Path) -> None:
    go_on = threading.Event()
    below.before = lambda: assert_set(go_on)
    cached = cached_device(below, tmp_path)
    cached.prefetch([(0, 8 * MIB)])
    go_on.set()
    assert cached.pread(5 * MIB, 10) == DATA[5 * MIB : 5 * MIB + 10]


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


def test_a_hint_is_fetched_once_however_often_it_is_given(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    for _ in range(3):
        cached.prefetch([(0, MIB), (MIB, MIB)])
        cached.pread(0, 2 * MIB)
    assert below.chunks == set(range(2 * MIB // CHUNK))


def test_what_is_stored_is_not_fetched_for_a_hint(below: Device, tmp_path: Path) -> None:
    store_chunks(tmp_path, 0, 2 * MIB)
    again = cached_device(below, tmp_path)
    again.prefetch([(0, 2 * MIB)])
    assert again.pread(0, 2 * MIB) == DATA[: 2 * MIB]
    assert below.reads == []


def test_a_hint_beyond_the_end_is_cut_and_one_outside_ignored(
    below: Device, tmp_path: Path
) -> None:
    cached = cached_device(below, tmp_path)
    assert cached.prefetch([(SIZE - 10, 100), (SIZE + 5, 10), (-20, 10), (0, 0)]) == 120
    assert cached.pread(SIZE - 10, 10) == DATA[-10:]
    assert len(below.chunks) == 1


@pytest.mark.parametrize("memory", [None, 0])
def test_without_memory_a_hint_does_nothing(
    below: Device, tmp_path: Path, memory: int | None
) -> None:
    cached = cached_device(below, tmp_path, memory=memory)
    assert cached.prefetch([(0, MIB)]) == (0 if memory == 0 else MIB)
    assert below.reads == []
    assert cached.pread(0, MIB) == DATA[:MIB]


def test_hints_take_no_more_than_three_quarters_of_the_memory_and_say_so(
    below: Device, tmp_path: Path
) -> None:
    go_on = threading.Event()
    below.before = lambda: assert_set(go_on)
    cached = cached_device(below, tmp_path, memory=16 * MIB)
    assert cached.prefetch([(100, 20 * MIB)]) == 12 * MIB - 100
    assert cached.prefetch([(100, MIB), (5 * MIB, 12 * MIB)]) == 8 * MIB
    go_on.set()
    cached.pread(0, 12 * MIB)
    assert below.chunks == set(range(12 * MIB // CHUNK))


@pytest.mark.parametrize(("step", "pause"), [(100_000, 3), (4 * MIB, 30)])
@pytest.mark.parametrize("memory", [MIB, 5 * MIB, 8 * MIB, 64 * MIB])
def test_what_is_fetched_ahead_of_a_slow_reader_is_there_when_it_comes(
    below: Device, tmp_path: Path, memory: int, step: int, pause: int
) -> None:
    now = 100.0
    cached = cached_device(below, tmp_path, store=0)
    cached._memory = ChunkMemory(memory, lambda: now)
    end = 24 * MIB
    hinted = 0
    for offset in range(0, end, step):
        now += pause
        stop = min(offset + step, end)
        ahead = min(stop + 16 * MIB, end)
        hinted = max(hinted, stop)
        hinted += cached.prefetch([(hinted, ahead - hinted)])
        finish(cached)  # all has come before the next is read
        assert cached.pread(offset, stop - offset) == DATA[offset:stop]
    assert below.chunks == set(range(end // CHUNK))  # each of them once


def test_what_a_reader_waited_for_takes_no_room(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, memory=16 * MIB, store=0)
    for offset in range(0, 24 * MIB, 12 * MIB):
        begun, go_on = threading.Event(), threading.Event()

        def wait(begun: threading.Event = begun, go_on: threading.Event = go_on) -> None:
            begun.set()
            assert_set(go_on)

        below.before = wait
        assert cached.prefetch([(offset, 12 * MIB)]) == 12 * MIB
        assert_set(begun)
        with ThreadPoolExecutor(1) as executor:
            reading = executor.submit(cached.pread, offset, 12 * MIB)
            go_on.set()
            assert reading.result(30) == DATA[offset : offset + 12 * MIB]
        finish(cached)
    assert below.chunks == set(range(24 * MIB // CHUNK))


def test_the_fault_of_a_hint_is_for_the_read_to_meet(below: Device, tmp_path: Path) -> None:
    def fail() -> None:
        raise ConnectionError("lost")

    cached = cached_device(below, tmp_path)
    below.before = fail
    cached.prefetch([(0, MIB)])
    with pytest.raises(ConnectionError, match="lost"):
        cached.pread(0, 10)
    below.before = lambda: None
    assert cached.pread(0, MIB) == DATA[:MIB]


def test_who_waits_for_a_hint_that_fails_does_not_try_as_often_again(
    below: Device, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    tries = 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        begun.set()
        assert_set(go_on)
        raise ConnectionError("lost")

    cached = cached_device(below, tmp_path)
    below.before = fail
    cached.prefetch([(0, MIB)])
    assert_set(begun)
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(cached.pread, 0, 10)
        go_on.set()
        with pytest.raises(ConnectionError, match="lost"):
            waiting.result(30)
    assert tries <= 2  # 2 where the reader came when the hint had failed already


def test_a_hint_for_which_no_thread_can_be_had_is_none(
    below: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    cached = cached_device(below, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        for _ in range(20):  # what they would have taken is free again
            cached.prefetch([(0, 4 * MIB)])
        assert cached.pread(0, 10) == DATA[:10]
    cached.prefetch([(0, 8 * MIB)])
    assert cached.pread(0, 8 * MIB) == DATA[: 8 * MIB]


def test_chunks_fetched_ahead_come_from_memory_where_none_are_stored(
    below: Device, tmp_path: Path
) -> None:
    cached = cached_device(below, tmp_path, store=0)
    cached.prefetch([(0, 4 * MIB)])
    for offset in range(0, 4 * MIB, 100_000):  # many reads meet the same chunk
        cached.pread(offset, min(100_000, 4 * MIB - offset))
    assert below.reads == [(0, 4 * MIB)]


@pytest.mark.parametrize("step", [MIB, 4 * MIB, 24 * MIB, 3_000_000])
def test_a_stream_is_stored_up_to_an_eighth_of_the_store(
    below: Device, tmp_path: Path, step: int
) -> None:
    """Blocks of an image, and so the announced ranges, do not end where chunks do."""
    cached = cached_device(below, tmp_path, store=64 * MIB)
    for offset in range(0, 24 * MIB, step):
        length = min(step, 24 * MIB - offset)
        cached.prefetch([(offset, length)])
        assert cached.pread(offset, length) == DATA[offset : offset + length]
    finish(cached)
    stored = stored_chunks(tmp_path)
    assert stored == set(range(len(stored)))  # its beginning
    assert 4 * MIB <= len(stored) * CHUNK <= 8 * MIB
    assert below.chunks == set(range(24 * MIB // CHUNK))


def test_a_stream_stays_one_where_there_is_no_room_for_all_of_it(
    below: Device, tmp_path: Path
) -> None:
    go_on = threading.Event()
    below.before = lambda: assert_set(go_on)
    cached = cached_device(below, tmp_path, memory=16 * MIB, store=64 * MIB)
    assert cached.prefetch([(0, 24 * MIB)]) == 12 * MIB
    go_on.set()
    finish(cached)
    assert cached.pread(0, 12 * MIB) == DATA[: 12 * MIB]
    assert cached.prefetch([(12 * MIB, 12 * MIB)]) == 12 * MIB
    finish(cached)
    assert below.chunks == set(range(24 * MIB // CHUNK))
    assert stored_chunks(tmp_path) == set(range(8 * MIB // CHUNK))


def test_streams_elsewhere_are_stored_too(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, store=64 * MIB)
    for start in (0, 8 * MIB, 16 * MIB):
        cached.prefetch([(start + CHUNK, 4 * MIB)])
        cached.pread(start + CHUNK, 4 * MIB)
    finish(cached)
    assert stored_chunks(tmp_path) == below.chunks


def test_no_reader_waits_for_the_disk(
    below: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(ChunkStore, "put", lambda *_, **__: assert_set(go_on))
    cached = cached_device(below, tmp_path)
    assert cached.pread(0, 10) == DATA[:10]
    assert cached.pread(0, 10) == DATA[:10]
    assert below.reads == [(0, CHUNK)]
    go_on.set()


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


def test_a_fault_among_what_was_not_asked_for_is_nobodys(below: Device, tmp_path: Path) -> None:
    class Breaking(Device):
        def stream(self, offset: int, length: int, piece_bytes: int) -> Iterator[bytes]:
            self.reads.append((offset, length))
            yield DATA[offset : offset + piece_bytes]
            if length > piece_bytes:
                raise ConnectionError("lost")

    breaking = Breaking()
    cached = cached_device(breaking, tmp_path)
    for offset in range(0, 3 * CHUNK, CHUNK):
        assert cached.pread(offset, CHUNK) == DATA[offset : offset + CHUNK]
    assert breaking.reads == [(0, CHUNK), (CHUNK, 4 * CHUNK), (2 * CHUNK, CHUNK)]


def test_chunks_are_not_fetched_for_company_alone(below: Device, tmp_path: Path) -> None:
    start = 16 * MIB
    store_chunks(tmp_path, start, 512 * KIB, metadata_start=start)
    for index in range(3):
        (path,) = (tmp_path / "s3archivefs-cache").glob(f"v1/*/*/{start // CHUNK + 2 * index}")
        path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("s3archivefs_lambda.fetch_plan._GAP_BYTES", 0)
        again = cached_device(below, tmp_path, metadata_start=start)
        again.pread(start + 2 * CHUNK, 10)
    assert below.reads == [(start + 2 * CHUNK, CHUNK)]


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


# ---- Threads -------------------------------------------------------------------------------------


def test_readers_and_hints_of_many_threads_get_right_bytes(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, memory=2 * MIB, metadata_start=20 * MIB)

    def read(seed: int) -> bool:
        choice = random.Random(seed)
        for _ in range(60):
            start = choice.randrange(SIZE)
            length = min(choice.choice([10, CHUNK, 300_000]), SIZE - start)
            if choice.random() < 0.3:
                cached.prefetch([(start, MIB)])
            if cached.pread(start, length) != DATA[start : start + length]:
                return False
        return True

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(read, range(8)))
