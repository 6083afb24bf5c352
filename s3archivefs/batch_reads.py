"""Batches read and decoded ahead of their consumer, some at a time, in other threads."""

from __future__ import annotations

import os
from collections import deque
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from s3archivefs.batch import Batch, Planner, Run
from s3archivefs.data import ANY_SIZE
from s3archivefs.errors import SquashfsError
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.parallel import Work, Workers, keep_spare, spare_workers, start_work

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from s3archivefs.data import DataReader
    from s3archivefs.device import ReadAhead
    from s3archivefs.inode import InodeTable
    from s3archivefs.wanted import Wanted, Window

__all__ = ["BatchReader"]

P = TypeVar("P")

_FLIGHTS_BYTES = 24 << 20  # of the batches in flight together, unless one alone has more
_FLIGHTS_MAX = 8  # batches in flight
_REQUESTS_MAX = 32
"""Likewise at a device with readahead: files that lie apart cost a request each.

A request spends nearly all its time waiting, so that more of them take little more processor time.
"""
_GAP_BYTES = 4 << 10  # read in vain rather than reading twice: copying them takes no longer
_DISTANT_GAP_BYTES = 128 << 10  # likewise, of a device with readahead: a request takes longer
_FREED_BYTES = 8 << 20
"""Bytes of a block that is freed so that glibc keeps other freed memory.

It gives the end of a heap back to the system where more than twice its largest freed block is free
there. Of 480 MB, 77,000 pages were given back and taken anew so; 14,000 are with such a block. The
block itself is never touched: it takes two system calls.
"""


class _Flight(NamedTuple, Generic[P]):
    """A batch that is read and decoded, by another thread if there is one."""

    batch: Batch[P]
    work: Work[None]


