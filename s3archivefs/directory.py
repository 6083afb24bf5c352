"""Directories: entries in byte order of their names, found by the index where there is one.

A listing is cut into segments, each from one index entry to the next (a metadata block's worth of
names). A look-up or a seek decodes the one segment that can hold the name, and keeps it. A short
listing without an index is one segment; for a long one, an index is made by going through it once.
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
"""Is told of work: names looked up, entries decoded to find them."""

# A directory's size counts `.` and `..`, which no listing holds, as three bytes; not with
# squashfs-tools-ng before 1.1.3, which stores the listing's own. Linux (dir.c, namei.c) and
# unsquashfs take it for a bound: a run is read where it starts more than three bytes before it. No
# run is as short as that, so both conventions give the same runs. Where the last one ends elsewhere
# than either has it, the size or a run is damaged, and names may be missing.
_DOTS_SIZE = 3
_TYPES = frozenset(InodeType)
# Of one listing; 2 MB, as much as is kept of all. A listing of a million long names has 13,000, and
# decoding its index anew took 50 ms a look-up: a longer index is thinned out.
_SEGMENTS_MAX = 8192
_INDEX_NEEDED = 1 << 16  # bytes of listing; every basic directory's is shorter, and has no index
_GAP_MAX = 1 << 18  # bytes between places of an index; writers name each metadata block of 8 KiB


def uncounted(work: int) -> None:
    """A Counter for work that nobody counts."""


class Entry(NamedTuple):
    """One name of a directory."""

    name: bytes
    type: int
    """A basic InodeType."""
    reference: int
    """Of the inode."""
    inode_number: int


class Segment(NamedTuple):
    """A part of a listing that begins with a run."""

    first: bytes
    """Its first name; empty for the first segment."""
    following: bytes
    """The next one's first name; empty for the last segment."""
    start: int
    """Bytes from the start of the listing."""
    end: int
    """The next one's start; of the last segment, the directory's size."""
    position: int
    """Metadata block of its start, from the start of the image."""
    offset: int
    """Offset in that block."""


class Directory:
    """The listing of one directory. Reads nothing before it is asked.

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
        """The entry of that name, or None."""
        segments = self._cut(count)
        after = bisect_right(segments, name, key=_first_name)
        found = self._entries(segments[after - 1], count).get(name)
        if found is None and after < len(segments):
            # Before a name is not there, the index must be right that it is not in the next.
            next(self._scan(segments[after]), None)
        return found

    def entries(self, start: bytes = b"") -> Iterator[Entry]:
        """Entries in byte order of their names, from the first that is not below `start`; read as
        they are asked for.

        Raises CorruptImageError where names are out of order, twice there, or could leave the
        directory.
        """
        segments = self._cut(uncounted, seek=bool(start))
        first = max(0, bisect_right(segments, start, key=_first_name) - 1)
        previous = b""
        for segment in segments[first:]:
            for entry in self._scan(segment, previous):
                previous = entry.name
                if entry.name >= start:
                    yield entry

    # ---- segments --------------------------------------------------------------------------------

    def _cut(self, count: Counter = uncounted, *, seek: bool = True) -> list[Segment]:
        """The listing's segments, in order. An index that contradicts itself is passed over: it
        only speeds up. To `seek`, a long listing needs one.
        """
        record = self.inode.directory
        if isinstance(record, ExtendedDirectory) and record.index_count:
            segments = self._kept_segments.get(
                self.inode.reference, lambda: self._indexed(record.index_count)
            )
            if segments:
                return segments
        if self._size <= _INDEX_NEEDED or not seek:
            return [Segment(b"", b"", 0, self._size, self._position, self._offset)]
        return self._kept_segments.get(
            (self._position, self._offset, self._size), lambda: self._found(count)
        )

    def _indexed(self, index_count: int) -> list[Segment]:
        size = index_count * DirectoryIndex.layout.size
        cursor = self._inodes.tail(self.inode, size, "directory index")
        places = [(b"", 0, self._position, self._offset)]
        for _ in range(index_count):
            index = DirectoryIndex.decode(cursor.take(DirectoryIndex.layout.size))
            if index.name_size_minus_one >= NAME_MAX:
                return []
            name = cursor.take(index.name_size_minus_one + 1)
            if not index.listing_offset:
                continue  # squashfs-tools-ng names the first run too, where the listing starts
            previous_name, previous_start, previous_position, _ = places[-1]
            position = self._reader.extent.start + index.block
            gap = index.listing_offset - previous_start
            ordered = previous_name < name and 0 < gap <= _GAP_MAX
            inside = index.listing_offset + _DOTS_SIZE < self._size
            if not ordered or not inside or position < previous_position:
                return []
            places.append(self._place(name, index.listing_offset, position))
        return self._between(places) if self._size - places[-1][1] <= _GAP_MAX else []

    def _found(self, count: Counter) -> list[Segment]:
        """What an index would say: the first run that begins in each metadata block. Damage ends
        it: that is told to whoever comes to it.
        """
        places = [(b"", 0, self._position, self._offset)]
        block, position = 0, self._position
        starts: list[int] = []
        (whole,) = self._cut(count, seek=False)
        with suppress(CorruptImageError):
            for entry in self._scan(whole, run_at=starts.append):
                count(1)
                if not starts:
                    continue
                start = starts.pop()  # the entry is the first of its run
                beyond = (self._offset + start) // METADATA_BLOCK_SIZE - block
                for _ in range(beyond):
                    position = self._reader.block(position).end
                if beyond:
                    block += beyond
                    places.append(self._place(entry.name, start, position))
        return self._between(places)

    def _place(self, name: bytes, start: int, position: int) -> tuple[bytes, int, int, int]:
        # Blocks before the last are full, so the offset in the block follows from the offset in the
        # listing.
        return name, start, position, (self._offset + start) % METADATA_BLOCK_SIZE

    def _between(self, places: list[tuple[bytes, int, int, int]]) -> list[Segment]:
        """The segments from each place to the next."""
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

        # The end too: an empty directory may have the position of another that is not empty.
        key = (self._position, self._offset, segment.start, segment.end)
        return self._kept_entries.get(key, load)

    def _scan(
        self,
        segment: Segment,
        previous: bytes = b"",
        run_at: Callable[[int], object] = uncounted,
    ) -> Iterator[Entry]:
        """Decode a segment's entries, whose names come after `previous`, a metadata block at a
        time. `run_at` is told where each run starts, bytes from the start of the listing.
        """
        left = segment.end - segment.start
        # The next segment starts where this one's last run ends; the directory's size may lie
        # behind that, where the table may have no more bytes.
        surplus = 0 if segment.following else _DOTS_SIZE
        if left <= surplus:
            return  # an empty directory's position and offset mean nothing
        cursor = self._reader.cursor(segment.position, segment.offset)
        unpack_entry = DirectoryEntry.layout.unpack_from
        entry_size = DirectoryEntry.layout.size
        header_size = DirectoryHeader.layout.size
        data, at = b"", 0  # bytes taken from the table and not yet decoded start at `at`
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
                # A look-up would search for a name behind the next segment's first one there.
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
    """Take blocks of the listing until `wanted` bytes are there, and no block more."""
    if len(data) + left < wanted:
        raise CorruptImageError("a directory listing ends within an entry", position)
    while len(data) < wanted:
        piece = cursor.take_some(left)
        data += piece
        left -= len(piece)
    return data, left
