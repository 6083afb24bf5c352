"""A block device that reads another by aligned chunks, kept in memory and in a `ChunkStore`.

Blocks of an image lie at any offset, so that one often reaches into two chunks: missing chunks that
are adjacent, or nearly so, are fetched together, with one read of the device below. Threads that
want the same chunk at the same time fetch it once. What readers are known to want next, since they
said so or read on and on, is fetched ahead of them.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork
from s3archivefs_lambda import usage
from s3archivefs_lambda.chunk_doubts import Doubts
from s3archivefs_lambda.chunk_seeds import Seeds
from s3archivefs_lambda.chunk_store import ChunkStore
from s3archivefs_lambda.fetch_plan import FetchPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.chunk_memory import ChunkMemory

    Chunk: TypeAlias = bytes | memoryview
    Stream: TypeAlias = Callable[[int, int, int], Iterator[bytes]]

__all__ = ["CachedDevice", "ChunkStore"]

_LOG = logging.getLogger("s3archivefs")

# Of what is announced in one piece, the share of the store that it may take: whoever streams a file
# from end to end must not push out all else, as bcache leaves sequential reads out beyond 4 MiB.
_STREAM_SHARE = 8


class _Flight:
    """A chunk that a thread is getting; others wait for it."""

    __slots__ = ("chunk", "done", "error", "is_wanted")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.chunk: Chunk | None = None
        """None where the read failed, or was not made."""
        self.error: Exception | None = None
        """Why it failed, for those who wait as well: it has been tried as often as is worth it, and
        one after the other they would hold the last of them as many times as long.
        """
        self.is_wanted = False
        """Whether a reader waits, or has waited, for what is fetched ahead."""


class CachedDevice:
    """`device` by chunks of `chunk_size` bytes (the last one shorter), kept in `store`.

    `archive_id` must name the device's content: another version of an archive needs another.
    `memory` keeps chunks in memory as well, and is what reading ahead needs. From `metadata_start`
    on, bytes from the start, chunks are fetched some at a time.
    """

    def __init__(
        self,
        device: BlockDevice,
        store: ChunkStore,
        archive_id: str,
        chunk_size: int,
        *,
        memory: ChunkMemory | None = None,
        metadata_start: int | None = None,
    ) -> None:
        self._device = device
        self._stream: Stream | None = getattr(device, "stream", None)
        self._size = device.size
        self._store = store
        self._memory = memory
        self._chunk_size = chunk_size
        metadata_start = self._size if metadata_start is None else metadata_start
        self._plan = FetchPlan(self._size, chunk_size, metadata_start)
        # Chunk numbers mean something only together with a size: functions that share a directory
        # may have different settings.
        self._store_id = f"{archive_id}\0{self._size}\0{chunk_size}"
        self._seeds = Seeds(store, self._store_id, self._size, chunk_size)
        self._flights: dict[int, _Flight] = {}
        self._lock = threading.Lock()
        self._doubts = Doubts()
        self._doubting = threading.Lock()
        renew_after_fork(self, CachedDevice._renew)

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._size

    def seed(self, offset: int, data: bytes) -> None:
        """Take bytes already at hand: held in memory, and stored.

        Raises ValueError where they are not inside [0, size).
        """
        self.hold(offset, data)
        later = self._memory is not None and self._memory.start(0, self._store_seed, offset, data)
        if not later:
            self._store_seed(offset, data)

    def hold(self, offset: int, data: bytes) -> None:
        """The same, in memory alone."""
        self._check(offset, len(data))
        self._seeds.hold(offset, data)

    def reseed(self, offset: int) -> int:
        """Have again, from the store, what was once seeded at `offset`; returns how many bytes of
        it are held in memory.
        """
        return self._seeds.recall_edge(offset)

    @property
    def keeps_end(self) -> bool:
        """Whether the device's last byte is held or stored."""
        last = self._size - 1
        is_held = self._seeds.find(last, self._size) is not None
        return is_held or self._store.holds(self._store_id, last // self._chunk_size)

    def _store_seed(self, offset: int, data: bytes) -> int:
        self._seeds.store_edge(offset, data)
        return self._put(self._seeds.chunks(offset, data), 0)

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises ValueError for a range that is not inside [0, size), and whatever the device raises.
        """
        self._check(offset, length)
        if not length:
            return b""
        end = offset + length
        if (seeded := self._seeds.beginning(offset, end)) is not None:
            rest = length - len(seeded)
            return b"".join((seeded, self.pread(end - rest, rest))) if rest else bytes(seeded)
        first = offset // self._chunk_size
        chunks = self._chunks(self._indexes(offset, end))
        start = first * self._chunk_size
        if len(chunks) == 1:
            return bytes(chunks[0][offset - start : end - start])
        chunks[0] = memoryview(chunks[0])[offset - start :]
        chunks[-1] = memoryview(chunks[-1])[: (end - 1) % self._chunk_size + 1]
        return b"".join(chunks)

    def discard(self, offset: int, data: bytes) -> bool:
        """Forget kept copies of the chunks that `data`, read at `offset`, was in, as it does not
        decode; False where they came from the device twice, which has nothing better.
        """
        end = offset + len(data)
        differs = False
        for index in self._indexes(offset, end):
            start, stop = self._extent(index)
            begin = max(start, offset)
            differs |= self._doubt(index, begin, data[begin - offset : min(stop, end) - offset])
        return differs

    def _doubt(self, index: int, begin: int, part: bytes) -> bool:
        """Forget kept copies of a chunk that has `part` at `begin`; return whether it will then be
        another, as far as that is known.
        """
        start, stop = self._extent(index)
        with self._doubting:
            flight = self._flights.get(index)
            if flight is not None and not flight.done.is_set():
                return True  # fetched anew just now, for another reader
            until = begin + len(part)
            chunks = [flight.chunk if flight is not None else None]
            chunks += [self._seeds.find(start, stop), self._kept(index, stop - start)]
            wrong = [
                chunk
                for chunk in chunks
                if chunk is not None and chunk[begin - start : until - start] == part
            ]
            seeded = self._seeds.find(begin, until)
            if not wrong and (any(chunks) if seeded is None else seeded != part):
                return True  # fetched anew already
            is_new = (
                self._doubts.add(index, wrong[0])
                if wrong
                else self._doubts.add((index, begin), part)
            )
            if not is_new:
                return False
            _LOG.warning("chunk %d of %s does not decode; fetching it anew", index, self._store_id)
            if flight is not None:
                self._release({index: flight})
            self._seeds.drop(start, stop)
            if self._memory is not None:
                self._memory.drop(self._store_id, index)
            self._store.drop(self._store_id, index)
            return True

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> int:
        """Begin to fetch ranges, (offset, length) each, that will be read soon; returns how many of
        the bytes, from the first on, it will not do to be told of again: there was memory for them.

        A hint: a fault is for the read to meet.
        """
        taken = 0
        for offset, length in ranges:
            start, end = max(0, offset), min(offset + length, self._size)
            reached = self._prefetch(start, end) if start < end else end
            if reached < end:
                return taken + max(0, reached - start)
            taken += length
        return taken

    def _prefetch(self, start: int, end: int) -> int:
        """Begin to fetch the bytes [start, end); returns where memory ended."""
        if self._memory is None:
            return end
        # Two have room, so that one is on its way while the other is read.
        most = self._memory.ahead_max_bytes // 2
        for run in self._plan.parts(self._indexes(start, end), most):
            stream = self._plan.stream_of(run)
            announced = (run[-1] + 1 - stream.begin) * self._chunk_size
            keeps = announced <= self._store.max_bytes // _STREAM_SHARE
            flights = self._claim_ahead(run)
            reader = self._store_id, stream
            arguments = flights, reader, keeps
            size = len(flights) * self._chunk_size
            if flights and not self._memory.start(size, self._get_ahead, *arguments, stream=reader):
                self._release(flights)
                return min(flights) * self._chunk_size
            self._plan.follow(stream, run)
        return end

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._flights.clear()
        self._lock = threading.Lock()
        self._doubting = threading.Lock()

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise ValueError(f"bytes {offset} + {length} are not within the device's {self._size}")

    def _indexes(self, start: int, end: int) -> range:
        """The chunks that the bytes [start, end) lie in."""
        return range(start // self._chunk_size, (end - 1) // self._chunk_size + 1)

    def _extent(self, index: int) -> tuple[int, int]:
        """Where a chunk begins and ends, in bytes."""
        start = index * self._chunk_size
        return start, min(start + self._chunk_size, self._size)

    # ---- Flights ---------------------------------------------------------------------------------

    def _chunks(self, indexes: range) -> list[Chunk]:
        chunks: dict[int, Chunk] = {}
        while len(chunks) < len(indexes):
            mine, others = self._claim(index for index in indexes if index not in chunks)
            # What has come already, and is about to be kept, is found as well.
            usage.add("cache_hits", sum(flight.done.is_set() for flight in others.values()))
            try:
                self._get(mine)
            finally:
                self._release(mine)
            for index, flight in (mine | others).items():
                flight.done.wait()
                if flight.chunk is not None:
                    chunks[index] = flight.chunk
                elif flight.error is not None:
                    raise flight.error
        return [chunks[index] for index in indexes]

    def _claim(self, indexes: Iterable[int]) -> tuple[dict[int, _Flight], dict[int, _Flight]]:
        """The flights of the chunks this thread has to get, and of those others are getting."""
        mine: dict[int, _Flight] = {}
        others: dict[int, _Flight] = {}
        with self._lock:
            for index in indexes:
                if flight := self._flights.get(index):
                    others[index] = flight
                    flight.is_wanted = True
                else:
                    mine[index] = self._flights[index] = _Flight()
        return mine, others

    def _claim_ahead(self, indexes: Iterable[int]) -> dict[int, _Flight]:
        """Flights of those chunks that are neither in memory nor on their way."""
        absent = [
            index
            for index in indexes
            if self._seeds.find(*self._extent(index)) is None
            and (self._memory is None or not self._memory.holds(self._store_id, index))
        ]
        with self._lock:
            claimed = {index: _Flight() for index in absent if index not in self._flights}
            self._flights |= claimed
        return claimed

    def _release(self, flights: dict[int, _Flight], stream: Hashable = None) -> int:
        """End flights; returns how many bytes of them the reader of `stream` is expected to read
        later, as nobody waited for them.
        """
        expected = 0
        with self._lock:
            for index, flight in flights.items():
                if self._flights.get(index) is flight:
                    del self._flights[index]
                if stream is not None and self._memory is not None and not flight.is_wanted:
                    expected += self._memory.expect(self._store_id, index, stream)
        for flight in flights.values():
            flight.done.set()
        return expected

    # ---- Fetching --------------------------------------------------------------------------------

    def _get(self, flights: dict[int, _Flight]) -> None:
        """Get chunks, and where some must be fetched, those that go with them."""
        missing = self._land_kept(flights)
        usage.add("cache_hits", len(flights) - len(missing))
        if not missing:
            return
        company = self._claim_ahead(self._company(missing))
        try:
            self._fetch(missing | company, missing, store=self._put_soon)
        except Exception:
            if any(flight.chunk is None for flight in missing.values()):
                raise  # else it befell their company alone
        finally:
            self._release(company)

    def _get_ahead(self, flights: dict[int, _Flight], stream: Hashable, keeps: bool) -> int:  # noqa: FBT001 -- passed on by the pool
        """Get chunks for readers to come, who will meet the fault where there is one."""
        expected = 0
        try:
            with suppress(Exception):  # whatever a device raises
                missing = self._land_kept(flights)
                self._fetch(missing, missing, store=self._put if keeps else None)
        finally:
            expected = self._release(flights, stream)
        return expected

    def _land_kept(self, flights: dict[int, _Flight]) -> dict[int, _Flight]:
        """Land the chunks that are in memory or stored; return the flights of the others."""
        missing = {}
        for index, flight in flights.items():
            start, end = self._extent(index)
            chunk = self._seeds.find(start, end) or self._kept(index, end - start)
            if chunk is None:
                missing[index] = flight
            else:
                flight.chunk = chunk
                flight.done.set()
        return missing

    def _kept(self, index: int, size: int) -> Chunk | None:
        if self._memory is None:
            chunk = self._store.get(self._store_id, index)
        elif (chunk := self._memory.get(self._store_id, index)) is None:
            chunk = self._store.get(self._store_id, index)
            if chunk is not None:
                self._memory.put(self._store_id, index, chunk)
        return chunk if chunk is not None and len(chunk) == size else None

    def _fetch(
        self,
        flights: dict[int, _Flight],
        needed: Container[int],
        *,
        store: Callable[[dict[int, bytes], int], object] | None,
    ) -> None:
        """Fetch chunks with as few reads as are worth it, and keep them in memory and by `store`;
        none for those alone that are not needed.
        """
        count = self._doubts.count
        for run in self._plan.reads(flights):
            if not any(index in needed for index in run):
                continue
            wanted = set(run)
            fetched: dict[int, bytes] = {}
            try:
                for index, chunk in enumerate(self._read(run[0], run[-1]), run[0]):
                    if index in wanted:
                        usage.add("cache_misses")  # before its reader may end the request
                        fetched[index] = flights[index].chunk = chunk
                        flights[index].done.set()
            except Exception as error:
                for index in wanted.difference(fetched):
                    flights[index].error = error
                raise
            finally:
                # Before they are released: a thread that comes in between finds the flight.
                with self._doubting:
                    fetched = {i: c for i, c in fetched.items() if not self._doubts.since(i, count)}
                    self._keep_in_memory(fetched)
                if store is not None:
                    store(fetched, count)

    def _keep_in_memory(self, chunks: dict[int, bytes]) -> None:
        if self._memory is not None:
            for index, chunk in chunks.items():
                self._memory.put(self._store_id, index, chunk)

    def _put_soon(self, chunks: dict[int, bytes], count: int) -> None:
        """Put chunks on disk, and let no reader wait for it, where they are in memory meanwhile."""
        size = sum(map(len, chunks.values()))
        if self._memory is None or not self._memory.start(size, self._put, chunks, count):
            self._put(chunks, count)

    def _put(self, chunks: Mapping[int, Chunk], count: int) -> int:
        """Put chunks on disk that were fetched when there had been so many doubts."""
        for index, chunk in chunks.items():
            self._store.put(self._store_id, index, chunk)
            if self._doubts.since(index, count):  # it may be that copy
                self._store.drop(self._store_id, index)
        return 0

    def _read(self, first: int, last: int) -> Iterator[bytes]:
        """Chunks from the first to the last, with one read: as they arrive, where the device has a
        `stream(offset, length, piece_bytes)`.
        """
        start, _ = self._extent(first)
        _, end = self._extent(last)
        if self._stream is not None:
            yield from self._stream(start, end - start, self._chunk_size)
            return
        data = self._device.pread(start, end - start)
        if len(data) != end - start:
            raise OSError(f"the device returned {len(data)} bytes of {end - start} at {start}")
        for place in range(0, end - start, self._chunk_size):
            yield data[place : place + self._chunk_size]

    def _company(self, missing: Iterable[int]) -> Iterable[int]:
        """Chunks to fetch along with missing ones, where there is memory for them."""
        planned = () if self._memory is None else self._plan.company(missing)
        return (index for index in planned if not self._store.holds(self._store_id, index))
