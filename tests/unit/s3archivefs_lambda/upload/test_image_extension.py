"""What S3 copies of an image that grows, and what that costs, by arithmetic alone."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.upload.image_extension import copied_ranges, extension_cost

MIB = 1 << 20


@given(kept=st.integers(0, 64 << 40) | st.integers(0, 30 * MIB))
def test_copied_ranges_are_parts_that_s3_takes(kept: int) -> None:
    ranges = copied_ranges(kept)
    if not ranges:
        assert kept < 10 * MIB
        return
    assert (ranges[0][0], ranges[-1][1]) == (5 * MIB, kept)
    assert all(first[1] == second[0] for first, second in pairwise(ranges))
    assert all(5 * MIB <= end - start <= 5 << 30 for start, end in ranges)
    assert len(ranges) <= 500 or kept > 2 << 40
    assert len(ranges) < 10_000 or kept > 48 << 40


def test_a_megabyte_more_in_ten_gigabytes_is_few_requests_and_bytes() -> None:
    tables, new = 16_000_000, 1_000_000  # a million files; with new ones, as many again
    kept = 10_000_000_000
    cost = extension_cost(
        kept,
        kept + new + tables,
        part_bytes=16 * MIB,
        received=5 * MIB + tables,
        requests=3,
    )
    assert cost.sent + cost.received <= 45_000_000
    assert cost.requests <= 30
    assert cost.copied == kept - 5 * MIB


def test_a_small_image_is_one_request_besides_looking() -> None:
    cost = extension_cost(MIB, 2 * MIB, part_bytes=16 * MIB, received=MIB, requests=2)
    assert cost == (2 * MIB, MIB, 0, 5)
