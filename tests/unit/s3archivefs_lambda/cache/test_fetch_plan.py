"""The laws of a plan; what comes of it is in test_chunk_reader.py and test_readahead.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.cache.fetch_plan import FetchPlan

MIB = 1 << 20
CHUNK = 128 << 10
CHUNKS = 2000

chunks = st.sets(st.integers(0, CHUNKS - 1), min_size=1, max_size=60) | st.builds(
    lambda first, count: set(range(first, min(first + count, CHUNKS))),
    st.integers(0, CHUNKS - 1),
    st.integers(1, 300),
)


def plan(metadata_start: int = CHUNKS * CHUNK) -> FetchPlan:
    return FetchPlan(CHUNKS * CHUNK - 5, CHUNK, metadata_start)


@pytest.mark.property
@given(chunks)
def test_reads_hold_each_chunk_once_in_order_and_8_mib_at_most(wanted: set[int]) -> None:
    runs = list(plan().reads(wanted))
    assert [index for run in runs for index in run] == sorted(wanted)
    assert all((run[-1] + 1 - run[0]) * CHUNK <= 8 * MIB for run in runs)


@pytest.mark.property
@given(st.integers(0, CHUNKS - 1), st.integers(1, 300), st.integers(0, 16 * MIB))
def test_parts_hold_each_chunk_once_in_order_and_about_4_mib_or_less(
    first: int, count: int, most: int
) -> None:
    wanted = range(first, min(first + count, CHUNKS))
    runs = list(plan().parts(wanted, most))
    assert [index for run in runs for index in run] == list(wanted)
    assert all(run for run in runs)
    about = min(max(most, CHUNK), 4 * MIB)
    assert all(len(run) * CHUNK < 1.5 * about + CHUNK for run in runs)


@pytest.mark.property
@given(st.lists(chunks, max_size=20), st.integers(0, CHUNKS * CHUNK))
def test_what_is_fetched_along_stays_within_the_device(
    misses: list[set[int]], metadata_start: int
) -> None:
    planned = plan(metadata_start)
    for missing in misses:
        along = planned.prefetch(missing)
        assert all(0 <= index < CHUNKS for index in along)
        most = max(2 * MIB // CHUNK, max(missing) + 1 - min(missing) + 8)
        assert len(along) <= most
