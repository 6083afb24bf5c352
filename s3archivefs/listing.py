"""A part of a directory's listing in memory: its bytes, and where entries start.

An entry takes some 20 bytes so, and 250 as an object of its own: it is decoded when it is handed
out. A listing is checked when it is made. `scanning.scan` says what is wrong with one that is not
sound; a property test holds that both accept the same listings, and read them alike.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from itertools import chain, islice, repeat
from operator import lt
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.errors import FormatError
from s3archivefs.format import NAME_MAX, RUN_MAX, DirectoryEntry, DirectoryHeader, InodeType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.metadata import MetadataReader

__all__ = [
    "DOTS",
    "DOTS_SIZE",
    "TYPES",
    "Entry",
    "Listing",
    "Run",
    "ScannedEntries",
    "Segment",
    "UnsoundListingError",
    "load_listing",
]

DOTS_SIZE = 3
"""Bytes that a directory's size counts for `.` and `..`, which no listing holds.

squashfs-tools-ng before 1.1.3 did not count them. Linux (dir.c, namei.c) and unsquashfs take the
size for a bound: they read a run that starts more than three bytes before it. No run is as short as
that, so both conventions give the same runs. Where the last run ends at neither size, the size or a
run is damaged, and names may be missing.
"""
DOTS = (b".", b"..")
"""Names that no entry may have."""
TYPES = frozenset(InodeType)
"""Types that an entry may have."""

_WEIGHT = 700  # bytes of memory that a Listing without entries takes, roughly
_NAME = DirectoryEntry.layout.size  # bytes of an entry before its name
_TYPE, _SIZE = 4, 6  # places of the type's and the name size's low bytes in an entry
_FEW = 8  # entries of a run that are sooner read one by one
_type_and_size = struct.Struct("<4xHH").unpack_from
_header = DirectoryHeader.layout.unpack_from
_entry = DirectoryEntry.layout.unpack_from
_new = tuple.__new__  # takes half the time of Entry()


class Entry(NamedTuple):
    """One name of a directory."""

    name: bytes
    type: int
    """A basic InodeType."""
    reference: int
    """Reference of the inode."""
    inode_number: int


class Run(NamedTuple):
    """Up to 256 entries that follow each other, with their inodes in one metadata block."""

    data: bytes
    """The listing."""
    offsets: array[int]
    """Where each entry starts in the data."""
    block: int
    """Metadata block of the inodes, in bytes from the start of their table."""
    number: int
    """Number from which the inodes count."""

    @property
    def stored(self) -> Iterator[tuple[int, int, int, int]]:
        """The fields of each DirectoryEntry."""
        return map(_entry, repeat(self.data), self.offsets)

    def names(self) -> list[bytes]:
        """Return the names."""
        data = self.data
        return [data[at + _NAME : at + _NAME + data[at + _SIZE] + 1] for at in self.offsets]

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        data, block, number = self.data, self.block << 16, self.number
        for at in self.offsets:
            offset, delta, kind, size = _entry(data, at)
            name = data[at + _NAME : at + _NAME + size + 1]
            yield _new(Entry, (name, kind, block | offset, number + delta))


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

    @property
    def surplus(self) -> int:
        """Bytes at the end of the segment that need not be there.

        A segment ends where its last run does. The last segment ends at the directory's size, which
        may lie behind that, where the table may have no more bytes.
        """
        return 0 if self.following else DOTS_SIZE


class Listing:
    """The sound entries of one segment, in byte order of their names.

    Format: "Directory Table".
    """

    __slots__ = ("_blocks", "_data", "_first", "_firsts", "_numbers", "_offsets", "extents")

    _data: bytes
    _offsets: array[int]
    """Where each entry starts in the data."""
    _firsts: array[int]
    """Of each run, the number of its first entry."""
    _blocks: array[int]
    """Of each run, the inodes' block."""
    _numbers: array[int]
    """Of each run, the number from which the inodes count."""
    _first: int
    """Number of the entry that the listing begins with."""
    extents: tuple[tuple[int, int], ...]
    """Ranges of the image that the listing was decoded from."""

    def __init__(
        self,
        data: bytes,
        offsets: list[int],
        runs: tuple[list[int], list[int], list[int]],
        *extents: tuple[int, int],
    ) -> None:
        firsts, blocks, numbers = runs
        self._data = data
        self._offsets = array("H" if len(data) < 1 << 16 else "I", offsets)
        self._firsts = array("I", firsts)
        self._blocks = array("I", blocks)
        self._numbers = array("I", numbers)
        self._first = 0
        self.extents = extents

    def __len__(self) -> int:
        return len(self._offsets) - self._first

    @property
    def weight(self) -> int:
        """Bytes of memory that the listing takes, roughly."""
        offsets = len(self._offsets) * self._offsets.itemsize
        return _WEIGHT + len(self._data) + offsets + 12 * len(self._firsts)

    def get(self, name: bytes) -> Entry | None:
        """Return the entry of that name, or None."""
        number = self._number(name)
        if number == len(self._offsets):
            return None
        at = self._offsets[number]
        start = at + _NAME
        offset, delta, kind, size = _entry(self._data, at)
        if self._data[start : start + size + 1] != name:
            return None
        run = bisect_right(self._firsts, number) - 1
        reference = self._blocks[run] << 16 | offset
        return Entry(name, kind, reference, self._numbers[run] + delta)

    def since(self, name: bytes) -> Listing:
        """Return the entries whose names are not below `name`."""
        since = Listing.__new__(Listing)
        for attribute in self.__slots__:
            setattr(since, attribute, getattr(self, attribute))
        since._first = self._number(name)  # noqa: SLF001 -- made here
        return since

    def names(self) -> list[bytes]:
        """Return the names."""
        return [name for run in self.runs() for name in run.names()]

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        return chain.from_iterable(map(Run.entries, self.runs()))

    def runs(self) -> Iterator[Run]:
        """Yield the entries in runs."""
        start = self._first
        ends = [*self._firsts[1:], len(self._offsets)]
        for run in range(bisect_right(self._firsts, start) - 1, len(ends)):
            offsets = self._offsets[start : ends[run]]
            yield Run(self._data, offsets, self._blocks[run], self._numbers[run])
            start = ends[run]

    def _number(self, name: bytes) -> int:
        """Return the number of the first entry whose name is not below `name`."""
        data, offsets = self._data, self._offsets
        low, high = self._first, len(offsets)
        while low < high:
            middle = (low + high) >> 1
            start = offsets[middle] + _NAME
            # The size of a checked name has one byte, the last but one before it.
            if data[start : start + data[start - 2] + 1] < name:
                low = middle + 1
            else:
                high = middle
        return low


