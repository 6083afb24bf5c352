"""Reading ahead of one reader: what it will want is fetched before it asks, and held for it.

A reader that goes on and on is served from a window that grows as it reads. The window, the
requests under way and what they brought belong to the reader, and go with it.
"""

from __future__ import annotations

import threading
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from s3archivefs import Flight
    from s3archivefs_lambda.cache.device import CachedDevice

    Chunk: TypeAlias = bytes | memoryview
    StoreChunks: TypeAlias = Callable[[Mapping[int, Chunk], int], None]

__all__ = ["ReadAhead", "Reading"]

_ANNOUNCED_BYTES = 32 << 20
"""The window from the start, where it was said what will be read."""
_WINDOW_MAX_BYTES = 48 << 20
"""Twelve requests of 4 MiB in parallel, of which each takes some 75 ms (20 until it is answered,
the rest at 80 MB/s). Without end, as mountpoint-s3 has it (2 GiB), takes memory that a function has
not.
"""
_STEP_MIN_BYTES, _STEP_MAX_BYTES = 128 << 10, 4 << 20
"""What is worth a request in any case; half the window is, too."""
_LONG_BYTES = 1 << 20
"""From which on a range is taken for a part of a download of the whole: those of the AWS CLI and
boto3 are of 8 MiB.
"""


class Reading(NamedTuple):
    """How one reader's chunks are got."""

    store: StoreChunks
    """Keeps on disk what is fetched, given how many doubts there were when that began."""
    has_company: bool = True
    """Whether others are fetched along, as the plan has it."""


class ReadAhead:
    """Reads a device up to byte `stop` for one reader, which reads in one thread; another may close
    it.
    """

    def __init__(self, device: CachedDevice, stop: int) -> None:
        self._device = device
        self._background = device.background
        self._streams = device.background.streams
        self._is_long = True  # what is being read in sequence
        self._chunk_size = device.chunk_size
        self._end = self._stop = stop  # nothing behind it will be read, as far as is known
        self._announced = 0  # up to it, that is known
        self._begun = 0  # where the sequence of reads began
        self._next = -1  # where a read that goes on with it begins
        self._reached = 0  # the first chunk that has not been asked for
        self._is_first = True  # the next read is the first of its sequence
        self._held: dict[int, Flight[Chunk]] = {}
        self._stored_bytes = 0
        self._closed = False
        self._lock = threading.RLock()  # as `Background` has
        renew_after_fork(self, ReadAhead._renew)

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._device.size

    def will_read(self, offset: int, length: int) -> None:
        """Say that these bytes will be read next, all of them in order, and none behind them."""
        with self._lock:
            self._begin(offset, _ANNOUNCED_BYTES)
            self._stop = self._announced = min(offset + length, self._end)
            self._is_long = length >= _LONG_BYTES

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, as the device's."""
        wanted = self._device.indexes(offset, offset + length)
        with self._lock:
            if any(index in self._held and self._held[index].has_failed for index in wanted):
                self._forget_failed()
            # What is cached decoded is skipped.
            furthest = max(self._next, self._reached * self._chunk_size, self._announced)
            is_sequence = 0 <= self._next <= offset <= furthest
            if is_sequence:
                self._fetch_ahead(offset, offset + length)
            else:
                self._begin(offset, 0)
            is_first, self._is_first = self._is_first, False
            self._next = offset + length
        store: StoreChunks = self._store_soon if is_sequence else self._device.store_soon
        # Only the first may go on with what was read of other files.
        data = self._device.read(offset, length, Reading(store, is_first))
        with self._lock:
            read = self._next // self._chunk_size  # the chunks before it; they are held in order
            self._let_go(list(takewhile(lambda index: index < read, self._held)))
        return data

    def close(self) -> None:
        """Let go of what was fetched, and end what is under way."""
        with self._lock:
            self._closed = True
            self._let_go(list(self._held), used=False)
            self._streams.end(self._stored_bytes)
            self._stored_bytes = 0

    def _forget_failed(self) -> None:
        """Have what failed while nobody waited for it fetched once more: that was some time ago."""
        failed = [index for index, flight in self._held.items() if flight.has_failed]
        self._reached = min(self._reached, *failed)
        self._let_go(failed)

    def _begin(self, offset: int, window: int) -> None:
        """Begin another sequence of reads."""
        self._let_go(list(self._held), used=False)
        self._begun, self._next, self._reached = offset - window, offset, 0
        self._stop, self._announced = self._end, 0
        self._is_first = self._is_long = True

    def _fetch_ahead(self, offset: int, stop: int) -> None:
        """Have the read of [offset, stop), and what will follow it, fetched."""
        chunk_size = self._chunk_size
        own = len(self._held) * chunk_size
        allowance = self._background.allowance(own)
        window = min(stop - self._begun, _WINDOW_MAX_BYTES, allowance)
        # What this read wants it fetches itself, unless that is worth several requests.
        begin = offset if self._device.plan.is_long(stop - offset) else stop + chunk_size - 1
        first = max(self._reached, begin // chunk_size)
        behind = min(stop + window, self._stop)
        last = min(-(-behind // chunk_size), first + (allowance - own) // chunk_size)
        step = max(min(window // 2, _STEP_MAX_BYTES), _STEP_MIN_BYTES)
        is_little = (last - first) * chunk_size < step
        if first >= last or (first * chunk_size >= stop and is_little and behind < self._stop):
            return
        for run in self._device.plan.parts(range(first, last), allowance // 2):
            if self._closed or not self._fetch(run):
                return
            self._reached = run.stop

    def _fetch(self, run: range) -> bool:
        """Have chunks fetched that are neither in memory nor on their way, if there is room."""
        flights = self._device.reserve_ahead(run)
        if not flights:
            return True
        size = len(flights) * self._chunk_size
        if self._background.reserve(size):
            stores = self._may_store(size)
            if self._background.submit(self._device.get_ahead, flights, stores):
                is_behind = not self._held or next(reversed(self._held)) < run.start
                held = self._held | flights
                self._held = held if is_behind else dict(sorted(held.items()))
                return True
            self._background.free(size)
        self._device.flights.release(flights)
        return False

    def _store_soon(self, chunks: Mapping[int, Chunk], doubts: int) -> None:
        """Keep chunks on disk that are read in sequence, where readers may have more stored."""
        size = sum(map(len, chunks.values()))
        with self._lock:
            if self._closed or not self._may_store(size):
                return
        self._device.store_soon(chunks, doubts)

    def _may_store(self, size: int) -> bool:
        # Whoever reads the same file has the same end. What is read here and there counts for
        # nobody: that is what the store is for.
        stream = (self._device.archive_id, self._end) if self._is_long else None
        may_store = self._streams.store(stream, size, self._device.stream_bytes)
        self._stored_bytes += size if may_store else 0
        return may_store

    def _let_go(self, indexes: Iterable[int], *, used: bool = True) -> None:
        """Hold chunks no longer; those that were read are kept as others are."""
        flights = {index: self._held.pop(index) for index in indexes}
        if flights:
            self._device.let_go(flights, used=used)
            self._background.free(len(flights) * self._chunk_size)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._held.clear()
        self._reached = self._stored_bytes = 0
        self._lock = threading.RLock()
