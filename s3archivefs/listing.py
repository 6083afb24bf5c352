"""A part of a directory's listing in memory: its bytes, and where entries start.

An entry takes some 20 bytes so, and 250 as an object of its own: it is decoded when it is handed
out. `loading` makes listings, and checks them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import chain, groupby
from typing import TYPE_CHECKING

from s3archivefs.format import DirectoryEntry, InodeType
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.runs import ENTRY_SIZE, Entry, Run, run_at, starts_at

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DOTS",
    "DOTS_SIZE",
    "TYPES",
    "Listing",
    "ScannedEntries",
    "Segment",
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
TYPES = frozenset(map(int, InodeType))
"""Types that an entry may have."""

_WEIGHT = 700  # bytes of memory that a Listing without entries takes, roughly
_entry = DirectoryEntry.layout.unpack_from


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

    __slots__ = (
        *("_blocks", "_data", "_first", "_firsts", "_numbers", "_places", "_starts"),
        "extents",
    )

    _data: bytes
    _places: array[int]
    """Of each run, where its first entry starts in the data."""
    _firsts: array[int]
    """Of each run, the number of its first entry; then, how many entries there are."""
    _blocks: array[int]
    """Of each run, the inodes' block."""
    _numbers: array[int]
    """Of each run, the number from which the inodes count."""
    _starts: array[int] | None
    """Where each entry starts in the data; found when a name is looked up."""
    _first: int
    """Number of the entry that the listing begins with."""
    extents: tuple[tuple[int, int], ...]
    """Ranges of the image that the listing was decoded from."""

    def __init__(
        self,
        data: bytes,
        places: list[int],
        firsts: list[int],
        blocks: list[int],
        numbers: list[int],
        *extents: tuple[int, int],
    ) -> None:
        self._data = data
        self._places = array("I", places)
        self._firsts = array("I", firsts)
        self._blocks = array("I", blocks)
        self._numbers = array("I", numbers)
        self._starts = None
        self._first = 0
        self.extents = extents

    def __len__(self) -> int:
        return self._firsts[-1] - self._first

    @property
    def weight(self) -> int:
        """Bytes of memory that the listing takes, roughly, once a name was looked up."""
        start = array(self._typecode).itemsize
        return _WEIGHT + len(self._data) + start * self._firsts[-1] + 16 * len(self._places)

    def get(self, name: bytes) -> Entry | None:
        """Return the entry of that name, or None."""
        starts = self._starts or self._find_starts()
        number = self._number(name)
        if number == len(starts):
            return None
        at = starts[number]
        start = at + ENTRY_SIZE
        offset, delta, kind, size = _entry(self._data, at)
        if self._data[start : start + size + 1] != name:
            return None
        run = bisect_right(self._firsts, number) - 1
        reference = self._blocks[run] << 16 | offset
        return Entry(name, kind, reference, self._numbers[run] + delta)

    def since(self, name: bytes) -> Listing:
        """Return the entries whose names are not below `name`."""
        return self.behind(self._number(name) - self._first)

    def behind(self, count: int) -> Listing:
        """Return the entries without the first `count`."""
        behind = Listing.__new__(Listing)
        for attribute in self.__slots__:
            setattr(behind, attribute, getattr(self, attribute))
        behind._first = min(self._first + count, self._firsts[-1])  # noqa: SLF001 -- made here
        return behind

    def names(self) -> list[bytes]:
        """Return the names."""
        return [*chain.from_iterable(run.names for run in self.runs())]

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        return chain.from_iterable(map(Run.entries, self.runs()))

    def runs(self) -> Iterator[Run]:
        """Yield the entries in runs."""
        data, number = self._data, self._first
        for run in range(bisect_right(self._firsts, number) - 1, len(self._places)):
            first, end = self._firsts[run], self._firsts[run + 1]
            place = self._places[run]
            if number > first:
                place = (self._starts or self._find_starts())[number]
            starts = starts_at(data, place, end - number)
            yield run_at(self._blocks[run], self._numbers[run], data, starts)
            number = end

    @property
    def _typecode(self) -> str:
        return "H" if len(self._data) < 1 << 16 else "I"

    def _find_starts(self) -> array[int]:
        """Find out where each entry starts."""
        starts = array(self._typecode)
        for place, first, end in zip(self._places, self._firsts, self._firsts[1:], strict=False):
            starts.fromlist([*starts_at(self._data, place, end - first)])
        self._starts = starts
        return starts

    def _number(self, name: bytes) -> int:
        """Return the number of the first entry whose name is not below `name`."""
        data, starts = self._data, self._starts or self._find_starts()
        low, high = self._first, len(starts)
        while low < high:
            middle = (low + high) >> 1
            start = starts[middle] + ENTRY_SIZE
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

    def runs(self) -> Iterator[Run]:
        """Yield the entries in runs."""
        for block, found in groupby(self._entries, lambda entry: entry.reference >> 16):
            names, types, references, numbers = zip(*found, strict=True)
            offsets = [reference & 0xFFFF for reference in references]
            yield Run(block, 0, names, offsets, numbers, types)

    def since(self, name: bytes) -> ScannedEntries:
        """Return the entries whose names are not below `name`."""
        return ScannedEntries([entry for entry in self._entries if entry.name >= name])

    def behind(self, count: int) -> ScannedEntries:
        """Return the entries without the first `count`."""
        return ScannedEntries(self._entries[count:])
