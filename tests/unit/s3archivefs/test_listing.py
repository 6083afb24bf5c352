"""Listings in memory: the fast way to read one agrees with the careful way on any bytes."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs import BytesDevice, FormatError, SquashfsError
from s3archivefs.directory import Directory
from s3archivefs.listing import Listing, ScannedEntries, Segment
from s3archivefs.loading import Loading, UnsoundListingError, load_listing
from s3archivefs.runs import Entry
from s3archivefs.scanning import scan
from tests.support.images.built import build, directory, entries
from tests.support.images.fixtures import FIXTURES
from tests.support.images.mutations import Mutator
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from s3archivefs.metadata import MetadataReader
    from s3archivefs.readers import Readers

MUTATOR = Mutator({name: fixture.image.read_bytes() for name, fixture in FIXTURES.items()})
NAMES = st.binary(min_size=1, max_size=12) | st.binary(min_size=250, max_size=257)
SOUND_NAMES = NAMES.map(  # few long ones have neither byte: to filter them would leave few
    lambda name: name[:256].replace(b"\0", b"0").replace(b"/", b"1")
).filter(lambda name: name not in {b".", b".."})
RUN = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(1, 9),
)
"""Block and first inode number of a run, and how many entries it has."""


@st.composite
def listings(draw: st.DrawFn) -> bytes:
    """A listing, sound or nearly so."""
    names = sorted(draw(st.sets(SOUND_NAMES, min_size=1, max_size=40)))
    if draw(st.booleans()):  # more bytes than a metadata block has, or than 16 bits count
        some = draw(st.sampled_from([700, 6000]))
        names = sorted({*names, *(b"n%05d" % number for number in range(some))})
    if draw(st.integers(0, 3)) == 0:
        names.insert(draw(st.integers(0, len(names))), draw(NAMES))
    listing, rest = b"", iter(names)
    while True:
        block, number, count = draw(RUN) if len(names) < 99 else (7, 9, 256)
        run = [(at, at - 3, 1 + at % 7, name) for at, name in enumerate(islice(rest, count))]
        if not run:
            break
        listing += entries(block, number, *run)
    data = bytearray(listing)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        data[draw(st.integers(0, min(len(data), 999) - 1))] = draw(
            st.sampled_from([0, 1, 2, 7, 8, 46, 47, 97, 255])
        )
    return bytes(data)


def carefully(reader: MetadataReader, segment: Segment) -> list[Entry] | None:
    """The entries as the careful way reads them; None where it refuses them."""
    try:
        return [*scan(reader, segment)]
    except FormatError:
        return None


def assert_begins_alike(reader: MetadataReader, segment: Segment) -> None:
    """What is read before damage is what the careful way reads."""
    loading = Loading(reader, segment)
    found: list[Entry] = []
    with suppress(UnsoundListingError):
        for run in loading:
            found += run.entries()
    assert loading.count == len(found)
    assert [*islice(scan(reader, segment), len(found))] == found


def assert_alike(reader: MetadataReader, segment: Segment) -> None:
    assert_begins_alike(reader, segment)
    expected = carefully(reader, segment)
    if not expected:
        with pytest.raises(UnsoundListingError):
            load_listing(reader, segment)
        return
    listing = load_listing(reader, segment)
    names = [entry.name for entry in expected]
    assert [*listing.entries()] == expected
    assert listing.names() == names
    assert len(listing) == len(expected)
    for index, entry in islice(enumerate(expected), 0, None, 1 + len(expected) // 50):
        assert listing.get(entry.name) == entry
        after = entry.name + b"\0"
        assert listing.get(after) is None
        assert [*listing.since(entry.name).entries()] == expected[index:]
        since = listing.since(after)
        assert since.names() == names[index + 1 :]
        assert [*since.entries()] == expected[index + 1 :]
        assert len(since) == len(expected) - index - 1
        assert [since.get(name) for name in names[index : index + 2]] == [
            None,
            *expected[index + 1 : index + 2],
        ]
    assert listing.get(b"") is None


def opened(readers: Readers, reference: int) -> Directory:
    return readers.directory(readers.inodes.inode(reference))


@pytest.mark.property
@given(data=listings(), dots=st.integers(-14, 5), bounds=st.data())
def test_a_drawn_listing_reads_alike_both_ways(
    data: bytes, dots: int, bounds: st.DataObject
) -> None:
    image = build(directory({b"d": directory(listing=data, extended=True)}))
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        readers = readers_of(fs)
        reader = readers.listings
        (segment,) = opened(readers, fs.stat("/d").reference).segments(seek=False).all
        end = max(0, len(data) + dots)
        whole = segment._replace(end=end)
        assert_alike(reader, whole)
        names = [entry.name for entry in carefully(reader, whole) or ()] or [b"a"]
        some = st.just(b"") | st.sampled_from([names[0], names[-1], names[-1] + b"~", b"a"])
        assert_alike(
            reader,
            segment._replace(first=bounds.draw(some), following=bounds.draw(some), end=len(data)),
        )


@pytest.mark.property
@given(number=st.integers(0, 2**32))
def test_the_listings_of_a_damaged_image_read_alike_both_ways(number: int) -> None:
    try:
        fs = s3archivefs.open(BytesDevice(MUTATOR.mutation(number)[1]))
    except SquashfsError:
        return
    with fs:
        readers = readers_of(fs)
        seen, todo = set[int](), [fs.superblock.root_inode]
        while todo and len(seen) < 30:
            reference = todo.pop()
            if reference in seen:
                continue
            seen.add(reference)
            try:
                segments = opened(readers, reference).segments().all
            except (SquashfsError, AttributeError):  # an inode that is no directory
                continue
            for segment in segments:
                assert_alike(readers.listings, segment)
                found = carefully(readers.listings, segment) or ()
                todo += [entry.reference for entry in found if entry.type == 1]


def test_entries_of_the_careful_way_are_used_alike() -> None:
    found = [Entry(name, 1, number, number) for number, name in enumerate((b"a", b"c", b"d"))]
    scanned = ScannedEntries(found)
    assert (len(scanned), scanned.names()) == (3, [b"a", b"c", b"d"])
    assert [*scanned.entries()] == found
    assert [*scanned.since(b"b").entries()] == found[1:]


def test_weight_is_what_a_listing_takes() -> None:
    names = [b"%05d" % number for number in range(400)]
    data = entries(0, 1, *((at, at, 2, name) for at, name in enumerate(names[:250])))
    image = build(directory({b"d": directory(listing=data)}))
    with s3archivefs.open(BytesDevice(bytes(image))) as fs:
        readers = readers_of(fs)
        (segment,) = opened(readers, fs.stat("/d").reference).segments().all
        listing = load_listing(readers.listings, segment)
    assert isinstance(listing, Listing)
    assert len(data) + 2 * len(listing) < listing.weight < len(data) + 2 * len(listing) + 1000
