"""Directories: entries in byte order of their names, found through the directory's index.

A listing is cut into segments, each from one index entry to the next (a metadata block's worth of
names). A look-up or a seek decodes the one segment that can hold the name, and caches it. A short
listing without an index is one segment; a long one is read through once to make an index.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from s3archivefs.errors import CorruptImageError, FormatError
from s3archivefs.format import (
    METADATA_BLOCK_SIZE,
    NAME_MAX,
    DirectoryHeader,
    DirectoryIndex,
)
from s3archivefs.listing import DOTS_SIZE, Listing, ScannedEntries, Segment
from s3archivefs.loading import Loading, UnsoundListingError, load_listing
from s3archivefs.scanning import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.inode import Inode, InodeTable
    from s3archivefs.metadata import MetadataCursor, MetadataReader
    from s3archivefs.runs import Entry, Run

__all__ = ["Counter", "Directory", "Segment", "Segments", "uncounted"]

Counter: TypeAlias = "Callable[[int], object]"
"""A function that counts work: names looked up, and entries decoded to find them."""

# Segments of one listing. They take 2 MB; a longer index is thinned out. A million long names have
# 13,000 segments, and an index that the cache does not hold cost 50 ms a look-up.
SEGMENTS_MAX = 8192
_SEGMENT_WEIGHT = 250  # bytes of memory that a segment takes, roughly
_INDEX_NEEDED = 1 << 16  # bytes of listing; a basic directory has fewer, and no index
_GAP_MAX = 1 << 18  # bytes from one index entry to the next; writers have one for every 8 KiB
# Bytes of listing that an iterator holds. Of a hostile tree a caller may hold a thousand iterators,
# one for each directory on the way down; writers' segments have 8 KiB.
_HELD_MAX = 1 << 16
# A place in a listing is the number of its segment and, in these bits, that of the entry in it.
_PLACE_BITS = 32
_PLACE_MASK = (1 << _PLACE_BITS) - 1
_SCANNED_TOGETHER = 256  # entries of a segment that is too long to be taken into memory


def uncounted(work: int) -> None:
    """Count nothing: the Counter for work without a bound."""


class Segments:
    """The segments of one listing, in order."""

    __slots__ = ("all", "extents", "firsts")

    def __init__(self, segments: list[Segment], *extents: tuple[int, int]) -> None:
        self.all = segments
        self.firsts = [segment.first for segment in segments]
        self.extents = extents
        """Ranges of the image that hold the index, if the image has one."""

    @property
    def weight(self) -> int:
        """Bytes of memory that the segments take, roughly."""
        return _SEGMENT_WEIGHT * (1 + len(self.all))


class Directory:
    """The listing of one directory, read on first use.

    Format: "Directory Table", "Directory Index".
    """

    __slots__ = (
        *("_index_count", "_inodes", "_kept_listings", "_kept_segments", "_offset", "_only"),
        *("_position", "_reader", "_size", "inode"),
    )

    def __init__(
        self,
        inode: Inode,
        inodes: InodeTable,
        reader: MetadataReader,
        listings: WeightedCache[Listing],
        segments: WeightedCache[Segments],
    ) -> None:
        self.inode = inode
        record = inode.directory
        self._inodes = inodes
        self._reader = reader
        self._kept_listings = listings
        self._kept_segments = segments
        self._position = reader.extent.start + record.start_block
        self._offset = record.offset
        self._size = record.size
        least = record.size - DOTS_SIZE  # the shortest listing of that size
        if record.size and (least < 0 or 0 < least < DirectoryHeader.layout.size):
            raise CorruptImageError(
                f"directory inode {record.inode_number} has a size of {record.size} bytes",
                inode.tail[0],
            )
        if 0 < reader.capacity(self._position) < least:
            raise CorruptImageError(
                f"directory inode {record.inode_number} has a listing of {least} bytes, more"
                " than its table can hold",
                inode.tail[0],
            )
        self._index_count: int = getattr(record, "index_count", 0)
        self._only: Segments | None = None

    @property
    def extent(self) -> tuple[int, int]:
        """The range of the image that holds the inode, or a longer one."""
        return self._inodes.extent(self.inode)

    def get(self, name: bytes, count: Counter = uncounted) -> Entry | None:
        """Return the entry of that name, or None."""
        segments = self._only or self.segments(count)
        after = bisect_right(segments.firsts, name)
        segment = segments.all[after - 1]
        listing = self._kept_listings.peek(segment)
        found = self._look_up(segment, name, count) if listing is None else listing.get(name)
        if found is None and after < len(segments.all):
            # The name is missing only if the index is right that the next segment cannot hold it.
            next(scan(self._reader, segments.all[after]), None)
        return found

    def listings(self) -> Iterator[Listing | ScannedEntries]:
        """Yield the entries in byte order, many at a time.

        Raises CorruptImageError where a name is out of order, occurs twice, or could lead out of
        the directory.
        """
        for segment in self.segments(uncounted, seek=False).all:
            yield from filter(len, self._listings_of(segment))

    def runs(self, start: bytes = b"") -> Iterator[Run]:
        """Yield the entries in runs, read as they are asked for; raises what `listings` raises.

        They begin with the first name that is not below `start`.
        """
        segments = self.segments(uncounted, seek=bool(start))
        first = max(0, bisect_right(segments.firsts, start) - 1)
        for segment in islice(segments.all, first, None):
            for listing in self._listings_of(segment) if start else ():
                yield from listing.since(start).runs()
            if not start:
                yield from self._runs_behind(segment, 0)
            start = b""

    def runs_at(self, place: int) -> Iterator[tuple[int, Run]]:
        """Yield the entries in runs from a place on, each with its first entry's place.

        Those of its others follow that one by one. The first place is 0, and places rise; they stay
        what they are, so that a listing can be read on at any later time. Raises what `listings`
        raises.
        """
        segments = self.segments().all
        number, passed = place >> _PLACE_BITS, place & _PLACE_MASK
        for at, segment in enumerate(segments[number:], number):
            for run in self._runs_behind(segment, passed):
                yield (at << _PLACE_BITS) + passed, run
                passed += len(run.names)
            passed = 0

    # ---- segments --------------------------------------------------------------------------------

    def _listing(self, segment: Segment, count: Counter) -> Listing:
        """Return a segment's entries, or raise UnsoundListingError."""

        def load() -> Listing:
            listing = load_listing(self._reader, segment)
            count(len(listing))
            return listing

        return self._kept_listings.get(segment, load)

    def _look_up(self, segment: Segment, name: bytes, count: Counter) -> Entry | None:
        try:
            return self._listing(segment, count).get(name)
        except UnsoundListingError:
            entries = {entry.name: entry for entry in scan(self._reader, segment)}
        count(len(entries))
        return entries.get(name)

    def _listings_of(self, segment: Segment) -> Iterator[Listing | ScannedEntries]:
        """Yield a segment at once; where it is long or not sound, in parts."""
        if self._is_short(segment):
            with suppress(UnsoundListingError):
                yield self._listing(segment, uncounted)
                return
        yield from self._scanned(segment)

    def _runs_behind(self, segment: Segment, passed: int) -> Iterator[Run]:
        """Yield the runs of a segment without its first `passed` entries."""
        if passed or not self._is_short(segment) or self._kept_listings.peek(segment):
            for listing in self._listings_of(segment):
                skipped = min(passed, len(listing))
                passed -= skipped
                yield from listing.behind(skipped).runs() if skipped else listing.runs()
        else:
            yield from self._loaded(segment)

    def _loaded(self, segment: Segment) -> Iterator[Run]:
        """Yield the runs of a short segment; keep it if the cache is roomy."""
        loading = Loading(self._reader, segment)
        try:
            yield from loading
        except UnsoundListingError:
            for part in self._scanned(segment, loading.count):
                yield from part.runs()
        else:
            self._kept_listings.put_if_roomy(segment, loading.listing)

    @staticmethod
    def _is_short(segment: Segment) -> bool:
        """Return whether a segment may be held in memory."""
        return segment.end - segment.start <= _HELD_MAX

    def _scanned(self, segment: Segment, first: int = 0) -> Iterator[ScannedEntries]:
        """Yield the entries from the number `first` on, carefully, some at a time."""
        scanned = islice(scan(self._reader, segment), first, None)
        while True:
            found: list[Entry] = []
            try:
                found.extend(islice(scanned, _SCANNED_TOGETHER))
            except FormatError:
                yield ScannedEntries(found)
                raise
            yield ScannedEntries(found)
            if len(found) < _SCANNED_TOGETHER:
                return

    def segments(self, count: Counter = uncounted, *, seek: bool = True) -> Segments:
        """Return the listing's segments.

        An index only saves time: one that contradicts itself is ignored. To `seek`, a long listing
        needs one, which is made where the image has none.
        """
        if self._index_count:
            key: Hashable = (self.inode.reference,)
            segments = self._kept_segments.peek(key)
            if segments is None:
                segments = self._kept_segments.get(key, self._segments_by_index)
            if segments.all:
                return segments
        if self._size <= _INDEX_NEEDED or not seek:
            whole = Segments([self._whole])
            if not self._index_count:
                self._only = whole
            return whole
        key = (self._position, self._offset, self._size)
        return self._kept_segments.get(key, partial(self._segments_by_scan, count))

    @property
    def _whole(self) -> Segment:
        """All of the listing."""
        return Segment(b"", b"", 0, self._size, self._position, self._offset)

    def _segments_by_index(self) -> Segments:
        size = self._index_count * DirectoryIndex.layout.size
        cursor = self._inodes.tail(self.inode, size, "directory index")
        places = [(b"", 0, self._position, self._offset)]
        for start, block, name in _index_entries(cursor, self._index_count):
            if name is None:
                return Segments([], cursor.extent)
            if not start:
                continue  # squashfs-tools-ng has an entry for the first run too
            previous_name, previous_start, previous_position, _ = places[-1]
            position = self._reader.extent.start + block
            ordered = previous_name < name and 0 < start - previous_start <= _GAP_MAX
            inside = start + DOTS_SIZE < self._size
            if not ordered or not inside or position < previous_position:
                return Segments([], cursor.extent)
            places.append(self._place(name, start, position))
        reaches_the_end = self._size - places[-1][1] <= _GAP_MAX
        segments = self._segments_between(places) if reaches_the_end else []
        return Segments(segments, cursor.extent)

    def _segments_by_scan(self, count: Counter) -> Segments:
        """Return the segments that an index would give, one per metadata block.

        Each starts with the first run that starts in its block. Damage ends the last one early: the
        read of the damaged entries raises.
        """
        places = [(b"", 0, self._position, self._offset)]
        block, position = 0, self._position
        starts: list[int] = []
        with suppress(CorruptImageError):
            for entry in scan(self._reader, self._whole, run_at=starts.append):
                count(1)
                if not starts:
                    continue
                start = starts.pop()  # of the run whose first entry this is
                beyond = (self._offset + start) // METADATA_BLOCK_SIZE - block
                for _ in range(beyond):
                    position = self._reader.block(position).end
                if beyond:
                    block += beyond
                    places.append(self._place(entry.name, start, position))
        return Segments(self._segments_between(places))

    def _place(self, name: bytes, start: int, position: int) -> tuple[bytes, int, int, int]:
        # All blocks but the last are full, so the listing's offset gives the block's.
        return name, start, position, (self._offset + start) % METADATA_BLOCK_SIZE

    def _segments_between(self, places: list[tuple[bytes, int, int, int]]) -> list[Segment]:
        """Return the segments from each place to the next."""
        places = places[:: -(-len(places) // SEGMENTS_MAX)]
        nexts = [(name, start) for name, start, _, _ in places[1:]] + [(b"", self._size)]
        return [
            Segment(name, following, start, end, position, offset)
            for (name, start, position, offset), (following, end) in zip(places, nexts, strict=True)
        ]


def _index_entries(cursor: MetadataCursor, count: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield of each entry of an index the offset in the listing, block and name.

    The last has None in place of a name that is too long.
    """
    unpack, header_size = DirectoryIndex.layout.unpack_from, DirectoryIndex.layout.size
    data, at = b"", 0  # bytes of the index; those not yet decoded start at `at`
    for _ in range(count):
        data, at = _filled(cursor, data, at, header_size)
        start, block, name_size_minus_one = unpack(data, at)
        if name_size_minus_one >= NAME_MAX:
            yield start, block, None
            return
        size = header_size + name_size_minus_one + 1
        data, at = _filled(cursor, data, at, size)
        yield start, block, data[at + header_size : at + size]
        at += size


def _filled(cursor: MetadataCursor, data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Return the data, and a place in it, with `size` bytes from there on."""
    while len(data) - at < size:
        data, at = data[at:] + cursor.take_some(METADATA_BLOCK_SIZE), 0
    return data, at
