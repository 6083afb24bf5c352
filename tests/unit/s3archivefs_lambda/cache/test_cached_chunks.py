"""The chunks that need not be fetched: where they are found, and what is kept of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.cache.cached_chunks import CachedChunks, Verdict
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from tests.support.adapter.chunk_stores import patient_store

if TYPE_CHECKING:
    from pathlib import Path

SIZE, CHUNK = 25, 10
LAST = b"vwxyz"


@pytest.fixture
def memory() -> ChunkMemory:
    return ChunkMemory(1000)


@pytest.fixture
def store(tmp_path: Path) -> ChunkStore:
    return patient_store(tmp_path, 1 << 20)


@pytest.fixture
def cached(memory: ChunkMemory, store: ChunkStore) -> CachedChunks:
    return CachedChunks("archive", SIZE, CHUNK, memory=memory, store=store, clock=time.monotonic)


def test_chunks_are_numbered_and_the_last_is_short(cached: CachedChunks) -> None:
    assert [cached.extent(index) for index in range(3)] == [(0, 10), (10, 20), (20, 25)]
    assert (cached.indexes(9, 11), cached.indexes(10, 20)) == (range(2), range(1, 2))
    cached.check(0, SIZE)
    with pytest.raises(ValueError, match="bytes 20 \\+ 6"):
        cached.check(20, 6)


def test_what_is_found_on_disk_is_kept_in_memory(cached: CachedChunks, store: ChunkStore) -> None:
    store.put(cached.store_id, 2, LAST)
    assert (cached.is_stored(2), cached.is_in_memory(2)) == (True, False)
    assert cached.get(2) == LAST
    assert cached.is_in_memory(2)


def test_what_is_preloaded_is_found_first(cached: CachedChunks) -> None:
    cached.keep({2: b"other"}, cached.epoch)
    cached.preloaded.hold(20, LAST)
    assert cached.get(2) == LAST


def test_a_chunk_of_another_length_is_a_miss(cached: CachedChunks, memory: ChunkMemory) -> None:
    memory.put(cached.store_id, 2, b"too long")
    assert cached.get(2) is None


def test_what_was_fetched_before_a_doubt_is_not_kept(cached: CachedChunks) -> None:
    epoch = cached.epoch
    cached.keep({2: LAST}, epoch)
    cached.store({2: LAST}, epoch)
    assert cached.doubt(2, 20, LAST, None) is Verdict.FORGOTTEN
    cached.keep({2: LAST}, epoch)
    cached.store({2: LAST}, epoch)
    assert (cached.get(2), cached.is_stored(2)) == (None, False)
    cached.keep({2: LAST}, cached.epoch)
    assert cached.doubt(2, 20, LAST, None) is Verdict.UNCHANGED
    assert cached.get(2) == LAST


def test_another_copy_than_the_doubted_one_stays(cached: CachedChunks) -> None:
    cached.keep({2: LAST}, cached.epoch)
    assert cached.doubt(2, 20, b"wrong", None) is Verdict.REPLACED
    assert cached.get(2) == LAST


def test_without_room_in_the_background_chunks_are_stored_at_once(store: ChunkStore) -> None:
    nothing = ChunkMemory(0)
    cached = CachedChunks("archive", SIZE, CHUNK, memory=nothing, store=store, clock=time.monotonic)
    cached.store_soon({2: LAST}, cached.epoch)
    assert cached.is_stored(2)
