"""Chunks in memory, and what may be on its way at once."""

from __future__ import annotations

import os
import random
import threading

import pytest

from s3archivefs_lambda.chunk_memory import AHEAD_THREADS, ChunkMemory


def test_a_chunk_is_kept_by_archive_and_number() -> None:
    memory = ChunkMemory(100)
    memory.put("a", 1, memoryview(b"chunk"))
    assert memory.get("a", 1) == b"chunk"
    assert type(memory.get("a", 1)) is bytes
    assert memory.get("b", 1) is None
    assert memory.get("a", 2) is None


def test_the_least_recently_used_chunks_go_first() -> None:
    memory = ChunkMemory(30)
    for index in range(3):
        memory.put("a", index, bytes(10))
    memory.get("a", 0)
    memory.put("a", 3, bytes(10))
    assert [index for index in range(4) if memory.get("a", index) is not None] == [0, 2, 3]


def test_a_chunk_put_again_counts_once() -> None:
    memory = ChunkMemory(30)
    for _ in range(10):
        memory.put("a", 0, bytes(10))
    memory.put("a", 1, bytes(20))
    assert memory.get("a", 0) is not None
    assert memory.get("a", 1) is not None


def test_a_chunk_larger_than_all_is_not_kept_and_pushes_nothing_out() -> None:
    memory = ChunkMemory(30)
    memory.put("a", 0, bytes(10))
    memory.put("a", 1, bytes(31))
    assert memory.get("a", 0) is not None
    assert memory.get("a", 1) is None


def finish(memory: ChunkMemory) -> None:
    """Wait for what it does in other threads."""
    if memory._pool is not None:
        memory._pool.shutdown()
        memory._pool = None


def fetch(memory: ChunkMemory, *indexes: int, stream: str = "reader") -> bool:
    """Fetch chunks of 10 bytes ahead of a reader; whether there was room."""

    def land() -> int:
        for index in indexes:
            memory.put("a", index, bytes(10))
        return sum(memory.expect("a", index, stream) for index in indexes)

    done = memory.start(10 * len(indexes), land, stream=stream)
    finish(memory)
    return done


def may_start(memory: ChunkMemory, size: int) -> bool:
    """Whether there is room for so many bytes; takes none of it."""
    done = memory.start(size, lambda: 0)
    finish(memory)
    return done


def kept(memory: ChunkMemory, count: int) -> list[int]:
    return [index for index in range(count) if memory.holds("a", index)]


# ---- On their way --------------------------------------------------------------------------------


def test_three_quarters_as_many_bytes_may_be_on_their_way() -> None:
    memory = ChunkMemory(100)
    go_on, ended = threading.Event(), threading.Semaphore(0)

    def fetch() -> int:
        assert go_on.wait(30)
        ended.release()
        return 0

    assert memory.start(50, fetch)
    assert memory.start(25, fetch)
    assert not memory.start(1, fetch)
    go_on.set()
    assert ended.acquire(timeout=30)
    assert ended.acquire(timeout=30)


def test_what_has_arrived_makes_room_and_so_does_what_fails() -> None:
    memory = ChunkMemory(100)

    def fail() -> int:
        raise ValueError

    assert memory.start(75, fail)
    finish(memory)
    for _ in range(3):
        assert may_start(memory, 75)


def test_nothing_is_on_its_way_without_memory() -> None:
    assert not ChunkMemory(0).start(1, lambda: 0)


def test_as_many_as_there_are_threads_are_fetched_at_once() -> None:
    memory = ChunkMemory(1000)
    together = threading.Barrier(AHEAD_THREADS)
    broken = threading.Event()
    met = threading.Semaphore(0)

    def fetch() -> int:
        try:
            together.wait(30)
            met.release()
        except threading.BrokenBarrierError:
            broken.set()
        return 0

    for _ in range(AHEAD_THREADS):
        assert memory.start(1, fetch)
    for _ in range(AHEAD_THREADS):
        assert met.acquire(timeout=30)
    assert not broken.is_set()


def test_what_is_refused_for_want_of_a_thread_is_not_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = ChunkMemory(100)
    go_on, done = threading.Event(), []

    def wait() -> int:
        assert go_on.wait(30)
        return 0

    def refused() -> int:
        done.append("refused")
        return 0

    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert memory.start(10, wait)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        assert not memory.start(10, refused)
    go_on.set()
    finish(memory)  # once all in its queue is done
    assert may_start(memory, 75)
    assert done == []


