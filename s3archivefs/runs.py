"""Entries of a directory that follow each other, a field of all at a time.

Whatever is done to a column is done in one call: an entry takes half the time so.
"""

from __future__ import annotations

from functools import cache
from itertools import repeat
from struct import Struct
from typing import TYPE_CHECKING

from s3archivefs.format import NAME_MAX, DirectoryEntry
from s3archivefs.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["ENTRY_SIZE", "SIZE", "Entry", "Run", "run_at", "starts_at"]

ENTRY_SIZE = DirectoryEntry.layout.size
"""Bytes of an entry before its name."""
SIZE = 6
"""Place of the name size's low byte in an entry."""
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

    block: int
    """Metadata block of the inodes, in bytes from the start of their table."""
    number: int
    """Number from which the inodes count."""
    names: Sequence[bytes]
    offsets: Sequence[int]
    """Of each inode, its offset in the decoded block."""
    deltas: Sequence[int]
    """Of each inode, what is added to `number`."""
    types: Sequence[int]
    """Of each entry, a basic InodeType."""

    @property
    def references(self) -> list[int]:
        """References of the inodes."""
        block = self.block << 16
        return [block | offset for offset in self.offsets]

    @property
    def inode_numbers(self) -> list[int]:
        """Numbers of the inodes."""
        number = self.number
        return [number + delta for delta in self.deltas]

    def first(self, count: int) -> Run:
        """Return the run's first entries."""
        return Run(
            self.block,
            self.number,
            self.names[:count],
            self.offsets[:count],
            self.deltas[:count],
            self.types[:count],
        )

    def entry(self, index: int) -> Entry:
        """Return an entry, counted from 0."""
        reference = self.block << 16 | self.offsets[index]
        number = self.number + self.deltas[index]
        return Entry(self.names[index], self.types[index], reference, number)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries."""
        fields = zip(self.names, self.types, self.references, self.inode_numbers, strict=True)
        return map(_new, repeat(Entry), fields)


def run_at(block: int, number: int, data: bytes, starts: Sequence[int]) -> Run:
    """Return the run whose entries start at those places of a listing's bytes.

    The places are what `starts_at` returned. Raises struct.error where an entry is cut off before
    its name, ValueError where a name is cut off or too long.
    """
    if isinstance(starts, range):
        entries = _entry_of(starts.step).iter_unpack(data[starts.start : starts.stop])
        offsets, deltas, types, all_names = zip(*entries, strict=True)
        return Run(block, number, all_names, offsets, deltas, types)
    if len(starts) == 1:  # as runs of directories are that hold many files: it takes a third
        offset, delta, kind, size = _entry(data, starts[0])
        name = data[starts[0] + ENTRY_SIZE : starts[0] + ENTRY_SIZE + size + 1]
        if size >= NAME_MAX or len(name) <= size:
            raise ValueError("a name is cut off or too long")
        return _new(Run, (block, number, (name,), (offset,), (delta,), (kind,)))
    offsets, deltas, types, sizes = zip(*map(_entry, repeat(data), starts), strict=True)
    names = [
        data[start + ENTRY_SIZE : start + ENTRY_SIZE + size + 1]
        for start, size in zip(starts, sizes, strict=True)
    ]
    if max(sizes) >= NAME_MAX or len(names[-1]) <= sizes[-1]:
        raise ValueError("a name is cut off or too long")
    return Run(block, number, names, offsets, deltas, types)


def starts_at(data: bytes, at: int, count: int) -> Sequence[int]:
    """Return where the entries start of which the first starts at `at`.

    It is a range where all have one length. Raises IndexError where the data ends before that.
    """
    if count == 1:
        return (at,)
    if length := _length_of_all(data, at, count):
        return range(at, at + length * count, length)
    starts = []
    for _ in range(count):
        starts.append(at)
        at += ENTRY_SIZE + data[at + SIZE] + 1
    return starts


def _length_of_all(data: bytes, at: int, count: int) -> int:
    """Return the length of each of `count` entries, or 0 where they differ.

    Names such as 0001.jpg are common, and such runs are found without a step for each entry.
    """
    size = data[at + SIZE]
    length = ENTRY_SIZE + size + 1
    stop = at + count * length
    # If the first entry has that length, the second starts where its size is looked for, and so on.
    is_so = (
        stop <= len(data)
        and data[at + SIZE : stop : length].count(size) == count
        and data[at + SIZE + 1 : stop : length].count(0) == count
    )
    return length if is_so else 0


@cache  # of at most 256 lengths
def _entry_of(length: int) -> Struct:
    """Return the layout of an entry with a name: offset, delta, type, name."""
    return Struct(f"<HhH2x{length - ENTRY_SIZE}s")