class ScannedEntries:
    """Entries as the careful way found them, with the methods of a Listing."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[bytes]:
        """Return the names."""
        return [entry.name for entry in self._entries]

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        return iter(self._entries)

    def since(self, name: bytes) -> ScannedEntries:
        """Return the entries whose names are not below `name`."""
        return ScannedEntries([entry for entry in self._entries if entry.name >= name])


class UnsoundListingError(Exception):
    """A segment is not as a writer makes it: `scanning.scan` says why."""


def load_listing(reader: MetadataReader, segment: Segment) -> Listing:
    """Read a segment that has entries, all of it.

    Raises UnsoundListingError, and what the device raises.
    """
    try:
        cursor = reader.cursor(segment.position, segment.offset)
        data = cursor.take(segment.end - segment.start - segment.surplus)
        listing = _parsed(data, segment, cursor.extent)
        if listing is None and segment.surplus:  # of squashfs-tools-ng before 1.1.3
            data += cursor.take(segment.surplus)
            listing = _parsed(data, segment, cursor.extent)
    except FormatError as error:
        raise UnsoundListingError from error
    if listing is None:
        raise UnsoundListingError
    return listing


def _parsed(data: bytes, segment: Segment, extent: tuple[int, int]) -> Listing | None:
    offsets: list[int] = []
    names: list[bytes] = []
    types: set[int] = set()
    firsts: list[int] = []
    blocks: list[int] = []
    numbers: list[int] = []
    at, end = 0, len(data)
    try:
        while at < end:
            count, block, number = _header(data, at)
            if count >= RUN_MAX:
                return None
            firsts.append(len(offsets))
            blocks.append(block)
            numbers.append(number)
            at += DirectoryHeader.layout.size
            length = _length_of_all(data, at, count + 1) if count >= _FEW else 0
            if length:
                starts = range(at, at + length * (count + 1), length)
                types.update(data[at + _TYPE : starts.stop : length])
                offsets.extend(starts)
                names += [data[start + _NAME : start + length] for start in starts]
                at = starts.stop
                continue
            for _ in range(count + 1):
                kind, size = _type_and_size(data, at)
                if size >= NAME_MAX:
                    return None
                types.add(kind)
                offsets.append(at)
                start = at + _NAME
                at = start + size + 1
                names.append(data[start:at])
    except struct.error:  # the bytes end within a header or an entry
        return None
    if at != end or not types <= TYPES or not _are_sound(names, segment):
        return None
    return Listing(data, offsets, (firsts, blocks, numbers), extent)


def _length_of_all(data: bytes, at: int, count: int) -> int:
    """Return the length of each of `count` entries, or 0 where they differ.

    Names such as 0001.jpg are common, and such runs are found without a step for each entry.
    """
    size = data[at + _SIZE] if at + _SIZE < len(data) else 0
    length = _NAME + size + 1
    stop = at + count * length
    # If the first entry has that length, the second starts where its size is looked for, and so on.
    is_so = (
        stop <= len(data)
        and data[at + _SIZE : stop : length].count(size) == count
        and data[at + _SIZE + 1 : stop : length].count(0) == count
        and data[at + _TYPE + 1 : stop : length].count(0) == count
    )
    return length if is_so else 0


def _are_sound(names: list[bytes], segment: Segment) -> bool:
    """Return whether names rise, lead nowhere else, and are those that the index says."""
    joined = b"/".join(names)
    if joined.count(b"/") != len(names) - 1 or b"\0" in joined:
        return False
    if not all(map(lt, names, islice(names, 1, None))):
        return False
    if segment.first and names[0] != segment.first:
        return False
    if segment.following and names[-1] >= segment.following:
        return False
    return not any(names[bisect_left(names, dot) :][:1] == [dot] for dot in DOTS)
