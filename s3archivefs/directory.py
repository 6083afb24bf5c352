"""Directories: entries in byte order of their names, found through the directory's index.

A listing is cut into segments, each from one index entry to the next (a metadata block's worth of
names). A look-up or a seek decodes the one segment that can hold the name, and caches it. A short
listing without an index is one segment; a long one is read through once to make an index.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs.errors import CorruptImageError
from s3archivefs.format import (
    METADATA_BLOCK_SIZE,
    NAME_MAX,
    RUN_MAX,
    DirectoryEntry,
    DirectoryHeader,
    DirectoryIndex,
    ExtendedDirectory,
    InodeType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.inode import Inode, InodeTable
    from s3archivefs.metadata import MetadataCursor, MetadataReader

__all__ = ["Counter", "Directory", "Entry", "Segment", "uncounted"]

Counter: TypeAlias = "Callable[[int], object]"
"""A function that counts work: names looked up, and entries decoded to find them."""

# Bytes. A directory's size counts `.` and `..`, which no listing holds, as three bytes;
# squashfs-tools-ng before 1.1.3 did not count them. Linux (dir.c, namei.c) and unsquashfs take the
# size for a bound: they read a run that starts more than three bytes before it. No run is as short
# as that, so both conventions give the same runs. Where the last run ends at neither size, the size
# or a run is damaged, and names may be missing.
_DOTS_SIZE = 3
_TYPES = frozenset(InodeType)
# Segments of one listing. They take 2 MB, as much as the cache of segments may; a longer index is
# thinned out. A million long names have 13,000 segments, and an index that the cache does not hold
# cost 50 ms a look-up.
_SEGMENTS_MAX = 8192
_INDEX_NEEDED = 1 << 16  # bytes of listing; a basic directory has fewer, and no index
_GAP_MAX = 1 << 18  # bytes from one index entry to the next; writers have one for every 8 KiB


def uncounted(work: int) -> None:
    """Count nothing: the Counter for work without a bound."""


class Entry(NamedTuple):
    """One name of a directory."""

    name: bytes
    type: int
    """A basic InodeType."""
    reference: int
    """Reference of the inode."""
    inode_number: int


class Segment(NamedTuple):
    """A part of a listing that begins with a run."""

    first: bytes
    """First name of the segment; empty for the first segment."""
    following: bytes
    """First name of the next segment; empty for the last segment."""
    start: int
    """Start of the segment, in bytes from the start of the listing."""
    end: int
    """Start of the next segment; for the last segment, the directory's size."""
    position: int
    """Metadata block that holds the start, in bytes from the start of the image."""
    offset: int
    """Offset of the start in the decoded block."""


