"""Chunks in memory."""

from __future__ import annotations

import random

import pytest

from s3archivefs_lambda.cache.memory import ChunkMemory


def test_a_chunk_is_kept_by_archive_and_number() -> None:
    memory = ChunkMemory(100)
    memory.put("a", 1, b"chunk")
    assert memory.get("a", 1) == b"chunk"
    assert memory.get("b", 1) is None
    assert memory.get("a", 2) is None


@pytest.mark.parametrize("chunk", [memoryview(b"a chunk")[2:], memoryview(b"chunk")])
def test_a_view_of_more_than_the_chunk_is_copied(chunk: memoryview) -> None:
    memory = ChunkMemory(100)
    memory.put("a", 1, chunk)
    kept = memory.get("a", 1)
    assert kept == b"chunk"
    whole = kept.obj if isinstance(kept, memoryview) else kept
    assert whole == b"chunk"


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


def kept(memory: ChunkMemory, count: int) -> list[int]:
    return [index for index in range(count) if memory.holds("a", index)]


def test_a_lookup_does_not_touch_the_chunk() -> None:
    memory = ChunkMemory(20)
    memory.put("a", 0, bytes(10))
    memory.put("a", 1, bytes(10))
    assert memory.holds("a", 0)
    memory.put("a", 2, bytes(10))
    assert not memory.holds("a", 0)


def test_a_chunk_that_was_not_used_pushes_none_out_and_is_the_next_to_go() -> None:
    memory = ChunkMemory(40)
    for index in range(3):
        memory.put("a", index, bytes(10))
    memory.put("a", 3, bytes(10), used=False)
    memory.put("a", 4, bytes(10), used=False)
    assert kept(memory, 5) == [0, 1, 2, 3]
    memory.put("a", 5, bytes(10))
    assert kept(memory, 6) == [0, 1, 2, 5]


def test_a_chunk_that_is_dropped_makes_room() -> None:
    memory = ChunkMemory(20)
    memory.put("a", 0, bytes(10))
    memory.put("a", 1, bytes(10))
    memory.drop("a", 0)
    memory.drop("a", 7)
    memory.put("a", 2, bytes(10))
    assert kept(memory, 3) == [1, 2]


def test_whatever_is_put_read_and_dropped_adds_up() -> None:
    memory = ChunkMemory(100)
    choice = random.Random(3)
    for _ in range(3000):
        index = choice.randrange(30)
        size = 5 + index % 2 * 5
        match choice.randrange(4):
            case 0:
                memory.get("a", index)
            case 1:
                memory.drop("a", index)
            case _:
                memory.put("a", index, bytes(size), used=choice.random() < 0.8)
        assert memory.used_bytes == sum(5 + index % 2 * 5 for index in kept(memory, 30)) <= 100
