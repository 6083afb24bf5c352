"""The fast way through a part of a listing: runs, checked as they are read.

`scanning.scan` says what is wrong with a listing that is not sound; a property test holds that both
accept the same listings, and read them alike.
"""

from __future__ import annotations

import struct
from collections import deque
from itertools import chain, islice
from operator import lt
from typing import TYPE_CHECKING

from s3archivefs.errors import FormatError
from s3archivefs.format import RUN_MAX, DirectoryHeader
from s3archivefs.listing import DOTS, TYPES, Listing
from s3archivefs.runs import ENTRY_SIZE, SIZE, run_at, starts_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.listing import Segment
    from s3archivefs.metadata import MetadataReader
    from s3archivefs.runs import Run

__all__ = ["Loading", "UnsoundListingError", "load_listing"]

_TOGETHER = 32  # entries that are checked at once, at least: runs may have one each
_CUT_OFF = (struct.error, IndexError, ValueError)  # what runs raise where bytes end within them
_header = DirectoryHeader.layout.unpack_from


class UnsoundListingError(Exception):
    """A segment is not as a writer makes it: `scanning.scan` says why."""


class Loading:
    """The loading of a segment: an iterator of its runs.

    It reads a metadata block when it comes to it. Raises UnsoundListingError before the first
    entries that may not be sound, or where there are none, and what the device raises.
    """

    def __init__(self, reader: MetadataReader, segment: Segment) -> None:
        self._reader = reader
        self._segment = segment
        self._data = b""
        self._places: list[int] = []
        self._blocks: list[int] = []
        self._numbers: list[int] = []
        self._firsts = [0]
        self._last = b""
        self.count = 0
        """Entries that were yielded, or are about to be."""
        self.listing: Listing
        """All of the segment, once it is read through."""

    def __iter__(self) -> Iterator[Run]:
        try:
            for runs in self._groups():
                self._check(runs)
                self.count = self._firsts[-1]
                yield from runs
        except FormatError as error:
            raise UnsoundListingError from error

    def _groups(self) -> Iterator[list[Run]]:
        """Yield the runs, some entries at a time."""
        segment = self._segment
        # The surplus is not there but with squashfs-tools-ng before 1.1.3.
        left, surplus = segment.end - segment.start - segment.surplus, segment.surplus
        if left <= 0:
            raise UnsoundListingError  # no entries: position and offset are meaningless
        cursor = self._reader.cursor(segment.position, segment.offset)
        at = 0
        runs: list[Run] = []
        while left or at < len(self._data):
            try:
                run, end = self._parsed(at, is_all=not left)
            except _CUT_OFF as error:
                if not left:
                    if not surplus:
                        raise UnsoundListingError from error
                    left, surplus = surplus, 0
                piece = cursor.take_some(left)
                self._data += piece
                left -= len(piece)
                continue
            self._places.append(at + DirectoryHeader.layout.size)
            self._blocks.append(run.block)
            self._numbers.append(run.number)
            self._firsts.append(self._firsts[-1] + len(run.names))
            runs.append(run)
            at = end
            if self._firsts[-1] - self.count >= _TOGETHER:
                yield runs
                runs = []
        if runs:
            yield runs
        self.listing = Listing(
            self._data, self._places, self._firsts, self._blocks, self._numbers, cursor.extent
        )

    def _parsed(self, at: int, *, is_all: bool) -> tuple[Run, int]:
        """Return the run whose header is at `at`, and where it ends.

        Raises one of `_CUT_OFF` where the bytes may end before that.
        """
        data = self._data
        count, block, number = _header(data, at)
        if count >= RUN_MAX:
            raise ValueError("a run counts too many entries")
        at += DirectoryHeader.layout.size
        # Most names are as long as the first: not to try saves the time of entries read twice.
        if not is_all and at + (count + 1) * (ENTRY_SIZE + data[at + SIZE] + 1) > len(data):
            raise IndexError("the run may continue in the next block")
        starts = starts_at(data, at, count + 1)
        run = run_at(block, number, data, starts)
        return run, starts[-1] + ENTRY_SIZE + len(run.names[-1])

    def _check(self, runs: list[Run]) -> None:
        """Refuse names that do not rise, lead elsewhere, or contradict the index."""
        names = [*chain.from_iterable(run.names for run in runs)]
        joined = b"/".join(names)
        if (
            joined.count(b"/") != len(names) - 1
            or b"\0" in joined
            or not self._last < names[0]
            or not all(map(lt, names, islice(names, 1, None)))
            or (names[0] <= DOTS[-1] and not {*DOTS}.isdisjoint(names))
            or not {*chain.from_iterable(run.types for run in runs)} <= TYPES
        ):
            raise UnsoundListingError
        segment = self._segment
        if segment.first and not self._last and names[0] != segment.first:
            raise UnsoundListingError
        if segment.following and names[-1] >= segment.following:
            raise UnsoundListingError
        self._last = names[-1]


def load_listing(reader: MetadataReader, segment: Segment) -> Listing:
    """Read all of a segment; raises what Loading raises."""
    loading = Loading(reader, segment)
    deque(loading, 0)
    return loading.listing
