"""The place of a content says how many blocks it has."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.content_place import ContentPlace
from s3archivefs.format import ABSENT_32


@given(size=st.integers(0, 1 << 40), power=st.integers(12, 20), number=st.integers(0, 9))
def test_blocks_hold_all_of_it_but_a_tail_in_a_fragment(size: int, power: int, number: int) -> None:
    block_size = 1 << power
    alone = ContentPlace(0, size, 96, ABSENT_32, 0).block_count(block_size)
    assert (alone - 1) * block_size < size <= alone * block_size
    with_tail = ContentPlace(0, size, 96, number, 0).block_count(block_size)
    assert 0 <= size - with_tail * block_size < block_size
