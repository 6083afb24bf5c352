"""What is fetched ahead of readers, held for them, and stored of it."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import Flight
from s3archivefs_lambda.cache.background import AHEAD_THREADS, Background
from s3archivefs_lambda.cache.disk import ChunkStore
from tests.support.adapter.cached_device import (
    CHUNK,
    DATA,
    KIB,
    MIB,
    SIZE,
    Device,
    cached_device,
    store_chunks,
    stored_chunks,
)
from tests.support.clock import Clock
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.processes.joined import wait_for_joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.cache.device import CachedDevice
    from s3archivefs_lambda.cache.readahead import ReadAhead


# ---- One reader ----------------------------------------------------------------------------------


def reading(cached: CachedDevice, start: int, stop: int) -> ReadAhead:
    """For a reader that said that it would read all of that."""
    ahead = cached.readahead(start, stop - start)
    ahead.will_read(start, stop - start)
    return ahead


def test_what_was_announced_is_fetched_behind_the_first_read(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 100, 10 * MIB)) as ahead:
        assert ahead.pread(100, 10) == DATA[100:110]
        cached.background.wait_idle()
        assert below.chunks == set(range(10 * MIB // CHUNK))
        below.reads.clear()
        assert ahead.pread(110, 10 * MIB - 110) == DATA[110 : 10 * MIB]
    assert below.reads == []


def test_a_long_read_is_fetched_in_parallel_parts(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 100, 10 * MIB + 100)) as ahead:
        assert ahead.pread(100, 10 * MIB) == DATA[100 : 100 + 10 * MIB]
    assert [length / MIB for _, length in sorted(below.reads)] == pytest.approx([10 / 3] * 3, 0.1)
    assert below.chunks == set(range(10 * MIB // CHUNK + 1))


def test_the_end_of_what_was_announced_is_no_read_of_its_own(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    # Of 129 chunks, as nothing lies at the start of one.
    with closing(reading(cached, 96, 8 * MIB + 96)) as ahead:
        ahead.pread(96, 8 * MIB)
    assert len(below.reads) == 2


def test_what_follows_is_fetched_in_whole_steps(below: Device, tmp_path: Path) -> None:
    """Long requests would be few, and leave connections of the store unused."""
    cached = cached_device(below, tmp_path, memory=24 * MIB)
    with closing(reading(cached, 0, 22 * MIB)) as ahead:
        for offset in range(0, 22 * MIB, 2816 * KIB):
            ahead.pread(offset, 2816 * KIB)
            cached.background.wait_idle()
    assert below.chunks == set(range(22 * MIB // CHUNK))
    assert max(length for start, length in below.reads if start + length < 22 * MIB) == 4 * MIB


def test_many_files_read_at_once_cost_few_reads(tmp_path: Path) -> None:
    contents = {f"/{number:03}": noise(20 * KIB, str(number)) for number in range(300)}
    tree = tuple(file(path[1:], content) for path, content in contents.items())
    below = CountingDevice(make_image(tmp_path, tree, "-b", "131072").read_bytes())
    cached = cached_device(below, tmp_path, metadata_start=5 * MIB)
    with s3archivefs.open(cached) as fs:
        for path in contents:
            fs.stat(path)
        below.forget()
        assert {path: opened.read() for path, _, opened in fs.walk_files()} == contents
        assert len(below.reads) < 20
        cached.background.wait_idle()
        below.forget()
        assert dict(fs.read_many(contents)) == contents
        assert below.reads == []


def test_what_many_files_were_read_from_is_not_kept_in_memory(tmp_path: Path) -> None:
    tree = tuple(file(f"{number:03}", noise(60 * KIB, str(number))) for number in range(240))
    image = bytes(1000) + make_image(tmp_path, tree, "-b", "131072").read_bytes()
    cached = cached_device(CountingDevice(image), tmp_path, store=0)
    with s3archivefs.open(cached, offset=1000) as fs:
        for _ in fs.walk_files():
            pass
    cached.background.wait_idle()
    at_hand = [cached.pread_at_hand(at, 1) is not None for at in range(0, len(image), CHUNK)]
    assert sum(at_hand) * CHUNK < len(image) // 2


def test_a_reader_does_not_wait_for_what_is_behind_its_read(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    cached.pread(0, CHUNK)
    go_on = threading.Event()
    below.before = lambda: assert_set(go_on)
    with closing(reading(cached, 0, 8 * MIB)) as ahead:
        assert ahead.pread(0, CHUNK) == DATA[:CHUNK]
        go_on.set()
        assert ahead.pread(CHUNK, CHUNK) == DATA[CHUNK : 2 * CHUNK]


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


def test_what_is_stored_is_not_fetched_ahead(below: Device, tmp_path: Path) -> None:
    store_chunks(tmp_path, 0, 2 * MIB)
    again = cached_device(below, tmp_path)
    with closing(reading(again, 0, 2 * MIB)) as ahead:
        for offset in range(0, 2 * MIB, CHUNK):
            assert ahead.pread(offset, CHUNK) == DATA[offset : offset + CHUNK]
    assert below.reads == []


def test_nothing_behind_the_readers_range_is_fetched(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    for announced in (False, True):
        with closing(cached.readahead(0, 2 * MIB)) as ahead:
            if announced:
                ahead.will_read(0, 100 * MIB)
            for offset in range(0, 2 * MIB, 2 * CHUNK):
                ahead.pread(offset, 2 * CHUNK)
    assert below.chunks == set(range(2 * MIB // CHUNK))


def test_without_memory_nothing_is_fetched_ahead(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, memory=0)
    with closing(reading(cached, 0, MIB)) as ahead:
        assert ahead.pread(0, CHUNK) == DATA[:CHUNK]
        assert below.reads == [(0, CHUNK)]
        assert ahead.pread(CHUNK, MIB - CHUNK) == DATA[CHUNK:MIB]
    assert below.chunks == set(range(MIB // CHUNK))


def test_reads_that_follow_each_other_are_followed_ever_further(
    below: Device, tmp_path: Path
) -> None:
    cached = cached_device(below, tmp_path)
    with closing(cached.readahead(0, SIZE)) as ahead:
        reached = []
        for offset in range(0, 8 * MIB, 512 * KIB):
            assert ahead.pread(offset, 512 * KIB) == DATA[offset : offset + 512 * KIB]
            cached.background.wait_idle()
            reached.append((max(below.chunks) + 1) * CHUNK - offset - 512 * KIB)
    assert reached[0] == 0  # one read is no sequence
    assert reached[1] == MIB  # as much as was read
    assert max(reached) >= 7 * MIB
    assert below.chunks


def test_what_was_announced_stays_so_where_the_reader_has_some_of_it(
    below: Device, tmp_path: Path
) -> None:
    cached = cached_device(below, tmp_path)
    with closing(reading_part(cached, 0, 4 * MIB)) as ahead:
        for offset in (2 * CHUNK, 3 * CHUNK, 7 * CHUNK):
            ahead.pread(offset, CHUNK)
        cached.background.wait_idle()
    assert below.chunks == set(range(2, 4 * MIB // CHUNK))


def reading_part(cached: CachedDevice, start: int, stop: int) -> ReadAhead:
    """For a reader of the whole device that said that it would read a part."""
    ahead = cached.readahead(0, SIZE)
    ahead.will_read(start, stop - start)
    return ahead


def test_a_seek_ends_a_sequence(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 0, 4 * MIB)) as ahead:
        ahead.pread(0, CHUNK)
        cached.background.wait_idle()
        below.reads.clear()
        for place in (20, 10, 16, 6):
            ahead.pread(place * MIB, CHUNK)
        cached.background.wait_idle()
    assert below.chunks == {place * MIB // CHUNK for place in (20, 10, 16, 6)}


@pytest.mark.parametrize("step", [100_000, 4 * MIB])
@pytest.mark.parametrize("memory", [MIB, 5 * MIB, 8 * MIB, 64 * MIB])
def test_what_is_fetched_ahead_of_a_slow_reader_is_there_when_it_comes(
    below: Device, tmp_path: Path, memory: int, step: int
) -> None:
    cached = cached_device(below, tmp_path, store=0, memory=memory)
    end = 24 * MIB
    with closing(reading(cached, 0, end)) as ahead:
        for offset in range(0, end, step):
            cached.background.wait_idle()  # all has come before the next is read
            length = min(step, end - offset)
            assert ahead.pread(offset, length) == DATA[offset : offset + length]
    assert below.chunks == set(range(end // CHUNK))  # each of them once


def test_what_was_read_takes_no_room(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, memory=16 * MIB, store=0)
    ahead = reading(cached, 0, 24 * MIB)
    for offset in range(0, 24 * MIB, 4 * MIB):
        assert ahead.pread(offset, 4 * MIB) == DATA[offset : offset + 4 * MIB]
    cached.background.wait_idle()
    assert cached.background.held == 0
    ahead.close()
    assert cached.background.held == 0


def test_what_is_read_once_is_fetched_before_the_first_read(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    with closing(cached.readahead(100, 10 * MIB)) as ahead:
        ahead.will_read_once(100, 10 * MIB - 100)
        cached.background.wait_idle()
        assert below.chunks == set(range(1, 10 * MIB // CHUNK))
        assert ahead.pread(100, 10 * MIB - 100) == DATA[100 : 10 * MIB]
        assert below.chunks == set(range(10 * MIB // CHUNK))


def test_what_is_read_once_is_at_hand_for_a_while(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, store=0)
    with closing(cached.readahead(0, 12 * MIB)) as ahead:
        ahead.will_read_once(0, 12 * MIB)
        for offset in range(0, 12 * MIB, MIB):
            assert ahead.pread(offset, MIB) == DATA[offset : offset + MIB]
        below.reads.clear()
        assert cached.pread(8 * MIB, 4 * MIB) == DATA[8 * MIB : 12 * MIB]
        assert below.reads == []
        behind = range(0, 8 * MIB, MIB)
        assert not any(cached.pread_at_hand(offset, CHUNK) for offset in behind)


def test_what_a_reader_does_not_come_for_goes_with_it(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    ahead = reading(cached, 0, 16 * MIB)
    ahead.pread(0, CHUNK)
    cached.background.wait_idle()
    assert cached.background.held > 15 * MIB
    ahead.close()
    ahead.close()
    assert cached.background.held == 0
    assert len(cached.chunks.flights) == 0
    assert ahead.pread(CHUNK, CHUNK) == DATA[CHUNK : 2 * CHUNK]  # as a thread may that was at it
    assert cached.background.held == 0


def test_a_long_sequence_leaves_in_memory_what_others_read(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, memory=16 * MIB, store=0)
    others = range(18 * MIB, 24 * MIB, CHUNK)
    for offset in others:
        cached.pread(offset, CHUNK)
    with closing(reading(cached, 0, 17 * MIB)) as ahead:
        for offset in range(0, 17 * MIB, MIB):
            assert ahead.pread(offset, MIB) == DATA[offset : offset + MIB]
    below.reads.clear()
    for offset in others:
        assert cached.pread(offset, CHUNK) == DATA[offset : offset + CHUNK]
    assert below.reads == []


def test_a_reader_that_leaves_ends_its_requests(tmp_path: Path) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Streaming(Device):
        def stream(
            self, offset: int, length: int, piece_bytes: int, **_: object
        ) -> Iterator[bytes]:
            self.reads.append((offset, length))
            for at in range(offset, offset + length, piece_bytes):
                if offset:
                    begun.release()
                    assert_set(go_on)
                    sent.append(at)
                yield DATA[at : min(at + piece_bytes, offset + length)]

    sent: list[int] = []
    cached = cached_device(Streaming(), tmp_path)
    ahead = reading(cached, 0, 20 * MIB)
    ahead.pread(0, CHUNK)
    assert begun.acquire(timeout=30)
    ahead.close()
    go_on.set()
    cached.background.wait_idle()
    assert len(sent) <= 12  # of each request that was under way one piece, of 64
    assert len(cached.chunks.flights) == 0
    assert cached.pread(4 * MIB, 100) == DATA[4 * MIB : 4 * MIB + 100]


def test_a_reader_gets_the_prefetched_chunk_though_the_one_that_began_it_leaves(
    below: Device, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert_set(go_on)

    cached = cached_device(below, tmp_path)
    cached.pread(0, CHUNK)
    below.reads.clear()
    below.before = wait
    ahead = reading(cached, 0, 2 * MIB)
    ahead.pread(0, CHUNK)
    assert_set(begun)
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(cached.pread, MIB, 10)
        wait_for_joined(cached.chunks.flights, MIB // CHUNK)
        ahead.close()
        go_on.set()
        assert waiting.result(30) == DATA[MIB : MIB + 10]
    assert len(below.reads) == 1


class Gated(Device):
    """Sends what does not begin with the first chunk in pieces, for each of which it waits."""

    def __init__(self) -> None:
        super().__init__()
        self.may_send = threading.Semaphore(0)
        self.sent: list[int] = []

    def stream(self, offset: int, length: int, piece_bytes: int, **_: object) -> Iterator[bytes]:
        self.reads.append((offset, length))
        for at in range(offset, offset + length, piece_bytes):
            if offset:
                assert self.may_send.acquire(timeout=30)
            self.sent.append(at // CHUNK)
            yield DATA[at : min(at + piece_bytes, offset + length)]


def test_what_is_in_flight_is_not_fetched_again_where_the_reader_steps_back(tmp_path: Path) -> None:
    below = Gated()
    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 0, 4 * MIB)) as ahead:
        ahead.pread(0, CHUNK)
        below.may_send.release()
        ahead.pread(CHUNK, CHUNK)
        requests = len(below.reads)
        for _ in range(3):
            assert ahead.pread(100, 100) == DATA[100:200]  # a step back
            assert ahead.pread(200, CHUNK - 200) == DATA[200:CHUNK]  # which reads on
        below.may_send.release(4 * MIB // CHUNK)
        assert ahead.pread(CHUNK, 4 * MIB - CHUNK) == DATA[CHUNK : 4 * MIB]
    cached.background.wait_idle()
    assert sorted(below.sent) == list(range(4 * MIB // CHUNK))
    assert len(below.reads) == requests
    assert cached.background.held == len(cached.chunks.flights) == 0


def test_a_request_of_which_another_reader_had_a_part_goes_on_when_both_leave(
    tmp_path: Path,
) -> None:
    below = Gated()
    cached = cached_device(below, tmp_path, store=0)
    ahead = reading(cached, 0, 2 * MIB)
    ahead.pread(0, CHUNK)
    below.may_send.release()
    assert cached.pread(CHUNK, 10) == DATA[CHUNK : CHUNK + 10]
    ahead.close()
    below.may_send.release(2 * MIB // CHUNK)
    cached.background.wait_idle()
    assert cached.pread(0, 2 * MIB) == DATA[: 2 * MIB]
    assert sorted(below.sent) == list(range(2 * MIB // CHUNK))
    assert len(cached.chunks.flights) == 0


def test_a_request_of_which_only_its_reader_had_a_part_ends_with_it(tmp_path: Path) -> None:
    below = Gated()
    cached = cached_device(below, tmp_path)
    ahead = reading(cached, 0, 2 * MIB)
    ahead.pread(0, CHUNK)
    below.may_send.release()
    assert ahead.pread(CHUNK, 10) == DATA[CHUNK : CHUNK + 10]
    ahead.close()
    below.may_send.release(2 * MIB // CHUNK)
    cached.background.wait_idle()
    assert len(below.sent) <= 3
    assert len(cached.chunks.flights) == 0


def test_a_handle_that_is_dropped_holds_nothing_longer(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path)
    ahead = reading(cached, 0, 16 * MIB)
    ahead.pread(0, CHUNK)
    cached.background.wait_idle()
    assert cached.background.held > 15 * MIB
    del ahead
    assert cached.background.held == len(cached.chunks.flights) == 0
    assert cached.background.store_quota.stored == 0


def test_a_flight_that_is_found_to_have_landed_after_all_is_no_fault(
    below: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def has_failed(_: object) -> bool:
        """As of one that has failed when it is looked at first, and not the second time."""
        nonlocal looks
        looks += 1
        return looks == 1

    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 0, 4 * MIB)) as ahead:
        ahead.pread(0, CHUNK)
        cached.background.wait_idle()
        monkeypatch.setattr(Flight, "has_failed", property(has_failed))
        assert ahead.pread(CHUNK, 10) == DATA[CHUNK : CHUNK + 10]
    assert looks > 1
    assert below.chunks == set(range(4 * MIB // CHUNK))


def test_a_fault_ahead_is_for_the_read_to_meet(below: Device, tmp_path: Path) -> None:
    def fail() -> None:
        raise ConnectionError("lost")

    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 0, 4 * MIB)) as ahead:
        ahead.pread(0, CHUNK)
        cached.background.wait_idle()
    cached = cached_device(below, tmp_path / "other")
    with closing(reading(cached, 0, 4 * MIB)) as ahead:
        below.before = fail
        with pytest.raises(ConnectionError, match="lost"):
            ahead.pread(0, CHUNK)
        cached.background.wait_idle()
        with pytest.raises(ConnectionError, match="lost"):
            ahead.pread(0, CHUNK)
        below.before = lambda: None
        assert ahead.pread(0, 4 * MIB) == DATA[: 4 * MIB]


def test_what_failed_while_nobody_waited_for_it_is_fetched_again(
    below: Device, tmp_path: Path
) -> None:
    """However long ago that was: an outage that is over breaks no reader."""
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ConnectionError("lost")

    cached = cached_device(below, tmp_path, memory=8 * MIB)
    with closing(reading(cached, 0, 16 * MIB)) as ahead:
        assert ahead.pread(0, CHUNK) == DATA[:CHUNK]
        cached.background.wait_idle()
        below.before = fail
        for offset in range(CHUNK, 3 * MIB, CHUNK):  # goes on, and what is ahead of it fails
            assert ahead.pread(offset, CHUNK) == DATA[offset : offset + CHUNK]
        cached.background.wait_idle()
        assert failed.is_set()
        below.before = lambda: None
        for offset in range(3 * MIB, 16 * MIB, CHUNK):
            assert ahead.pread(offset, CHUNK) == DATA[offset : offset + CHUNK]
            cached.background.wait_idle()  # what waits for the disk leaves less room ahead
        assert ahead.held_bytes == 0  # each chunk is released once it is read
    assert below.chunks == set(range(16 * MIB // CHUNK))
    assert len(below.reads) < 30  # nor by single chunks
    assert cached.background.held == 0


def test_a_reader_that_waited_for_a_failed_prefetch_retries_less(
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
    cached.pread(0, CHUNK)
    below.before = fail
    with closing(reading(cached, 0, MIB)) as ahead, ThreadPoolExecutor(1) as executor:
        ahead.pread(0, CHUNK)
        assert_set(begun)
        waiting = executor.submit(ahead.pread, CHUNK, 10)
        go_on.set()
        with pytest.raises(ConnectionError, match="lost"):
            waiting.result(30)
    assert tries <= 2  # 2 where the reader came when it had failed already


def test_a_reader_for_which_no_thread_can_be_had_reads_all_the_same(
    below: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    cached = cached_device(below, tmp_path)
    with closing(reading(cached, 0, 20 * MIB)) as ahead:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", cannot_start)
            for offset in range(0, 8 * MIB, MIB):
                assert ahead.pread(offset, MIB) == DATA[offset : offset + MIB]
            assert cached.background.held == 0
        assert ahead.pread(8 * MIB, 12 * MIB) == DATA[8 * MIB : 20 * MIB]


def test_chunks_fetched_ahead_come_from_memory_where_none_are_stored(
    below: Device, tmp_path: Path
) -> None:
    cached = cached_device(below, tmp_path, store=0)
    with closing(reading(cached, 0, 4 * MIB)) as ahead:
        for offset in range(0, 4 * MIB, 100_000):  # many reads meet the same chunk
            ahead.pread(offset, min(100_000, 4 * MIB - offset))
    assert below.chunks == set(range(4 * MIB // CHUNK))


# ---- Many readers --------------------------------------------------------------------------------

READERS = 32
"""Their ranges touch, and share a chunk."""


@pytest.mark.parametrize("store", [0, 16 * MIB])
@pytest.mark.parametrize("step", [20_000, CHUNK, 5 * CHUNK])
@pytest.mark.parametrize("is_announced", [True, False])
def test_many_readers_among_each_other_fetch_each_byte_once(
    below: Device, tmp_path: Path, *, is_announced: bool, step: int, store: int
) -> None:
    """As 32 requests for large members of one archive."""
    each = SIZE // READERS
    cached = cached_device(below, tmp_path, memory=32 * MIB, store=store)
    readers = [cached.readahead(number * each, each) for number in range(READERS)]
    if is_announced:
        for number, ahead in enumerate(readers):
            ahead.will_read(number * each, each)
    ahead_max = 32 * MIB * 3 // 4
    for position in range(0, each, step):
        for number, ahead in enumerate(readers):
            start, length = number * each + position, min(step, each - position)
            assert ahead.pread(start, length) == DATA[start : start + length]
            assert 0 <= cached.background.held <= ahead_max
            assert ahead.held_bytes <= ahead_max * 2 // 3 + CHUNK
    for ahead in readers:
        ahead.close()
    cached.background.wait_idle()
    assert below.chunks == set(range(SIZE // CHUNK + 1))  # each of them once
    assert cached.background.held == cached.background.store_quota.stored == 0
    assert len(cached.chunks.flights) == 0


@pytest.mark.parametrize("memory", [0, MIB, 64 * MIB])
def test_many_streams_together_are_stored_up_to_an_eighth_of_the_store(
    below: Device, tmp_path: Path, memory: int
) -> None:
    each = SIZE // READERS
    store = 16 * MIB
    cached = cached_device(below, tmp_path, memory=memory, store=store)
    readers = [reading(cached, number * each, (number + 1) * each) for number in range(READERS)]
    for position in range(0, each, CHUNK):
        for number, ahead in enumerate(readers):
            ahead.pread(number * each + position, min(CHUNK, each - position))
    cached.background.wait_idle()
    assert store // 16 < len(stored_chunks(tmp_path)) * CHUNK <= store // 8
    for ahead in readers:
        ahead.close()


def test_a_reader_does_not_wait_for_threads_that_others_have(below: Device, tmp_path: Path) -> None:
    """As a store that hangs has them all."""
    cached = cached_device(below, tmp_path)
    hanging, go_on = threading.Semaphore(0), threading.Event()

    def hang() -> None:
        hanging.release()
        assert go_on.wait(30)

    for _ in range(AHEAD_THREADS):
        assert cached.background.submit(hang)
        assert hanging.acquire(timeout=30)
    with closing(reading(cached, 0, 10 * MIB)) as ahead:
        for offset in range(0, 10 * MIB, MIB):
            assert ahead.pread(offset, MIB) == DATA[offset : offset + MIB]
        go_on.set()
        cached.background.wait_idle()
    assert below.chunks == set(range(10 * MIB // CHUNK))
    assert len(cached.chunks.flights) == 0


def test_readers_that_stand_still_leave_room_for_others(below: Device, tmp_path: Path) -> None:
    store_chunks(tmp_path, 0, CHUNK)
    cached = cached_device(below, tmp_path, memory=16 * MIB)
    held = []
    for _ in range(4):
        ahead = reading(cached, 0, 20 * MIB)
        ahead.pread(0, CHUNK)
        held.append(ahead)
        cached = cached_device(below, tmp_path, memory=16 * MIB, background=cached.background)
    sizes = [ahead.held_bytes for ahead in held]
    assert 7 * MIB < sizes[0] <= 8 * MIB
    assert all(0 < later < earlier / 2 for earlier, later in pairwise(sizes))
    for ahead in held:
        ahead.close()


@pytest.mark.parametrize("step", [MIB, 4 * MIB, 24 * MIB, 3_000_000])
def test_a_stream_is_stored_up_to_an_eighth_of_the_store(
    below: Device, tmp_path: Path, step: int
) -> None:
    """Blocks of an image, and so the reads, do not end where chunks do."""
    cached = cached_device(below, tmp_path, store=64 * MIB)
    with closing(reading(cached, 0, 24 * MIB)) as ahead:
        for offset in range(0, 24 * MIB, step):
            length = min(step, 24 * MIB - offset)
            assert ahead.pread(offset, length) == DATA[offset : offset + length]
        cached.background.wait_idle()
    stored = stored_chunks(tmp_path)
    assert 4 * MIB <= len(stored) * CHUNK <= 8 * MIB
    assert below.chunks == set(range(24 * MIB // CHUNK))


def test_streams_that_end_make_room_for_others_in_the_store(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, store=64 * MIB)
    for start in (0, 8 * MIB, 16 * MIB):
        with closing(reading(cached, start + CHUNK, start + CHUNK + 4 * MIB)) as ahead:
            for offset in range(start + CHUNK, start + CHUNK + 4 * MIB, MIB):
                ahead.pread(offset, MIB)
            cached.background.wait_idle()
    assert stored_chunks(tmp_path) == below.chunks


def test_a_file_read_in_ranges_is_stored_up_to_an_eighth_of_the_store_and_as_much_an_hour(
    below: Device, tmp_path: Path
) -> None:
    """As the AWS CLI and boto3 do: each range has a reader of its own."""
    clock = Clock()
    background = Background(48 * MIB, clock)
    share = 4 * MIB
    for hours in range(1, 4):
        for start in range(0, 24 * MIB, MIB):
            # As when it is pushed out of memory each time.
            cached = cached_device(below, tmp_path, store=8 * share, background=background)
            with closing(cached.readahead(0, 24 * MIB)) as ahead:
                ahead.will_read(start, MIB)
                assert ahead.pread(start, MIB) == DATA[start : start + MIB]
                background.wait_idle()
        assert share // 2 < len(stored_chunks(tmp_path)) * CHUNK <= hours * share
        clock.now += 3600


def test_short_ranges_of_a_file_are_all_stored(below: Device, tmp_path: Path) -> None:
    background = Background(48 * MIB)
    for start in range(0, 24 * MIB, MIB // 2):
        cached = cached_device(below, tmp_path, store=32 * MIB, background=background)
        with closing(cached.readahead(0, 24 * MIB)) as ahead:
            ahead.will_read(start, MIB // 2)
            assert ahead.pread(start, MIB // 2) == DATA[start : start + MIB // 2]
            background.wait_idle()
    assert len(stored_chunks(tmp_path)) == 24 * MIB // CHUNK


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


# ---- Threads -------------------------------------------------------------------------------------


def test_readers_of_many_threads_get_right_bytes(below: Device, tmp_path: Path) -> None:
    cached = cached_device(below, tmp_path, memory=2 * MIB, metadata_start=20 * MIB)

    def read(seed: int) -> bool:
        choice = random.Random(seed)
        for _ in range(60):
            start = choice.randrange(SIZE)
            stop = min(start + MIB, SIZE)
            with closing(reading(cached, start, stop)) as ahead:
                for _ in range(choice.choice([0, 1, 3])):
                    length = min(choice.choice([10, CHUNK, 300_000]), stop - start)
                    if ahead.pread(start, length) != DATA[start : start + length]:
                        return False
                    start += length
        return True

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(read, range(8)))
