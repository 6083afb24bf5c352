"""Chunks in memory, and what may be on its way at once."""

from __future__ import annotations

import os
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


def test_three_quarters_as_many_bytes_may_be_on_their_way() -> None:
    memory = ChunkMemory(100)
    go_on, ended = threading.Event(), threading.Semaphore(0)

    def fetch() -> None:
        assert go_on.wait(30)
        ended.release()

    assert memory.start(50, fetch)
    assert memory.start(25, fetch)
    assert not memory.start(1, fetch)
    go_on.set()
    assert ended.acquire(timeout=30)
    assert ended.acquire(timeout=30)


def test_what_has_arrived_makes_room() -> None:
    memory = ChunkMemory(100)
    for _ in range(20):
        ended = threading.Event()
        while not memory.start(50, ended.set):
            pass  # the thread has ended its work, and is about to say so
        assert ended.wait(30)


def test_a_chunk_that_is_expected_stays_until_it_is_read() -> None:
    memory = ChunkMemory(40)
    memory.put("a", 0, bytes(10))
    memory.expect("a", 0)
    for index in range(1, 9):
        memory.put("a", index, bytes(10))
    assert [index for index in range(9) if memory.holds("a", index)] == [0, 6, 7, 8]
    assert memory.get("a", 0) == bytes(10)
    for index in range(1, 5):
        memory.put("b", index, bytes(10))
    assert memory.get("a", 0) is None


def test_what_is_expected_takes_the_room_of_what_is_on_its_way_until_it_is_read() -> None:
    memory = ChunkMemory(40)
    for index in range(2):
        memory.put("a", index, bytes(10))
        memory.expect("a", index)
        memory.expect("a", index)
        memory.put("a", index, bytes(10))
    memory.expect("a", 99)  # is not there
    assert not may_start(memory, 11)
    assert may_start(memory, 10)
    memory.get("a", 0)
    assert may_start(memory, 20)
    memory.get("a", 0)
    assert not may_start(memory, 21)


def may_start(memory: ChunkMemory, size: int) -> bool:
    """Whether there is room for so many bytes; takes none of it."""
    done = memory.start(size, lambda: None)
    if done:
        assert memory._pool is not None
        memory._pool.shutdown()
        memory._pool = None
    return done


def test_looking_for_a_chunk_is_no_use_of_it() -> None:
    memory = ChunkMemory(20)
    memory.put("a", 0, bytes(10))
    memory.put("a", 1, bytes(10))
    assert memory.holds("a", 0)
    memory.put("a", 2, bytes(10))
    assert not memory.holds("a", 0)


def test_what_nobody_came_for_makes_room_after_a_while_where_it_is_needed() -> None:
    now = 100.0
    memory = ChunkMemory(40, lambda: now)
    for index in range(3):
        now += 2
        memory.put("a", index, bytes(10))
        memory.expect("a", index)
    assert not may_start(memory, 10)
    memory.put("b", 0, bytes(10))
    memory.put("b", 1, bytes(10))
    assert not memory.holds("b", 0)
    assert all(memory.holds("a", index) for index in range(3))  # they have stayed
    now += 2
    assert may_start(memory, 10)  # 6 seconds after the first
    assert not may_start(memory, 11)
    memory.put("b", 2, bytes(10))
    assert [memory.holds("a", index) for index in range(3)] == [False, True, True]
    assert memory.get("b", 1) is not None


def test_nothing_is_on_its_way_without_memory() -> None:
    assert not ChunkMemory(0).start(1, lambda: None)


def test_as_many_as_there_are_threads_are_fetched_at_once() -> None:
    memory = ChunkMemory(1000)
    together = threading.Barrier(AHEAD_THREADS)
    broken = threading.Event()
    met = threading.Semaphore(0)

    def fetch() -> None:
        try:
            together.wait(30)
            met.release()
        except threading.BrokenBarrierError:
            broken.set()

    for _ in range(AHEAD_THREADS):
        assert memory.start(1, fetch)
    for _ in range(AHEAD_THREADS):
        assert met.acquire(timeout=30)
    assert not broken.is_set()


def test_a_fork_fetches_ahead_with_threads_of_its_own() -> None:
    memory = ChunkMemory(100)
    ran = threading.Event()
    memory.put("a", 0, bytes(20))
    memory.expect("a", 0)
    assert memory.start(10, ran.set)
    assert ran.wait(30)
    child = os.fork()
    if not child:  # pragma: no cover -- a process of its own, which nothing measures
        again = threading.Event()
        done = memory.start(55, again.set) and again.wait(30)
        os._exit(0 if done and may_start(memory, 55) and not may_start(memory, 56) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_refused_for_want_of_a_thread_is_not_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = ChunkMemory(100)
    go_on, refused = threading.Event(), threading.Event()
    assert memory.start(10, lambda: assert_set(go_on))

    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        assert not memory.start(10, refused.set)
    go_on.set()
    assert memory._pool is not None
    memory._pool.shutdown()  # once all in its queue is done
    memory._pool = None
    assert may_start(memory, 75)
    assert not refused.is_set()


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)
