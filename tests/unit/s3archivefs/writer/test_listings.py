"""Listings hold the entries in order, within what headers and the index may hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.writer.listings import (
    INDEX_MAX,
    IndexEntry,
    Listing,
    ListingEntry,
    index_records,
    thinned,
)

BLOCK = 8192


def headers_of(content: bytes) -> Iterator[tuple[int, list[ListingEntry]]]:
    """The offset of each header, and the entries behind it."""
    at = 0
    while at < len(content):
        start = at
        count, block, number = struct.unpack_from("<III", content, at)
        at += 12
        entries = []
        for _ in range(count + 1):
            offset, delta, kind, size = struct.unpack_from("<HhHH", content, at)
            name = content[at + 8 : at + 9 + size]
            entries.append(ListingEntry(name, block, offset, number + delta, kind))
            at += 9 + size
        yield start, entries


@st.composite
def entry_lists(draw: st.DrawFn) -> list[ListingEntry]:
    count = draw(st.sampled_from([0, 1, 2, 255, 256, 257, 700]))
    width = draw(st.integers(3, 256))
    jumps = draw(st.sets(st.integers(0, 699), max_size=6))
    by = draw(st.sampled_from([1, 32_767, 32_768, 10**6, -40_000]))
    per_block = draw(st.sampled_from([3, 150, 1000]))
    entries, number = [], 10**9
    for index in range(count):
        number += by if index in jumps else 1
        name = b"%0*d" % (width, index)
        block = index // per_block * 4000
        entries.append(ListingEntry(name, block, index % per_block * 8, number, 1 + index % 7))
    return entries


@given(entries=entry_lists())
def test_it_holds_the_entries_within_its_bounds(entries: list[ListingEntry]) -> None:
    listing = Listing(entries)
    content = listing.content
    assert listing.size == len(content)
    headers = [*headers_of(content)]
    assert [entry for _, behind in headers for entry in behind] == entries
    assert all(len(behind) <= 256 for _, behind in headers)

    firsts = {offset: behind[0].name for offset, behind in headers}
    assert all(firsts[offset] == name for offset, name in listing.index)
    offsets = [0, *(entry.offset for entry in listing.index), len(content)]
    assert all(after - before > 0 for before, after in pairwise(offsets)) or (not content)
    # What the index leads to is one metadata block of listing away, at most.
    assert all(after - before <= BLOCK for before, after in pairwise(offsets))
    assert bool(listing.index) == (len(content) > BLOCK)


@given(count=st.integers(0, 300_000))
def test_an_index_has_no_more_entries_than_an_inode_counts(count: int) -> None:
    index = [IndexEntry(8000 * number, b"") for number in range(0, count, max(1, count // 9))]
    assert thinned(index) == index
    long = index * (count // max(1, len(index)))
    kept = thinned(long)
    assert len(kept) <= INDEX_MAX
    assert 2 * len(kept) >= min(len(long), INDEX_MAX)


def test_an_index_is_stored_with_blocks_and_names() -> None:
    stored = index_records([(IndexEntry(8000, b"abc"), 5000)])
    assert stored == struct.pack("<III", 8000, 5000, 2) + b"abc"
