"""Fetches chunks before one reader asks for them, and holds them for it.

A reader that reads on in sequence is served from a window that grows as it reads. The window, the
requests in flight and what they brought belong to the reader, and end with it.
"""

from __future__ import annotations

import weakref
from itertools import takewhile
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda.cache.buffers import Buffers

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from s3archivefs_lambda.cache.cached_chunks import Chunk
    from s3archivefs_lambda.cache.chunk_reader import ChunkReader, Flights

__all__ = ["ReadAhead"]

_ANNOUNCED_BYTES = 40 << 20
"""Bytes of the first window of a reader that announced what it will read."""
_WINDOW_MAX_BYTES = 48 << 20
"""Bytes of the window at most: twelve requests of 4 MiB in parallel.

Each takes some 75 ms: 20 to the first byte, then 80 MB/s. mountpoint-s3 has a window of 2 GiB, for
which a function has not the memory.
"""
_STEP_MIN_BYTES, _STEP_MAX_BYTES = 128 << 10, 4 << 20
"""Bytes that a request ahead fetches at least: half the window, within these bounds."""
_BEHIND_BYTES = 4 << 20
"""Bytes behind a reader that reads once, which it holds still, at most.

Files that begin there may end in a fragment block amid what was read just before.
"""
_BEHIND_SHARE = 16
"""They are at most one of so many parts of the memory for chunks."""
_LONG_BYTES = 1 << 20
"""Bytes of a range that counts as a part of a download at least.

The AWS CLI and boto3 download in ranges of 8 MiB.
"""


class _Holding:
    """What one reader holds: chunks fetched ahead, and a part of the store's quota."""

    def __init__(self, chunks: ChunkReader) -> None:
        self.flights: Flights = {}
        """The chunks, in their order."""
        self.stored_bytes = 0
        """Bytes that the reader stored."""
        self.buffers = Buffers(chunks.cached.chunk_size)
        """The memory that chunks arrive in."""
        self._chunks = chunks

    def add(self, flights: Flights) -> None:
        """Hold chunks for which memory is reserved."""
        is_sorted = not self.flights or next(reversed(self.flights)) < next(iter(flights))
        held = self.flights | flights
        self.flights = held if is_sorted else dict(sorted(held.items()))

    def release(self, indexes: Iterable[int], *, used: bool = True, is_kept: bool = True) -> None:
        """Hold chunks no longer; the cache keeps them, before others if they were `used`."""
        flights = {index: self.flights.pop(index) for index in indexes}
        if flights:
            self._chunks.release_ahead(flights, used=used, is_kept=is_kept)
            self._chunks.background.free(len(flights) * self._chunks.cached.chunk_size)

    def end(self) -> None:
        """Release all."""
        self.release(list(self.flights), used=False)
        stored, self.stored_bytes = self.stored_bytes, 0
        self._chunks.background.store_quota.release(stored)