class Directory:
    """The listing of one directory, read on first use.

    Format: "Directory Table", "Directory Index".
    """

    def __init__(
        self,
        inode: Inode,
        inodes: InodeTable,
        reader: MetadataReader,
        entries: WeightedCache[dict[bytes, Entry]],
        segments: WeightedCache[list[Segment]],
    ) -> None:
        self.inode = inode
        record = inode.directory
        self._inodes = inodes
        self._reader = reader
        self._kept_entries = entries
        self._kept_segments = segments
        self._position = reader.extent.start + record.start_block
        self._offset = record.offset
        self._size = record.size
        least = record.size - _DOTS_SIZE  # the shortest listing of that size
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

    def get(self, name: bytes, count: Counter = uncounted) -> Entry | None:
        """Return the entry of that name, or None."""
        segments = self._segments(count)
        after = bisect_right(segments, name, key=_first_name)
        found = self._entries(segments[after - 1], count).get(name)
        if found is None and after < len(segments):
            # The name is missing only if the index is right that the next segment cannot hold it.
            next(self._scan(segments[after]), None)
        return found

    def entries(self, start: bytes = b"") -> Iterator[Entry]:
        """Yield entries in byte order, from the first name that is not below `start`.

        Raises CorruptImageError where a name is out of order, occurs twice, or could lead out of
        the directory.
        """
        segments = self._segments(uncounted, seek=bool(start))
        first = max(0, bisect_right(segments, start, key=_first_name) - 1)
        previous = b""
        for segment in segments[first:]:
            for entry in self._scan(segment, previous):
                previous = entry.name
                if entry.name >= start:
                    yield entry

    # ---- segments --------------------------------------------------------------------------------

    def _segments(self, count: Counter = uncounted, *, seek: bool = True) -> list[Segment]:
        """Return the listing's segments, in order.

        An index only saves time: one that contradicts itself is ignored. To `seek`, a long listing
        needs one, which is made where the image has none.
        """
        record = self.inode.directory
        if isinstance(record, ExtendedDirectory) and record.index_count:
            segments = self._kept_segments.get(
                self.inode.reference, lambda: self._segments_by_index(record.index_count)
            )
            if segments:
                return segments
        if self._size <= _INDEX_NEEDED or not seek:
            return [Segment(b"", b"", 0, self._size, self._position, self._offset)]
        return self._kept_segments.get(
            (self._position, self._offset, self._size), lambda: self._segments_by_scan(count)
        )

    def _segments_by_index(self, index_count: int) -> list[Segment]:
        size = index_count * DirectoryIndex.layout.size
        cursor = self._inodes.tail(self.inode, size, "directory index")
        places = [(b"", 0, self._position, self._offset)]
        for _ in range(index_count):
            index = DirectoryIndex.decode(cursor.take(DirectoryIndex.layout.size))
            if index.name_size_minus_one >= NAME_MAX:
                return []
            name = cursor.take(index.name_size_minus_one + 1)
            if not index.listing_offset:
                continue  # squashfs-tools-ng has an entry for the first run too
            previous_name, previous_start, previous_position, _ = places[-1]
            position = self._reader.extent.start + index.block
            gap = index.listing_offset - previous_start
            ordered = previous_name < name and 0 < gap <= _GAP_MAX
            inside = index.listing_offset + _DOTS_SIZE < self._size
            if not ordered or not inside or position < previous_position:
                return []
            places.append(self._place(name, index.listing_offset, position))
        return self._segments_between(places) if self._size - places[-1][1] <= _GAP_MAX else []

    def _segments_by_scan(self, count: Counter) -> list[Segment]:
        """Return the segments that an index would give, one per metadata block.

        Each starts with the first run that starts in its block. Damage ends the last one early: the
        read of the damaged entries raises.
        """
        places = [(b"", 0, self._position, self._offset)]
        block, position = 0, self._position
        starts: list[int] = []
        (whole,) = self._segments(count, seek=False)
        with suppress(CorruptImageError):
            for entry in self._scan(whole, run_at=starts.append):
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
        return self._segments_between(places)

    def _place(self, name: bytes, start: int, position: int) -> tuple[bytes, int, int, int]:
        # All blocks but the last are full, so the listing's offset gives the block's.
        return name, start, position, (self._offset + start) % METADATA_BLOCK_SIZE

    def _segments_between(self, places: list[tuple[bytes, int, int, int]]) -> list[Segment]:
        """Return the segments from each place to the next."""
        places = places[:: -(-len(places) // _SEGMENTS_MAX)]
        nexts = [(name, start) for name, start, _, _ in places[1:]] + [(b"", self._size)]
        return [
            Segment(name, following, start, end, position, offset)
            for (name, start, position, offset), (following, end) in zip(places, nexts, strict=True)
        ]

    def _entries(self, segment: Segment, count: Counter) -> dict[bytes, Entry]:
        def load() -> dict[bytes, Entry]:
            entries = {entry.name: entry for entry in self._scan(segment)}
            count(len(entries))
            return entries

        # The end too: an empty directory may have the position of one that is not empty.
        key = (self._position, self._offset, segment.start, segment.end)
        return self._kept_entries.get(key, load)

    def _scan(
        self,
        segment: Segment,
        previous: bytes = b"",
        run_at: Callable[[int], object] = uncounted,
    ) -> Iterator[Entry]:
        """Decode a segment's entries, a metadata block at a time.

        The names come after `previous`. `run_at` is called with the start of each run, in bytes
        from the start of the listing.
        """
        left = segment.end - segment.start
        # A segment ends where its last run does. The last segment ends at the directory's size,
        # which may lie behind that, where the table may have no more bytes.
        surplus = 0 if segment.following else _DOTS_SIZE
        if left <= surplus:
            return  # an empty directory: its position and offset are meaningless
        cursor = self._reader.cursor(segment.position, segment.offset)
        unpack_entry = DirectoryEntry.layout.unpack_from
        entry_size = DirectoryEntry.layout.size
        header_size = DirectoryHeader.layout.size
        data, at = b"", 0  # bytes of the table; those not yet decoded start at `at`
        expected = segment.first
        while left + len(data) - at > surplus:
            data, left = _refill(cursor, data[at:], left, header_size, segment.position)
            run_at(segment.end - left - len(data))
            header = DirectoryHeader.decode(data)
            at = header_size
            if header.count_minus_one >= RUN_MAX:
                raise CorruptImageError(
                    f"a directory header counts {header.count_minus_one + 1} entries; "
                    f"{RUN_MAX} are allowed",
                    segment.position,
                )
            block = header.inode_block << 16
            for _ in range(header.count_minus_one + 1):
                if len(data) - at < entry_size:
                    data, left = _refill(cursor, data[at:], left, entry_size, segment.position)
                    at = 0
                offset, delta, kind, size = unpack_entry(data, at)
                at += entry_size
                if size >= NAME_MAX:
                    raise CorruptImageError(
                        f"a name is too long: {size + 1} bytes, where {NAME_MAX} are allowed",
                        segment.position,
                    )
                if len(data) - at <= size:
                    data, left = _refill(cursor, data[at:], left, size + 1, segment.position)
                    at = 0
                name = data[at : at + size + 1]
                at += size + 1
                if kind not in _TYPES or b"/" in name or b"\0" in name or name in _DOTS:
                    raise CorruptImageError(
                        f"a directory entry has type {kind} and name {name!r}", segment.position
                    )
                if expected and name != expected:
                    raise CorruptImageError(
                        f"the directory index names {expected!r} where {name!r} stands",
                        segment.position,
                    )
                expected = b""
                # A look-up searches for a name from the next segment's first name on there.
                if name <= previous or (segment.following and name >= segment.following):
                    names = (previous, name) if name <= previous else (name, segment.following)
                    raise CorruptImageError(
                        f"directory names {names[0]!r} and {names[1]!r} are out of order",
                        segment.position,
                    )
                previous = name
                yield Entry(name, kind, block | offset, header.inode_number + delta)
        left += len(data) - at
        if left not in {0, surplus}:
            raise CorruptImageError(
                f"a directory listing ends {left} bytes before its size of {segment.end};"
                f" writers have 0 or {_DOTS_SIZE}",
                segment.position,
            )


_DOTS = (b".", b"..")


def _first_name(segment: Segment) -> bytes:
    return segment.first


def _refill(
    cursor: MetadataCursor, data: bytes, left: int, wanted: int, position: int
) -> tuple[bytes, int]:
    """Read blocks of the listing until `data` has `wanted` bytes, and no further."""
    if len(data) + left < wanted:
        raise CorruptImageError("a directory listing ends within an entry", position)
    while len(data) < wanted:
        piece = cursor.take_some(left)
        data += piece
        left -= len(piece)
    return data, left
