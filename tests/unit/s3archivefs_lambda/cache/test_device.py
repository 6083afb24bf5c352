from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from tests.support.adapter.chunk_stores import patient_store
from tests.support.processes.joined import wait_for_joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = random.Random(4).randbytes(10_000)
CHUNK = 1024  # the last one of DATA is short


class CountingDevice:
    """Records its reads; `before` runs in the middle of each."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.size = len(data)
        self.reads: list[tuple[int, int]] = []
        self.before: Callable[[], None] = lambda: None

    def pread(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        self.before()
        return self.data[offset : offset + length]


class ForgetfulStore(ChunkStore):
    """As one whose directory cannot be used."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"), 0)

    def get(self, archive_id: str, index: int) -> bytes | None:
        return None

    def put(
        self, archive_id: str, index: int, chunk: bytes | memoryview, *, replace: bool = False
    ) -> None:
        pass


def cached_device(
    below: CountingDevice, store: ChunkStore, archive_id: str = "archive", chunk_size: int = CHUNK
) -> CachedDevice:
    """Without memory."""
    return CachedDevice(below, archive_id, chunk_size, memory=ChunkMemory(0), store=store)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return patient_store(tmp_path, 1 << 20)


@pytest.fixture
def below() -> CountingDevice:
    return CountingDevice()


@pytest.fixture
def cached(below: CountingDevice, store: ChunkStore) -> CachedDevice:
    return cached_device(below, store)


# --- reading


def test_the_size_is_the_devices(cached: CachedDevice) -> None:
    assert cached.size == len(DATA)


def test_a_range_comes_in_the_pieces_that_lie_in_its_chunks(cached: CachedDevice) -> None:
    pieces = cached.pread_pieces(1000, 2 * CHUNK)
    assert [len(piece) for piece in pieces] == [24, CHUNK, CHUNK - 24]
    assert b"".join(pieces) == DATA[1000 : 1000 + 2 * CHUNK]
    assert [bytes(piece) for piece in cached.pread_pieces(10, 20)] == [DATA[10:30]]
    assert cached.pread_pieces(10, 0) == []


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (0, CHUNK),
        (100, 50),
        (CHUNK - 1, 2),
        (500, 5000),
        (9999, 1),
        (9216, 784),
        (0, 10000),
    ],
)
def test_any_range_is_returned_exactly(cached: CachedDevice, offset: int, length: int) -> None:
    for _ in range(2):  # fetched, then cached
        data = cached.pread(offset, length)
        assert type(data) is bytes
        assert data == DATA[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, 10_001), (10_000, 1)])
def test_a_range_outside_the_device_is_the_callers_mistake(
    cached: CachedDevice, below: CountingDevice, offset: int, length: int
) -> None:
    with pytest.raises(ValueError, match="not within"):
        cached.pread(offset, length)
    assert below.reads == []


def test_an_empty_range_costs_nothing(cached: CachedDevice, below: CountingDevice) -> None:
    assert cached.pread(10_000, 0) == b""
    assert below.reads == []


def test_whole_chunks_are_fetched_once(cached: CachedDevice, below: CountingDevice) -> None:
    for offset in (1100, 1024, 2047):
        assert cached.pread(offset, 1) == DATA[offset : offset + 1]
    assert below.reads == [(1024, 1024)]


def test_adjacent_missing_chunks_cost_one_read(cached: CachedDevice, below: CountingDevice) -> None:
    cached.pread(1500, 4000)
    assert below.reads == [(1024, 5 * 1024)]


def test_the_last_chunk_is_short(cached: CachedDevice, below: CountingDevice) -> None:
    cached.pread(8500, 1000)
    assert below.reads == [(8192, 10_000 - 8192)]


def test_chunks_already_there_do_not_divide_a_read_where_they_are_few(
    cached: CachedDevice, below: CountingDevice
) -> None:
    cached.pread(3 * CHUNK, 1)
    below.reads.clear()
    assert cached.pread(0, 6 * CHUNK) == DATA[: 6 * CHUNK]
    assert below.reads == [(0, 6 * CHUNK)]


def test_half_a_mebibyte_that_is_there_is_read_through_and_more_divides_a_read(
    store: ChunkStore,
) -> None:
    data = bytes(3 << 20)
    for gap, count in ((512 << 10, 1), (640 << 10, 2)):
        below = CountingDevice(data)
        cached = CachedDevice(
            below, str(gap), 128 << 10, memory=ChunkMemory(gap), store=ForgetfulStore()
        )
        cached.pread(1 << 20, gap)
        below.reads.clear()
        cached.pread(0, 3 << 20)
        assert len(below.reads) == count


