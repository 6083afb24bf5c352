"""Chunks in memory, and what may be on its way at once."""

from __future__ import annotations

import os
import threading

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


def test_half_as_many_bytes_may_be_on_their_way() -> None:
    memory = ChunkMemory(100)
    go_on, ended = threading.Event(), threading.Semaphore(0)

    def fetch() -> None:
        assert go_on.wait(30)
        ended.release()

    assert memory.start(30, fetch)
    assert memory.start(20, fetch)
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


def test_nothing_is_on_its_way_without_memory() -> None:
    assert not ChunkMemory(0).start(1, lambda: None)


def test_as_many_as_eight_are_fetched_at_once() -> None:
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
    assert memory.start(10, ran.set)
    assert ran.wait(30)
    child = os.fork()
    if not child:  # pragma: no cover -- a process of its own, which nothing measures
        again = threading.Event()
        os._exit(0 if memory.start(50, again.set) and again.wait(30) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
