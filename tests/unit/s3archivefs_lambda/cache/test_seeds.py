"""Bytes that came otherwise than by chunks: held, stored, and had again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.shapes import noise
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.seeds import Seeds

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
def test_edge_and_chunks_are_all_of_a_tail(
    tail: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    chunk_size, size, offset = tail
    data = noise(size)[offset:]
    store = ChunkStore(tmp_path_factory.mktemp("seeds"), 1 << 30)
    seeds = Seeds(store, ID, size, chunk_size)
    seeds.hold(offset, data)
    seeds.store_edge(offset, data)
    chunks = seeds.chunks(offset, data)
    again = Seeds(store, ID, size, chunk_size)
    edge = again.recall_edge(offset)
    had = again.find(offset, offset + edge) or b""
    assert bytes(had) + b"".join(chunks[index] for index in sorted(chunks)) == data
    assert edge < chunk_size


def test_only_what_is_held_from_its_first_byte_on_is_found(tmp_path: Path) -> None:
    seeds = Seeds(ChunkStore(tmp_path, 0), ID, 100, 16)
    seeds.hold(10, b"x" * 10)
    assert seeds.find(9, 12) is None
    assert bytes(seeds.find(10, 20) or b"") == b"x" * 10
    assert seeds.find(15, 21) is None
    assert bytes(seeds.beginning(15, 21) or b"") == b"x" * 5
    assert seeds.beginning(20, 21) is None


def test_a_dropped_chunk_takes_what_is_held_of_it_and_its_edge_along(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path, 1 << 30)
    seeds = Seeds(store, ID, 100, 16)
    data = noise(100)[20:]
    seeds.hold(20, data)
    seeds.store_edge(20, data)
    assert Seeds(store, ID, 100, 16).recall_edge(20) == 12
    seeds.drop(16, 32)
    assert seeds.beginning(20, 40) is None
    assert bytes(seeds.find(32, 100) or b"") == data[12:]
    assert Seeds(store, ID, 100, 16).recall_edge(20) == 0
    seeds.store_edge(20, data)  # on its way to the disk when it was dropped
    assert Seeds(store, ID, 100, 16).recall_edge(20) == 0
    seeds.drop(48, 64)
    assert bytes(seeds.find(32, 48) or b"") == data[12:28]
    assert bytes(seeds.find(64, 100) or b"") == data[44:]


def test_an_edge_of_another_length_is_not_taken(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path, 1 << 30)
    seeds = Seeds(store, ID, 100, 16)
    store.put(seeds._edge_id(20), 0, b"x" * 11)
    assert seeds.recall_edge(20) == 0
    assert seeds.find(20, 21) is None