def test_one_read_fetches_8_mib_at_most(store: ChunkStore) -> None:
    below = CountingDevice(bytes(20 << 20))
    cached = cached_device(below, store, "archive", 1 << 20)
    cached.pread(1, (20 << 20) - 2)
    mib = 1 << 20
    assert below.reads == [(0, 8 * mib), (8 * mib, 8 * mib), (16 * mib, 4 * mib)]


def test_a_chunk_larger_than_8_mib_is_still_one_read(store: ChunkStore) -> None:
    below = CountingDevice(bytes(20 << 20))
    cached = cached_device(below, store, "archive", 16 << 20)
    cached.pread(0, 20 << 20)
    assert below.reads == [(0, 16 << 20), (16 << 20, 4 << 20)]


def test_another_device_of_the_same_archive_finds_the_chunks(
    cached: CachedDevice, store: ChunkStore
) -> None:
    cached.pread(0, len(DATA))
    other = CountingDevice()
    assert cached_device(other, store).pread(5, 5000) == DATA[5:5005]
    assert other.reads == []


@pytest.mark.parametrize(("archive_id", "chunk_size"), [("other", CHUNK), ("archive", 2 * CHUNK)])
def test_another_archive_or_chunk_size_shares_nothing(
    cached: CachedDevice,
    below: CountingDevice,
    store: ChunkStore,
    archive_id: str,
    chunk_size: int,
) -> None:
    cached.pread(0, len(DATA))
    other = CountingDevice(DATA[::-1])
    device = cached_device(other, store, archive_id, chunk_size)
    assert device.pread(0, len(DATA)) == DATA[::-1]
    below.reads.clear()
    assert cached.pread(0, len(DATA)) == DATA
    assert below.reads == []


def test_a_cache_that_keeps_nothing_only_costs_reads(below: CountingDevice) -> None:
    cached = cached_device(below, ForgetfulStore())
    for _ in range(2):
        assert cached.pread(1500, 4000) == DATA[1500:5500]
    assert below.reads == [(1024, 5 * 1024)] * 2


def test_a_stored_chunk_of_the_wrong_length_is_fetched_again(
    cached: CachedDevice, below: CountingDevice, store: ChunkStore
) -> None:
    store.put(cached.cached.store_id, 0, b"short")
    assert cached.pread(0, 10) == DATA[:10]
    assert below.reads == [(0, 1024)]


def test_the_devices_error_reaches_the_reader_and_is_not_kept(
    cached: CachedDevice, below: CountingDevice
) -> None:
    def fail() -> None:
        raise ConnectionError("lost")

    below.before = fail
    with pytest.raises(ConnectionError):
        cached.pread(0, 10)
    below.before = lambda: None
    assert cached.pread(0, 10) == DATA[:10]


def test_a_device_that_returns_too_little_is_an_error_not_a_chunk(
    cached: CachedDevice, below: CountingDevice
) -> None:
    below.data = DATA[:1000]
    with pytest.raises(OSError, match="1000 bytes of 1024 at 0"):
        cached.pread(0, 10)
    below.data = DATA
    assert cached.pread(0, 1024) == DATA[:1024]


# --- seeds


def test_seeded_bytes_are_not_fetched(cached: CachedDevice, below: CountingDevice) -> None:
    cached.preload(7000, DATA[7000:])
    cached.preload(0, DATA[:96])
    assert cached.pread(7000, 3000) == DATA[7000:]
    assert cached.pread(9000, 10) == DATA[9000:9010]
    assert cached.pread(0, 96) == DATA[:96]
    assert below.reads == []


def test_whole_chunks_of_a_seed_are_stored(cached: CachedDevice, store: ChunkStore) -> None:
    cached.preload(7000, DATA[7000:])
    other = CountingDevice()
    device = cached_device(other, store)
    assert device.pread(7168, 10_000 - 7168) == DATA[7168:]
    assert other.reads == []
    device.pread(7000, 1)
    assert other.reads == [(6144, 1024)]


def test_chunks_that_a_seed_holds_in_part_are_not_stored(
    cached: CachedDevice, store: ChunkStore
) -> None:
    cached.preload(1, DATA[1:3000])
    stored = [store.get(cached.cached.store_id, index) for index in range(4)]
    assert stored == [None, DATA[1024:2048], None, None]


def test_a_read_across_the_start_of_a_seed_fetches_only_what_is_missing(
    below: CountingDevice,
) -> None:
    cached = cached_device(below, ForgetfulStore())
    cached.preload(7000, DATA[7000:])
    assert cached.pread(5000, 5000) == DATA[5000:]
    assert below.reads == [(4096, 3 * 1024)]


