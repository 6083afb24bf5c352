"""Memory that chunks arrive in, used again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.cache.buffers import Buffers

SIZE = 8


def test_memory_of_which_a_view_is_left_is_not_used_again() -> None:
    buffers = Buffers(SIZE)
    chunk = buffers.take(SIZE).toreadonly()
    part = chunk[2:3]
    of = chunk.obj
    del chunk
    assert buffers.take(SIZE).obj is not of
    del part
    assert buffers.take(SIZE).obj is of


def test_a_chunk_of_another_size_has_memory_of_its_own() -> None:
    buffers = Buffers(SIZE)
    for size in (1, SIZE - 1):
        view = buffers.take(size)
        assert view.nbytes == memoryview(view.obj).nbytes == size
    assert len(buffers) == 0


def test_no_more_buffers_are_known_than_are_allowed() -> None:
    buffers = Buffers(SIZE)
    views = [buffers.take(SIZE) for _ in range(5)]
    assert len(buffers) == 5
    buffers.limit(2)
    assert len(buffers) == 2
    known = {id(view.obj) for view in views}
    del views
    assert len({id(buffers.take(SIZE).obj) for _ in range(4)} & known) == 2
    assert len(buffers) == 2


@pytest.mark.property
@given(st.lists(st.one_of(st.just("take"), st.integers(0, 30), st.just("limit")), max_size=60))
def test_what_is_in_use_is_never_written_to(steps: list[str | int]) -> None:
    """A number drops the chunk of that place among those in use."""
    buffers = Buffers(SIZE)
    chunks: list[tuple[bytes, memoryview]] = []
    for number, step in enumerate(steps):
        if step == "take":
            place = buffers.take(SIZE)
            place[:] = content = bytes([number]) * SIZE
            chunks.append((content, place.toreadonly()[1:]))
            del place
        elif step == "limit":
            buffers.limit(len(chunks))
            assert len(buffers) <= len(chunks)
        elif chunks:
            del chunks[int(step) % len(chunks)]
        assert all(bytes(view) == content[1:] for content, view in chunks)
