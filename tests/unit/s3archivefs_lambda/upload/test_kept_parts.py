"""What S3 copies of an image that another replaces, by arithmetic alone."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.upload.kept_parts import KeptParts, fetches

MIB = 1 << 20
LEAST = 5 * MIB
LENGTHS = st.integers(1, 30 * MIB) | st.integers(1, 5 << 40) | st.just(LEAST)


@st.composite
def kept_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges in order, the first from the start on, with gaps between them."""
    ranges, end = [], 0
    for length, gap in draw(
        st.lists(st.tuples(LENGTHS, st.integers(1, 3 * MIB)), min_size=1, max_size=8)
    ):
        ranges.append((end, end + length))
        end += length + gap
    return ranges


def parts_of(kept: KeptParts, part_bytes: int, rest: int) -> list[int]:
    """The lengths of all parts, as a stream cuts what it is given."""
    parts, part = [], 0
    for start, end, is_copied in kept.pieces:
        if is_copied:
            parts += [part] if part else []
            parts.append(end - start)
            part = 0
            continue
        part += end - start
        while part > part_bytes:
            parts.append(part_bytes)
            part -= part_bytes
    part += rest
    while part > part_bytes:
        parts.append(part_bytes)
        part -= part_bytes
    return [*parts, part]


@given(
    ranges=kept_ranges(),
    part_bytes=st.sampled_from([LEAST, 16 * MIB, 1 << 30]),
    rest=st.integers(1, 40 * MIB),
)
def test_all_that_is_kept_becomes_parts_that_s3_takes(
    ranges: list[tuple[int, int]], part_bytes: int, rest: int
) -> None:
    kept = KeptParts(ranges, part_bytes)
    joined: list[tuple[int, int]] = []
    for start, end, _ in kept.pieces:
        assert start < end
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    assert joined == ranges
    assert not kept.pieces[0].is_copied  # which has the superblock
    parts = parts_of(kept, part_bytes, rest) if kept.copied < 1 << 40 else []
    assert all(LEAST <= part <= 5 << 30 for part in parts[:-1])
    size = sum(end - start for start, end in ranges) + rest
    if parts:
        assert len(parts) == kept.parts(size)
    longest_copies = -(-size // (5 << 30))  # more than 500 from 2.5 TiB on
    assert kept.copies <= max(500, longest_copies) + len(ranges)


@given(ranges=kept_ranges())
def test_what_is_sent_is_fetched_once_and_in_order(ranges: list[tuple[int, int]]) -> None:
    pieces = [
        piece for piece in KeptParts(ranges, LEAST).pieces if piece.end - piece.start < 1 << 32
    ]
    groups = [*fetches(pieces)]
    fetched = [each for group in groups for each in group]
    assert all(first[1] <= second[0] for first, second in pairwise(fetched))
    assert sum(end - start for start, end in fetched) == sum(
        end - start for start, end, is_copied in pieces if not is_copied
    )
    assert all(group[-1][1] - group[0][0] <= 8 * MIB for group in groups)
    assert all(second[0] - first[1] <= MIB for group in groups for first, second in pairwise(group))


def test_an_image_that_grows_is_copied_but_for_its_first_part() -> None:
    kept = KeptParts([(0, 40 << 30)], 16 * MIB)
    assert kept.pieces[0] == (0, LEAST, False)
    assert kept.copied == (40 << 30) - LEAST
    assert kept.copies == 40
    assert KeptParts([(0, 2 * LEAST - 1)], LEAST).copied == 0


def test_many_runs_are_copied_where_they_are_long_and_sent_where_not() -> None:
    run = 6 * MIB
    few = KeptParts([(start, start + run) for start in range(0, 100 * run, run + 1)], 16 * MIB)
    assert few.copies > 90
    many = KeptParts([(start, start + run) for start in range(0, 2000 * run, run + 1)], 16 * MIB)
    assert many.copies <= 500