@pytest.mark.parametrize(("offset", "size"), [(-1, 2), (9999, 2), (10_001, 0)])
def test_a_seed_outside_the_device_is_the_callers_mistake(
    cached: CachedDevice, offset: int, size: int
) -> None:
    with pytest.raises(ValueError, match="not within"):
        cached.preload(offset, bytes(size))


# --- threads


@pytest.mark.parametrize("keeps", [True, False])
def test_two_threads_that_want_the_same_chunk_fetch_it_once(
    below: CountingDevice, store: ChunkStore, *, keeps: bool
) -> None:
    cached = cached_device(below, store if keeps else ForgetfulStore())
    with ThreadPoolExecutor(1) as executor:
        others: list[Future[bytes]] = []

        def let_another_come() -> None:
            others.append(executor.submit(cached.pread, 50, 100))
            wait_for_joined(cached.chunks.flights, 0)

        below.before = let_another_come
        assert cached.pread(0, 100) == DATA[:100]
        assert [other.result(30) for other in others] == [DATA[50:150]]
    assert below.reads == [(0, 1024)]


def test_threads_that_wait_do_not_wait_for_the_disk(
    below: CountingDevice, store: ChunkStore
) -> None:
    cached = cached_device(below, store)
    with ThreadPoolExecutor(1) as executor, pytest.MonkeyPatch.context() as patch:
        others: list[Future[bytes]] = []

        def let_another_come() -> None:
            others.append(executor.submit(cached.pread, 50, 100))
            wait_for_joined(cached.chunks.flights, 0)

        def put_once_the_other_is_done(*_: object) -> None:
            assert others[0].result(30) == DATA[50:150]

        below.before = let_another_come
        patch.setattr(store, "put", put_once_the_other_is_done)
        assert cached.pread(0, 100) == DATA[:100]


def test_a_thread_that_waits_for_some_chunks_fetches_the_others(
    cached: CachedDevice, below: CountingDevice
) -> None:
    with ThreadPoolExecutor(1) as executor:
        others: list[Future[bytes]] = []

        def let_another_come() -> None:
            below.before = lambda: None
            others.append(executor.submit(cached.pread, 0, 5 * CHUNK))
            wait_for_joined(cached.chunks.flights, 2)

        below.before = let_another_come
        assert cached.pread(2 * CHUNK, 1) == DATA[2 * CHUNK : 2 * CHUNK + 1]
        assert others[0].result(30) == DATA[: 5 * CHUNK]
    assert below.reads == [(2048, 1024), (0, 5 * 1024)]  # through the one in the middle


@pytest.mark.parametrize("error", [ConnectionError("lost"), KeyboardInterrupt()])
def test_a_fault_is_that_of_all_who_wait_and_an_interruption_is_not(
    cached: CachedDevice, below: CountingDevice, error: BaseException
) -> None:
    with ThreadPoolExecutor(1) as executor:
        others: list[Future[bytes]] = []

        def fail_once_another_waits() -> None:
            below.before = lambda: None
            others.append(executor.submit(cached.pread, 50, 100))
            wait_for_joined(cached.chunks.flights, 0)
            raise error

        below.before = fail_once_another_waits
        with pytest.raises(type(error)):
            cached.pread(0, 100)
        if isinstance(error, Exception):
            assert repr(others[0].exception(30)) == repr(error)
        else:
            assert others[0].result(30) == DATA[50:150]
    reads = len(below.reads)
    assert cached.pread(0, 100) == DATA[:100]
    assert below.reads == [(0, 1024)] * 2
    assert reads == (1 if isinstance(error, Exception) else 2)


def test_many_threads_read_right_bytes(cached: CachedDevice) -> None:
    def read(seed: int) -> bool:
        choice = random.Random(seed)
        ranges = [sorted(choice.choices(range(len(DATA) + 1), k=2)) for _ in range(50)]
        return all(cached.pread(start, end - start) == DATA[start:end] for start, end in ranges)

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(read, range(8)))


# --- any sequence of calls


class UnreliableStore(ForgetfulStore):
    """Keeps and returns chunks as the dice fall."""

    def __init__(self, dice: Iterator[bool]) -> None:
        super().__init__()
        self._dice = dice
        self._kept: dict[tuple[str, int], bytes] = {}

    def get(self, archive_id: str, index: int) -> bytes | None:
        return self._kept.get((archive_id, index)) if next(self._dice) else None

    def put(
        self, archive_id: str, index: int, chunk: bytes | memoryview, *, replace: bool = False
    ) -> None:
        if next(self._dice):
            self._kept[archive_id, index] = bytes(chunk)


ranges = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted)


