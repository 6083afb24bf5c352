from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.extents import Extents

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12)


@given(ranges=RANGES, start=st.integers(0, 60), length=st.integers(0, 30))
def test_ranges_are_sets_of_bytes(ranges: list[tuple[int, int]], start: int, length: int) -> None:
    extents = Extents()
    for each in ranges:
        extents.add(*each)
    taken = {byte for first, size in ranges for byte in range(first, first + size)}
    merged = extents.merged()
    assert [byte for first, last in merged for byte in range(first, last)] == sorted(taken)
    bounds = [bound for each in merged for bound in each]
    assert bounds == sorted({*bounds})  # none is empty, and none touches the next
    assert extents.left_out(start, start + length) == len({*range(start, start + length)} - taken)