class BatchReader(Generic[P]):
    """A reader of many files' contents, in the order of the disk. One thread may use it.

    Each block is decoded once for all files of a batch that have it; adjacent blocks are read with
    one `pread`. A device with readahead, which a network may lie before, gets several requests at
    a time: its handle fetches ahead of batches that adjoin, threads read others.
    """

    def __init__(
        self,
        inodes: InodeTable,
        data: DataReader,
        large_bytes: int,
        workers: int | None = None,
        *,
        is_all: bool = False,
        among: int = 0,
    ) -> None:
        self._data = data
        self._keeps = True
        """Whether fragment blocks are cached: the next window may want them, or the next call.

        Those of the last of many files are not, and would only take memory, but for the very last:
        who reads on where these files end begins with it.
        """
        self._is_distant = data.has_readahead
        self._among = among if self._is_distant else 0
        """Bytes of all files, if these are some of a random order."""
        self._planner: Planner[P] = Planner(inodes, data, large_bytes, divides=bool(self._among))
        bytes(_FREED_BYTES)
        self._has_own = self._is_distant or workers is not None
        """Whether it has own threads: at a distant device they wait more than they decode."""
        most = _REQUESTS_MAX if self._is_distant else _FLIGHTS_MAX
        self._is_shared = self._is_distant and workers is None
        """Whether its threads are those that one reader takes over from another."""
        make = spare_workers if self._is_shared else Workers
        self._workers = make(workers or most, "s3archivefs-read")
        workers = workers or (most if self._is_distant else os.cpu_count() or 1)
        self._flights_max = min(workers + 1, most)
        self._is_all = is_all and self._is_distant
        """Whether all blocks are to be read, and fetched before files are known."""
        self._ahead_of_all: ReadAhead | None = None
        self._reached = 0  # up to here, that was read

    def contents(
        self, windows: Iterable[Window[P]]
    ) -> Generator[tuple[Wanted[P], bytes | None], None, None]:
        """Yield each file with its content, window by window, in the order of the disk.

        The content is None where the file is too large for a batch, or where it cannot be read: to
        read it by itself says why.
        """
        with closing(self._landed(windows)) as batches:
            for batch in batches:
                for file in batch.files:
                    yield file, batch.content(file)

    def pieces(
        self, windows: Iterable[Window[P]]
    ) -> Generator[tuple[Wanted[P], list[bytes | memoryview] | None], None, None]:
        """Yield likewise each file with the pieces of its content, holes among them."""
        with closing(self._landed(windows)) as batches:
            for batch in batches:
                for file in batch.files:
                    yield file, batch.pieces(file)

    def _landed(self, windows: Iterable[Window[P]]) -> Generator[Batch[P], None, None]:
        """Yield the batches of windows, decoded, in the order of the disk."""
        flights: deque[_Flight[P]] = deque()
        weight = 0
        if self._is_all:
            self._ahead_of_all = self._data.readahead_of_all()
        try:
            for window in windows:
                self._keeps = not window.ends_many
                with closing(self._begun(window.files)) as begun:
                    for flight in begun:
                        flights.append(flight)
                        weight += flight.batch.weight
                        while self._are_many(len(flights), weight):
                            weight -= flights[0].batch.weight
                            yield _waited_for(flights.popleft())
            while flights:
                batch = _waited_for(flights.popleft())
                if not flights:
                    self._keep_last_fragment(batch)
                yield batch
        finally:
            for flight in flights:
                flight.work.cancel()
            if self._is_shared and not flights:  # else threads may be stuck at this device
                keep_spare(self._workers)
            else:
                self._workers.end()
            if self._ahead_of_all is not None:
                self._ahead_of_all.close()

    def _keep_last_fragment(self, batch: Batch[P]) -> None:
        """Cache the fragment block that the last batch ends with, if it was decoded."""
        last = batch.last_fragment
        content = None if last is None else batch.decoded(last)
        if last is not None and last.due == ANY_SIZE and content is not None:
            self._data.keep(last, content)

    def _are_many(self, flights: int, weight: int) -> bool:
        return flights > 1 and (flights > self._flights_max or weight > _FLIGHTS_BYTES)

    def _begun(self, window: list[Wanted[P]]) -> Generator[_Flight[P], None, None]:
        """Yield the batches of a window as they begin to be read."""
        if not self._is_distant:
            for batch in self._planner.batches(window, None):
                yield self._begin(batch, batch.runs(_GAP_BYTES), None)
            return
        for group in _groups(self._planner.batches(window, _DISTANT_GAP_BYTES)):
            ahead = self._ahead(group)
            try:
                while group:  # which must not hold what is decoded and gone
                    yield self._begin(*group.popleft(), ahead)
            finally:
                if ahead is not None and ahead is not self._ahead_of_all:
                    ahead.close()

    def _ahead(self, group: Iterable[tuple[Batch[P], list[Run]]]) -> ReadAhead | None:
        """Return the readahead for the first runs of batches, which adjoin."""
        spans = [(runs[0].start, runs[0].end) for _, runs in group if runs]
        if not spans:
            return None
        start, stop = spans[0][0], spans[-1][1]
        if self._ahead_of_all is not None and self._reached <= start:
            self._reached = stop
            return self._ahead_of_all
        return self._data.readahead_once(start, stop) if len(spans) > 1 else None

    def _begin(self, batch: Batch[P], runs: list[Run], ahead: ReadAhead | None) -> _Flight[P]:
        raw = None
        if ahead is not None and runs:  # only this thread may use it
            with suppress(Exception):  # raised to the reader of the file concerned
                raw = self._data.read(runs[0].start, runs[0].end - runs[0].start, ahead)
        start = self._workers.start if self._has_own else start_work
        among = self._among if self._planner.is_scattered else 0
        return _Flight(batch, start(partial(self._decode, runs, raw, self._keeps, among)))

    def _decode(self, runs: list[Run], first: bytes | None, keeps: bool, among: int) -> None:  # noqa: FBT001 -- passed on by the pool
        """Decode the blocks of runs, the first of which may have been read.

        What is read is part of a random order of `among` bytes, unless that is 0. What cannot be
        read or decoded stays without content.
        """
        for run in runs:
            raw, first = first, None
            if raw is None:
                try:
                    raw = self._data.read(run.start, run.end - run.start, among=among)
                except Exception:  # noqa: BLE001, S112 -- raised to the reader of the file concerned
                    continue
            view = memoryview(raw)
            for shared in run.blocks:
                stored = shared.stored
                at = stored.position - run.start
                with suppress(SquashfsError):
                    shared.content = self._data.decode(stored, view[at : at + stored.size])
                    if keeps and stored.due == ANY_SIZE:
                        self._data.keep(stored, shared.content)


def _waited_for(flight: _Flight[P]) -> Batch[P]:
    flight.work.result()
    return flight.batch


def _groups(batches: Iterable[Batch[P]]) -> Iterator[deque[tuple[Batch[P], list[Run]]]]:
    """Yield batches with what to read for them, those together whose first runs adjoin."""
    group: deque[tuple[Batch[P], list[Run]]] = deque()
    end = 0
    for batch in batches:
        runs = _behind(end, batch.runs(_DISTANT_GAP_BYTES))
        if end and runs and not end <= runs[0].start <= end + _DISTANT_GAP_BYTES:
            yield group
            group = deque()
        group.append((batch, runs))
        if runs:
            end = runs[0].end
    if group:
        yield group


def _behind(end: int, runs: list[Run]) -> list[Run]:
    """Return the runs, with what lies before `end` split off the first, as the last.

    A fragment block in the midst of what the batch before has read would end the sequence else.
    """
    if not runs or not runs[0].start < end < runs[0].end:
        return runs
    first, *others = runs
    before = [shared for shared in first.blocks if shared.stored.position < end]
    rest = first.blocks[len(before) :]
    if not rest:
        return runs
    stop = max(shared.stored.position + shared.stored.size for shared in before)
    return [
        Run(rest[0].stored.position, first.end, rest),
        *others,
        Run(first.start, stop, before),
    ]