@pytest.mark.property
@given(
    size=st.integers(0, 300),
    chunk_size=st.one_of(st.integers(1, 70), st.sampled_from([64, 128, 1024])),
    calls=st.lists(st.tuples(st.booleans(), ranges), max_size=12),
    dice=st.lists(st.booleans(), min_size=1, max_size=7),
)
def test_any_sequence_of_reads_and_seeds_equals_slicing(
    size: int, chunk_size: int, calls: list[tuple[bool, list[int]]], dice: list[bool]
) -> None:
    data = DATA[:size]
    below = CountingDevice(data)
    cached = cached_device(below, UnreliableStore(cycle(dice)), "archive", chunk_size)
    for is_seed, (start, end) in calls:
        first, last = min(start, size), min(end, size)
        if is_seed:
            cached.preload(first, data[first:last])
            continue
        below.reads.clear()
        assert cached.pread(first, last - first) == data[first:last]
        fetched = [index for read in below.reads for index in range(read[0], sum(read))]
        assert len(fetched) == len(set(fetched))
        assert all(offset % chunk_size == 0 for offset, _ in below.reads)
        # Nothing here is half a mebibyte away from anything: what is missing is one read.
        assert len(below.reads) <= 1


# --- at hand


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (CHUNK - 5, 10), (500, 5000), (9216, 784)])
def test_what_is_in_memory_is_at_hand_and_nothing_else(
    below: CountingDevice, store: ChunkStore, offset: int, length: int
) -> None:
    memory = ChunkMemory(1 << 20)
    cached = CachedDevice(below, "archive", CHUNK, memory=memory, store=store)
    assert cached.pread_at_hand(offset, length) is None
    cached.pread(offset, length)
    reads = len(below.reads)
    assert cached.pread_at_hand(offset, length) == DATA[offset : offset + length]
    assert cached.pread_at_hand(offset, 10_000 - offset) is None or offset + length > 9_000
    assert len(below.reads) == reads
    memory.background.wait_idle()


def test_what_is_preloaded_is_at_hand_and_what_is_only_on_disk_is_not(
    below: CountingDevice, store: ChunkStore
) -> None:
    cached = cached_device(below, store)
    cached.preload(2 * CHUNK, DATA[2 * CHUNK : 4 * CHUNK])
    cached.pread(0, CHUNK)
    assert cached.pread_at_hand(2 * CHUNK, CHUNK) == DATA[2 * CHUNK : 3 * CHUNK]
    assert cached.pread_at_hand(0, CHUNK) is None
    assert cached.pread(0, CHUNK) == DATA[:CHUNK]


# --- reads of a random order


def test_bytes_of_more_than_can_be_kept_are_fetched_exactly_and_not_kept(
    below: CountingDevice,
) -> None:
    cached = CachedDevice(below, "archive", CHUNK, memory=ChunkMemory(4096), store=ForgetfulStore())
    for _ in range(2):
        assert cached.pread_among(1500, 100, 1 << 40) == DATA[1500:1600]
    assert below.reads == [(1500, 100)] * 2


@pytest.mark.parametrize(("total", "room"), [(8192, 4096), (1 << 40, 5000)])
def test_bytes_of_which_half_can_be_kept_are_fetched_by_chunks(
    below: CountingDevice, tmp_path: Path, total: int, room: int
) -> None:
    """Of a device of which half can be kept, whatever its content decodes to."""
    cached = cached_device(below, ChunkStore(tmp_path, room))
    for _ in range(2):
        assert cached.pread_among(1500, 100, total) == DATA[1500:1600]
        cached.background.wait_idle()
    assert below.reads == [(1024, 1024)]


@pytest.mark.parametrize("level", ["memory", "store", "preloaded"])
def test_bytes_at_hand_are_used_in_a_random_order_too(
    below: CountingDevice, tmp_path: Path, level: str
) -> None:
    memory = ChunkMemory(4096 if level == "memory" else 0)
    store = ChunkStore(tmp_path, 8192 if level == "store" else 0)
    cached = CachedDevice(below, "archive", CHUNK, memory=memory, store=store)
    if level == "preloaded":
        cached.preload(1024, DATA[1024:2048], store=False)
    else:
        cached.pread(1500, 100)
        cached.background.wait_idle()
    below.reads.clear()
    assert cached.pread_among(1600, 100, 1 << 40) == DATA[1600:1700]
    assert not below.reads


def test_a_random_read_checks_its_range_and_what_comes(below: CountingDevice) -> None:
    cached = cached_device(below, ForgetfulStore())
    with pytest.raises(ValueError, match="are not within the device's 10000"):
        cached.pread_among(9_999, 2, 1 << 40)
    below.data = DATA[:1550]
    with pytest.raises(OSError, match="returned 50 bytes of 100 at 1500"):
        cached.pread_among(1500, 100, 1 << 40)
