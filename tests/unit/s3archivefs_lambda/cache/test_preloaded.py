"""Bytes that came otherwise than by chunks: held, stored, and had again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.preloaded import Preloaded

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DrawFn

ID = "device"


@st.composite
def tails(draw: DrawFn) -> tuple[int, int, int]:
    """A chunk size, the size of a device, and where a tail of it begins."""
    chunk_size = draw(st.sampled_from([1, 7, 64]))
    size = draw(st.integers(1, 300))
    return chunk_size, size, draw(st.integers(0, size))


@pytest.mark.property
@given(tail=tails())
def test_partial_head_and_chunks_are_all_of_a_tail(
    tail: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    chunk_size, size, offset = tail
    data = noise(size)[offset:]
    store = ChunkStore(tmp_path_factory.mktemp("preloaded"), 1 << 30)
    preloaded = Preloaded(store, ID, size, chunk_size)
    preloaded.hold(offset, data)
    preloaded.store_partial_head(offset, data)
    chunks = preloaded.chunks(offset, data)
    again = Preloaded(store, ID, size, chunk_size)
    head = again.recall_partial_head(offset)
    had = again.find(offset, offset + head) or b""
    assert bytes(had) + b"".join(chunks[index] for index in sorted(chunks)) == data
    assert head < chunk_size


def test_only_what_is_held_from_its_first_byte_on_is_found(tmp_path: Path) -> None:
    preloaded = Preloaded(ChunkStore(tmp_path, 0), ID, 100, 16)
    preloaded.hold(10, b"x" * 10)
    assert preloaded.find(9, 12) is None
    assert bytes(preloaded.find(10, 20) or b"") == b"x" * 10
    assert preloaded.find(15, 21) is None
    assert bytes(preloaded.beginning(15, 21) or b"") == b"x" * 5
    assert preloaded.beginning(20, 21) is None


def test_with_a_chunk_its_held_bytes_and_its_partial_head_are_dropped(
    tmp_path: Path,
) -> None:
    store = ChunkStore(tmp_path, 1 << 30)
    preloaded = Preloaded(store, ID, 100, 16)
    data = noise(100)[20:]
    preloaded.hold(20, data)
    preloaded.store_partial_head(20, data)
    assert Preloaded(store, ID, 100, 16).recall_partial_head(20) == 12
    preloaded.drop(16, 32)
    assert preloaded.beginning(20, 40) is None
    assert bytes(preloaded.find(32, 100) or b"") == data[12:]
    assert Preloaded(store, ID, 100, 16).recall_partial_head(20) == 0
    preloaded.store_partial_head(20, data)  # on its way to the disk when it was dropped
    assert Preloaded(store, ID, 100, 16).recall_partial_head(20) == 0
    preloaded.drop(48, 64)
    assert bytes(preloaded.find(32, 48) or b"") == data[12:28]
    assert bytes(preloaded.find(64, 100) or b"") == data[44:]


def test_a_partial_head_of_another_length_is_not_taken(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path, 1 << 30)
    preloaded = Preloaded(store, ID, 100, 16)
    shorter = Preloaded(store, ID, 31, 16)
    shorter.hold(20, b"x" * 11)
    shorter.store_partial_head(20, b"x" * 11)
    assert Preloaded(store, ID, 31, 16).recall_partial_head(20) == 11
    assert preloaded.recall_partial_head(20) == 0
    assert preloaded.find(20, 21) is None