class ReadAhead:
    """A device as one reader sees it, which reads up to byte `stop`.

    The reader reads in one thread; another may close it. What it reads in sequence is stored as far
    as the `quota_bytes` of `file` allow: see `StoreQuota`.
    """

    def __init__(self, chunks: ChunkReader, stop: int, *, file: Hashable, quota_bytes: int) -> None:
        self._chunks = chunks
        self._chunk_size = chunks.cached.chunk_size
        self._background = chunks.background
        self._store_quota = chunks.background.store_quota
        self._file = file
        self._quota_bytes = quota_bytes
        self._behind_bytes = min(_BEHIND_BYTES, chunks.cached.memory_bytes // _BEHIND_SHARE)
        self._end = stop
        # Of the sequence of reads in progress:
        self._begun = 0  # where its window begins
        self._first = 0  # the byte that it began with
        self._next = -1  # where a read that continues it begins
        self._stop = stop  # nothing behind it will be read, as far as is known
        self._announced = 0  # up to here, all will be read
        self._reached = 0  # the first chunk that is not fetched ahead
        self._is_first = True  # no read was made yet
        self._is_long = True  # a download of the whole, or a part of one
        self._is_once = False  # nobody is known to read these bytes again
        self._holding = _Holding(chunks)
        weakref.finalize(self, self._holding.end).atexit = False  # one that is dropped unclosed
        self._closed = False
        self._lock = Lock()  # reentrant for the reason that `Background` gives
        renew_after_fork(self, ReadAhead._renew)

    @property
    def held_bytes(self) -> int:
        """Bytes of the chunks fetched ahead, or in flight, that were not read yet."""
        return len(self._holding.flights) * self._chunk_size

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._chunks.cached.size

    def will_read(self, offset: int, length: int) -> None:
        """Announce that these bytes are read next, in order, and none behind them."""
        with self._lock:
            self._begin(offset, _ANNOUNCED_BYTES)
            self._stop = self._announced = min(offset + length, self._end)
            self._is_long = length >= _LONG_BYTES

    def will_read_once(self, offset: int, length: int) -> None:
        """Announce likewise, and begin to fetch behind the first chunk.

        What is read is held for a while, and not kept in memory.
        """
        with self._lock:
            self.will_read(offset, length)
            self._is_once = True
            self._fetch_ahead(offset, offset)

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`: see `pread_pieces`."""
        return b"".join(self.pread_pieces(offset, length))

    def pread_pieces(self, offset: int, length: int) -> list[Chunk]:
        """Return `length` bytes, in pieces of chunks, and fetch what will be read next.

        Raises ValueError for a range that is not inside the device, and whatever the device raises.
        """
        stop = offset + length
        wanted = self._chunks.cached.indexes(offset, stop)
        with self._lock:
            held = self._holding.flights
            if any(index in held and held[index].has_failed for index in wanted):
                self._forget_failed()
            # Blocks cached decoded are not read: a jump within the window is still sequential.
            furthest = max(self._next, self._reached * self._chunk_size, self._announced)
            is_sequence = 0 <= self._next <= offset <= furthest
            if is_sequence:
                self._fetch_ahead(offset, stop)
            else:
                self._begin(offset, 0)
            is_first, self._is_first = self._is_first, False
            self._next = stop
        pieces = self._chunks.read(
            offset,
            length,
            store=self._store_soon if is_sequence else None,
            held=self._holding.flights,
            prefetch=is_first,  # only a first read continues a sequence of reads of other files
        )
        with self._lock:
            is_once = self._is_once or self._is_scan
            # The chunks before it.
            read = (self._next - is_once * self._behind_bytes) // self._chunk_size
            behind = list(takewhile(lambda i: i < read, self._holding.flights))
            self._holding.release(behind, is_kept=not is_once)
            # Those free are at most as many as are still to be filled, and an eighth.
            self._holding.buffers.limit(len(self._holding.flights) * 9 // 8)
        return pieces

    @property
    def _is_scan(self) -> bool:
        """Whether the reader is amid more than the memory for chunks has room for.

        In place of all that others read, it would have only the last of that when the first is
        read again.
        """
        length = max(self._next, self._announced) - self._first
        return self._next < self._stop and length > self._chunks.cached.memory_bytes

    def close(self) -> None:
        """Release what was fetched, and end the requests in flight, as dropping the handle does."""
        with self._lock:
            self._closed = True
            if self._next % self._chunk_size:  # who reads on from here needs the rest of the chunk
                self._holding.release({self._next // self._chunk_size} & {*self._holding.flights})
            self._holding.end()

    def _begin(self, offset: int, window: int) -> None:
        """Begin another sequence of reads, with a window of so many bytes."""
        self._holding.release(list(self._holding.flights), used=False)
        self._begun, self._next, self._reached = offset - window, offset, 0
        self._first = offset
        self._stop, self._announced = self._end, 0
        self._is_first = self._is_long = True
        self._is_once = False

    # ---- Fetching --------------------------------------------------------------------------------

    def _fetch_ahead(self, offset: int, stop: int) -> None:
        """Begin to fetch what follows the read [offset, stop), and a long read itself."""
        chunk_size = self._chunk_size
        held = self.held_bytes
        allowance = self._background.allowance(held)
        window = min(stop - self._begun, _WINDOW_MAX_BYTES, allowance)
        # A long read is worth several requests in parallel; a short one fetches its own chunks.
        start = offset if self._chunks.plan.is_long(stop - offset) else stop + chunk_size - 1
        end = min(stop + window, self._stop)
        first = max(self._reached, start // chunk_size)
        last = min(-(-end // chunk_size), first + (allowance - held) // chunk_size)
        least = max(min(window // 2, _STEP_MAX_BYTES), _STEP_MIN_BYTES)
        is_little = (last - first) * chunk_size < least and end < self._stop
        if first >= last or (is_little and first * chunk_size >= stop):
            return
        # Whole steps: a request is short then, and more of them share the window.
        beyond = (last - first) % max(1, _STEP_MAX_BYTES // chunk_size)
        if last * chunk_size < self._stop and max(first, stop // chunk_size) < last - beyond:
            last -= beyond
        for run in self._chunks.plan.parts(range(first, last), allowance // 2):
            if self._closed or not self._fetch(run):
                return
            self._reached = run.stop

    def _fetch(self, run: range) -> bool:
        """Begin to fetch a run of chunks; return False for want of memory or threads."""
        flights = self._chunks.reserve_ahead(run)
        if not flights:
            return True
        size = len(flights) * self._chunk_size
        if self._background.reserve(size):
            buffers, stores = self._holding.buffers, self._may_store(size)
            if self._background.submit(self._chunks.fetch_ahead, flights, buffers, stores):
                self._holding.add(flights)
                return True
            self._background.free(size)
        self._chunks.cancel_ahead(flights)
        return False

    def _forget_failed(self) -> None:
        """Have chunks fetched again that failed ahead of the reader, maybe long ago."""
        held = self._holding.flights
        failed = [index for index, flight in held.items() if flight.has_failed]
        self._reached = min([self._reached, *failed])
        self._holding.release(failed)

    # ---- Storing ---------------------------------------------------------------------------------

    def _store_soon(self, chunks: Mapping[int, Chunk], epoch: int) -> None:
        """Store chunks that were read in sequence, if the quota allows."""
        with self._lock:
            if self._closed or not self._may_store(sum(map(len, chunks.values()))):
                return
        self._chunks.cached.store_soon(chunks, epoch)

    def _may_store(self, size: int) -> bool:
        """Return whether `size` bytes more may be stored, and count them."""
        # Short ranges are exempt from the file's quota: the store is there to keep them.
        file = self._file if self._is_long else None
        may_store = self._store_quota.reserve(file, size, self._quota_bytes)
        self._holding.stored_bytes += size if may_store else 0
        return may_store

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._holding.flights.clear()
        self._reached = self._holding.stored_bytes = 0
        self._lock = Lock()
