"""A block device that reads another by aligned chunks, kept in memory and in a `ChunkStore`.

Blocks of an image lie at any offset, so that one often reaches into two chunks: missing chunks that
are adjacent, or nearly so, are fetched together, with one read of the device below. Threads that
want the same chunk at the same time fetch it once. What follows a reader's reads is fetched ahead
of it by its `ReadAhead`.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from s3archivefs import SingleFlight
from s3archivefs_lambda import accounting
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.kept import KeptChunks
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.cache.plan import FetchPlan
from s3archivefs_lambda.cache.readahead import ReadAhead, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator
    from typing import TypeAlias

    from s3archivefs import BlockDevice, Flight
    from s3archivefs_lambda.cache.readahead import StoreChunks

    Chunk: TypeAlias = bytes | memoryview
    ChunkFlights: TypeAlias = dict[int, Flight[Chunk]]
    Stream: TypeAlias = Callable[[int, int, int], Iterator[bytes]]

__all__ = ["CachedDevice", "ChunkStore"]

# Of what is read in sequence, the share of the store that readers may take: see `Streams`. bcache
# leaves sequential reads out beyond 4 MiB.
_STREAM_SHARE = 8


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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        memory = ChunkMemory(0) if memory is None else memory
        self._device = device
        self._stream: Stream | None = getattr(device, "stream", None)
        self._size = device.size
        self.chunk_size = chunk_size
        metadata_start = self._size if metadata_start is None else metadata_start
        self.plan = FetchPlan(self._size, chunk_size, metadata_start)
        """Which chunks are fetched together."""
        self.background = memory.background
        """What fetches ahead of readers."""
        self.archive_id = archive_id
        """What it is given."""
        self.stream_bytes = store.max_bytes // _STREAM_SHARE
        """How much readers may have stored of what they read in sequence."""
        self._kept = KeptChunks(
            archive_id, self._size, chunk_size, memory=memory, store=store, clock=clock
        )
        self.store_soon: StoreChunks = self._kept.store_soon
        """Keeps what is fetched on disk: see `Reading`."""
        self.flights: SingleFlight[int, Chunk] = SingleFlight()
        """The chunks on their way, and those that readers hold."""

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._size

    def seed(self, offset: int, data: bytes) -> None:
        """Take bytes already at hand: held in memory, and stored.

        Raises ValueError where they are not inside [0, size).
        """
        self.hold(offset, data)
        if not self.background.start(0, self._kept.store_seed, offset, data):
            self._kept.store_seed(offset, data)

    def hold(self, offset: int, data: bytes) -> None:
        """The same, in memory alone."""
        self._check(offset, len(data))
        self._kept.seeds.hold(offset, data)

    def reseed(self, offset: int) -> int:
        """Have again, from the store, what was once seeded at `offset`; returns how many bytes of
        it are held in memory.
        """
        return self._kept.seeds.recall_edge(offset)

    @property
    def keeps_end(self) -> bool:
        """Whether the device's last byte is held or stored."""
        last = self._size - 1
        is_held = self._kept.seeds.find(last, self._size) is not None
        return is_held or self._kept.is_stored(last // self.chunk_size)

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises ValueError for a range that is not inside [0, size), and whatever the device raises.
        """
        return self.read(offset, length, Reading(self.store_soon))

    def read(self, offset: int, length: int, reading: Reading) -> bytes:
        """The same, in one reader's way."""
        self._check(offset, length)
        if not length:
            return b""
        end = offset + length
        if (seeded := self._kept.seeds.beginning(offset, end)) is not None:
            rest = length - len(seeded)
            if not rest:
                return bytes(seeded)
            return b"".join((seeded, self.read(end - rest, rest, reading)))
        first = offset // self.chunk_size
        chunks = self._chunks(self.indexes(offset, end), reading)
        start = first * self.chunk_size
        if len(chunks) == 1:
            return bytes(chunks[0][offset - start : end - start])
        chunks[0] = memoryview(chunks[0])[offset - start :]
        chunks[-1] = memoryview(chunks[-1])[: (end - 1) % self.chunk_size + 1]
        return b"".join(chunks)

    def readahead(self, offset: int, length: int) -> ReadAhead:
        """What fetches ahead of one reader of a range inside [0, size)."""
        self._check(offset, length)
        return ReadAhead(self, offset + length)

    def discard(self, offset: int, data: bytes) -> bool:
        """Forget kept copies of the chunks that `data`, read at `offset`, was in, as it does not
        decode; False where they came from the device twice, which has nothing better for now.
        """
        end = offset + len(data)
        may_differ = False
        for index in self.indexes(offset, end):
            start, stop = self._kept.extent(index)
            begin = max(start, offset)
            part = data[begin - offset : min(stop, end) - offset]
            flight = self.flights.get(index)
            if flight is not None and not flight.is_over:
                may_differ = True  # fetched anew just now, for another reader
                continue
            landed = None if flight is None else flight.value
            was_forgotten = self._kept.doubt(index, begin, part, landed)
            if was_forgotten and flight is not None:
                self.flights.release({index: flight})
            may_differ |= was_forgotten is not False
        return may_differ

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise ValueError(f"bytes {offset} + {length} are not within the device's {self._size}")

    def indexes(self, start: int, end: int) -> range:
        """The chunks that the bytes [start, end) lie in."""
        return range(start // self.chunk_size, (end - 1) // self.chunk_size + 1)

    # ---- Chunks for a reader ---------------------------------------------------------------------

    def _chunks(self, indexes: range, reading: Reading) -> list[Chunk]:
        chunks: dict[int, Chunk] = {}
        while len(chunks) < len(indexes):
            mine, others = self.flights.claim(index for index in indexes if index not in chunks)
            if self.background.is_busy:  # as it is when another store hangs
                mine |= self.flights.begin(others)
                others = {index: each for index, each in others.items() if index not in mine}
            # What has come already, and is about to be kept, is found as well.
            accounting.add("cache_hits", sum(flight.is_over for flight in others.values()))
            try:
                self._get(mine, reading)
            finally:
                self.flights.release(mine)
            for index, flight in (mine | others).items():
                flight.wait()
                if not flight.was_interrupted:
                    chunks[index] = flight.result()
        return [chunks[index] for index in indexes]

    def _get(self, flights: ChunkFlights, reading: Reading) -> None:
        """Get chunks, and where some must be fetched, those that go with them."""
        missing = self._land_kept(flights)
        accounting.add("cache_hits", len(flights) - len(missing))
        if not missing:
            return
        company = self._company(missing) if reading.has_company else {}
        try:
            self._fetch(missing | company, missing, store=reading.store)
        except Exception:
            if any(flight.value is None for flight in missing.values()):
                raise  # else it befell their company alone
        finally:
            self.flights.release(company)

    def _company(self, missing: Iterable[int]) -> ChunkFlights:
        """Flights of chunks to fetch along with missing ones, where there is memory for them; of
        none behind one that is there or on its way, which would be fetched again.
        """
        company: list[int] = []
        last = max(missing)
        for index in self.plan.company(missing) if self.background.allowance(0) else ():
            if not (
                self.flights.get(index)
                or self._kept.is_in_memory(index)
                or self._kept.is_stored(index)
            ):
                company.append(index)
            elif index > last:
                break
        return self.flights.begin(self.flights.reserve(company))

    # ---- Chunks ahead of a reader ----------------------------------------------------------------

    def reserve_ahead(self, indexes: Iterable[int]) -> ChunkFlights:
        """Flights of those chunks that are neither in memory nor on their way, held for a reader:
        to be got by `get_ahead`, or released.
        """
        return self.flights.reserve(
            [index for index in indexes if not self._kept.is_in_memory(index)]
        )

    def get_ahead(self, flights: ChunkFlights, stores: bool) -> None:  # noqa: FBT001 -- passed on by the pool
        """Get chunks for a reader to come, who will meet the fault where there is one."""
        mine = self.flights.begin(flights)
        try:
            with suppress(Exception):  # whatever a device raises
                if self._is_any_wanted(mine):
                    missing = self._land_kept(mine)
                    store = self._kept.store if stores else None
                    self._fetch(missing, missing, store=store, ahead=True)
        finally:
            # A chunk that is held stays to be found.
            self.flights.release({i: each for i, each in mine.items() if each.value is None})

    def let_go(self, flights: ChunkFlights, *, used: bool) -> None:
        """Hold chunks for a reader no longer; they stay in memory as any other, if `used`, else
        where there is room.
        """
        doubts = self._kept.doubts
        chunks = {
            index: flight.value
            for index, flight in flights.items()
            # Else it did not decode.
            if flight.value is not None and self.flights.get(index) is flight
        }
        self._kept.remember(chunks, doubts, used=used)
        self.flights.forget(flights)

    def _is_any_wanted(self, flights: ChunkFlights) -> bool:
        # From the last one on: a reader comes to that last.
        return any(self.flights.is_wanted(*item) for item in reversed(flights.items()))

    # ---- Fetching --------------------------------------------------------------------------------

    def _land_kept(self, flights: ChunkFlights) -> ChunkFlights:
        """Land the chunks that are in memory or stored; return the flights of the others."""
        missing = {}
        for index, flight in flights.items():
            chunk = self._kept.get(index)
            if chunk is None:
                missing[index] = flight
            else:
                flight.land(chunk)
        return missing

    def _fetch(
        self,
        flights: ChunkFlights,
        needed: Container[int],
        *,
        store: StoreChunks | None,
        ahead: bool = False,
    ) -> None:
        """Fetch chunks with as few reads as are worth it; none for those alone that are not needed.
        Keep them by `store`, and in memory, unless they are held there `ahead` of their reader.
        """
        doubts = self._kept.doubts
        for run in self.plan.reads(flights):
            if not any(index in needed for index in run):
                continue
            wanted = {index: flights[index] for index in run}
            fetched: dict[int, Chunk] = {}
            try:
                with closing(self._read(run[0], run[-1])) as chunks:
                    for index, chunk in enumerate(chunks, run[0]):
                        if index in wanted:
                            accounting.add("cache_misses")  # before its reader may end the request
                            fetched[index] = chunk
                            wanted[index].land(chunk)
                        if not self._is_any_wanted(wanted):
                            break  # their reader is gone
            except Exception as error:
                self.flights.release({i: wanted[i] for i in run if i not in fetched}, error)
                raise
            finally:
                # Before they are released: a thread that comes in between finds the flight.
                if not ahead:
                    self._kept.remember(fetched, doubts)
                if store is not None:
                    store(fetched, doubts)

    def _read(self, first: int, last: int) -> Generator[bytes]:
        """Chunks from the first to the last, with one read: as they arrive, where the device has a
        `stream(offset, length, piece_bytes)`.
        """
        start, _ = self._kept.extent(first)
        _, end = self._kept.extent(last)
        if self._stream is not None:
            yield from self._stream(start, end - start, self.chunk_size)
            return
        data = self._device.pread(start, end - start)
        if len(data) != end - start:
            raise OSError(f"the device returned {len(data)} bytes of {end - start} at {start}")
        for place in range(0, end - start, self.chunk_size):
            yield data[place : place + self.chunk_size]