def test_a_fork_fetches_ahead_with_threads_of_its_own() -> None:
    memory = ChunkMemory(100)
    assert fetch(memory, 0, 1)
    assert memory.start(10, lambda: 0)  # may be on its way while the process forks
    child = os.fork()
    if not child:  # pragma: no cover -- a process of its own, which nothing measures
        os._exit(0 if may_start(memory, 55) and not may_start(memory, 56) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- Expected ------------------------------------------------------------------------------------


def test_a_chunk_that_is_expected_stays_until_it_is_read() -> None:
    memory = ChunkMemory(40)
    assert fetch(memory, 0)
    for index in range(1, 9):
        memory.put("a", index, bytes(10))
    assert kept(memory, 9) == [0, 6, 7, 8]
    assert memory.get("a", 0) == bytes(10)
    for index in range(1, 5):
        memory.put("b", index, bytes(10))
    assert memory.get("a", 0) is None


def test_what_is_expected_takes_the_room_of_what_is_on_its_way_until_it_is_read() -> None:
    memory = ChunkMemory(40)
    assert fetch(memory, 0, 1)
    assert not may_start(memory, 11)
    assert may_start(memory, 10)
    memory.get("a", 0)
    assert may_start(memory, 20)
    assert not may_start(memory, 21)
    memory.get("a", 0)
    assert not may_start(memory, 21)


def test_what_is_expected_counts_once_while_it_is_handed_over() -> None:
    memory = ChunkMemory(40)
    handed_over, go_on = threading.Event(), threading.Event()

    def land() -> int:
        memory.put("a", 0, bytes(10))
        expected = memory.expect("a", 0, "reader")
        handed_over.set()
        assert go_on.wait(30)
        return expected

    assert memory.start(10, land)
    assert handed_over.wait(30)
    assert memory.start(20, lambda: 0)
    go_on.set()
    finish(memory)
    assert not may_start(memory, 21)


def test_a_chunk_that_is_expected_and_put_again_counts_once() -> None:
    memory = ChunkMemory(40)
    assert fetch(memory, 0)
    assert fetch(memory, 0, stream="another")
    memory.put("a", 0, bytes(10))
    assert may_start(memory, 20)
    memory.get("a", 0)
    assert may_start(memory, 30)
    for index in range(1, 4):
        memory.put("a", index, bytes(10))
    assert kept(memory, 4) == [0, 1, 2, 3]


def test_nothing_is_expected_of_what_is_not_there() -> None:
    memory = ChunkMemory(40)
    assert memory.expect("a", 0, "reader") == 0
    assert may_start(memory, 30)


def test_looking_for_a_chunk_is_no_use_of_it() -> None:
    memory = ChunkMemory(20)
    memory.put("a", 0, bytes(10))
    memory.put("a", 1, bytes(10))
    assert memory.holds("a", 0)
    memory.put("a", 2, bytes(10))
    assert not memory.holds("a", 0)


# ---- Readers that are gone -----------------------------------------------------------------------


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_nobody_came_for_makes_room_for_another_reader() -> None:
    clock = Clock()
    memory = ChunkMemory(40, clock)
    assert fetch(memory, 0, 1, 2)
    clock.now += 9.9
    assert not fetch(memory, 3, stream="another")
    clock.now += 0.1
    assert fetch(memory, 3, 4, 5, stream="another")
    assert kept(memory, 6) == [0, 3, 4, 5]  # the others, furthest ahead, were the next to go


def test_what_nobody_came_for_is_the_next_to_go() -> None:
    clock = Clock()
    memory = ChunkMemory(40, clock)
    assert fetch(memory, 0, 1, 2)
    clock.now += 10
    for index in range(3, 7):
        memory.put("a", index, bytes(10))
    assert kept(memory, 7) == [3, 4, 5, 6]


def test_a_reader_is_there_as_long_as_it_reads_or_announces() -> None:
    clock = Clock()
    memory = ChunkMemory(60, clock)
    assert fetch(memory, 0, stream="gone")
    clock.now += 1
    assert fetch(memory, 1, 2, stream="slow")
    clock.now += 9
    assert memory.get("a", 1) is not None  # reads
    assert fetch(memory, 3, 4, 5, stream="another")  # in the room of the one that is gone
    clock.now += 9
    assert not memory.start(11, lambda: 0, stream="slow")  # announces
    clock.now += 9
    for index in range(6, 20):
        memory.put("a", index, bytes(10))
    assert kept(memory, 6) == [2]  # and the other is gone meanwhile


def test_whatever_is_read_expected_and_forsaken_adds_up() -> None:
    clock = Clock()
    memory = ChunkMemory(100, clock)
    choice = random.Random(3)
    for _ in range(3000):
        clock.now += choice.random() * 4
        stream = choice.choice("xyz")
        first = choice.randrange(30)
        match choice.randrange(3):
            case 0:
                fetch(memory, *range(first, first + choice.randrange(1, 8)), stream=stream)
            case 1:
                memory.get("a", first)
            case _:
                memory.put("a", first, bytes(choice.choice([5, 10])))
        there = [memory._chunks, *(each.chunks for each in memory._streams.values())]
        sizes = [sum(map(len, chunks.values())) for chunks in there]
        assert memory._kept == sum(sizes) <= 100
        assert memory._ahead == sum(sizes[1:]) <= 75
        assert all(each.chunks for each in memory._streams.values())
