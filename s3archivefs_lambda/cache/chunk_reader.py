"""Reads ranges of a device by aligned chunks: cached, in flight, or fetched now.

Blocks of an image lie at any offset, so that one often reaches into two chunks: missing chunks that
are adjacent, or nearly so, are fetched together, with one read of the device below. Threads that
want the same chunk at the same time fetch it once.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from s3archivefs import SingleFlight
from s3archivefs_lambda import accounting
from s3archivefs_lambda.cache.cached_chunks import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from s3archivefs import BlockDevice, Flight
    from s3archivefs_lambda.cache.background import Background
    from s3archivefs_lambda.cache.buffers import Buffers
    from s3archivefs_lambda.cache.cached_chunks import CachedChunks, Chunk
    from s3archivefs_lambda.cache.fetch_plan import FetchPlan

    Flights: TypeAlias = dict[int, Flight[Chunk]]
    Store: TypeAlias = Callable[[Mapping[int, Chunk], int], None]
    """Stores chunks that were fetched in an epoch: see `CachedChunks`."""
    Stream: TypeAlias = Callable[..., Iterator[Chunk]]

__all__ = ["ChunkReader"]


class ChunkReader:
    """Reads `device` by the chunks of `cached`. Thread-safe."""

    def __init__(
        self, device: BlockDevice, cached: CachedChunks, plan: FetchPlan, background: Background
    ) -> None:
        self._device = device
        self._stream: Stream | None = getattr(device, "stream", None)
        self.cached = cached
        """The chunks that need not be fetched."""
        self.plan = plan
        """Which chunks are fetched together."""
        self.background = background
        """The threads and the memory for what is fetched ahead of readers."""
        self.flights: SingleFlight[int, Chunk] = SingleFlight()
        """The chunks in flight, and those that are held for readers."""

    def read(
        self,
        offset: int,
        length: int,
        *,
        store: Store | None = None,
        prefetch: bool = True,
        held: Flights | None = None,
    ) -> list[Chunk]:
        """Return exactly `length` bytes from `offset`, in pieces of one chunk each.

        What is fetched is stored by `store`, by default in the background. With `prefetch`, chunks
        that the plan expects to be wanted next are fetched too.

        Raises ValueError for a range that is not inside the device, and whatever the device raises.
        """
        self.cached.check(offset, length)
        if not length:
            return []
        end = offset + length
        if (preloaded := self.cached.preloaded.beginning(offset, end)) is not None:
            rest = length - len(preloaded)
            behind = self.read(end - rest, rest, store=store, prefetch=prefetch, held=held)
            return [preloaded, *behind]
        chunk_size = self.cached.chunk_size
        indexes = self.cached.indexes(offset, end)
        store = store or self.cached.store_soon
        chunks = self._chunks(indexes, store, prefetch=prefetch, held=held or {})
        # From the end on: both may be the same.
        chunks[-1] = memoryview(chunks[-1])[: (end - 1) % chunk_size + 1]
        chunks[0] = memoryview(chunks[0])[offset % chunk_size :]
        return chunks

    def read_at_hand(self, offset: int, length: int) -> bytes | None:
        """Return the bytes if all their chunks are in memory, else None."""
        self.cached.check(offset, length)
        indexes = self.cached.indexes(offset, offset + length)
        chunks = [self.cached.in_memory(index) for index in indexes]
        found = [chunk for chunk in chunks if chunk is not None]
        if len(found) < len(chunks):
            return None
        accounting.add("cache_hits", len(found))
        start = offset - indexes[0] * self.cached.chunk_size
        whole = found[0] if len(found) == 1 else b"".join(found)
        return bytes(whole[start : start + length])

    def is_any_at_hand(self, offset: int, length: int) -> bool:
        """Return whether some bytes of a range need not be fetched, or are in flight."""
        end = offset + length
        return self.cached.preloaded.beginning(offset, end) is not None or any(
            self.flights.get(index)
            or self.cached.is_in_memory(index)
            or self.cached.is_stored(index)
            for index in self.cached.indexes(offset, end)
        )

    def read_alone(self, offset: int, length: int) -> bytes:
        """Fetch exactly the bytes of a range, and keep none."""
        data = self._device.pread(offset, length)
        if len(data) != length:
            raise OSError(f"the device returned {len(data)} bytes of {length} at {offset}")
        accounting.add("cache_misses", len(self.cached.indexes(offset, offset + length)))
        return data

    # ---- Chunks for a reader that waits ----------------------------------------------------------

    def _chunks(
        self, indexes: range, store: Store, *, prefetch: bool, held: Flights
    ) -> list[Chunk]:
        chunks: dict[int, Chunk] = {}
        # Not joined: a load that is of use to this reader alone ends where the reader leaves.
        ahead = {
            index: held[index]
            for index in indexes
            if index in held and self.flights.get(index) is held[index]
        }
        while len(chunks) < len(indexes):
            mine, others = self.flights.claim(
                index for index in indexes if index not in chunks and index not in ahead
            )
            try:
                others |= ahead
                ahead = {}
                if self.background.is_busy:  # perhaps stuck on another store: fetch here
                    mine |= self.flights.begin(others)
                    others = {index: each for index, each in others.items() if index not in mine}
                # Chunks that have landed already are no misses of this request.
                accounting.add("cache_hits", sum(flight.is_over for flight in others.values()))
                self._get(mine, store, prefetch=prefetch)
            finally:
                self.flights.release(mine)
            # The last one first: when it has landed, the others have, and need no waiting.
            for index, flight in reversed((mine | others).items()):
                flight.wait()
                if not flight.was_interrupted:
                    chunks[index] = flight.result()
        return [chunks[index] for index in indexes]

    def _get(self, flights: Flights, store: Store, *, prefetch: bool) -> None:
        missing = self._land_cached(flights)
        accounting.add("cache_hits", len(flights) - len(missing))
        if not missing:
            return
        extra = self._claim_prefetch(missing) if prefetch else {}
        try:
            self._fetch(missing | extra, missing, store=store)
        except Exception:
            if any(flight.value is None for flight in missing.values()):
                raise  # else only chunks that nobody waits for failed
        finally:
            self.flights.release(extra)

    def _claim_prefetch(self, missing: Flights) -> Flights:
        """Claim chunks to prefetch with missing ones, if there is memory for them.

        Stop at the first one behind them that is cached or in flight: a read across it would fetch
        it again.
        """
        extra: list[int] = []
        last = max(missing)
        for index in self.plan.prefetch(missing) if self.background.allowance(0) else ():
            if not (
                self.flights.get(index)
                or self.cached.is_in_memory(index)
                or self.cached.is_stored(index)
            ):
                extra.append(index)
            elif index > last:
                break
        return self.flights.begin(self.flights.reserve(extra))

    # ---- Chunks ahead of a reader ----------------------------------------------------------------

    def reserve_ahead(self, indexes: Iterable[int]) -> Flights:
        """Reserve flights of those chunks that are neither in memory nor wanted by others.

        They are held for a reader until it releases them with `release_ahead`.
        """
        wanted = [index for index in indexes if not self.cached.is_in_memory(index)]
        if retaken := self.flights.retake(wanted):
            return dict(sorted((retaken | self.flights.reserve(wanted)).items()))
        return self.flights.reserve(wanted)

    def fetch_ahead(self, flights: Flights, buffers: Buffers, stores: bool) -> None:  # noqa: FBT001 -- passed on by the pool
        """Get the chunks of reserved flights; the read that needs a chunk raises its error."""
        mine = self.flights.begin(flights)
        try:
            with suppress(Exception):  # whatever a device raises
                if _is_any_wanted(mine):
                    missing = self._land_cached(mine)
                    store = self.cached.store if stores else None
                    self._fetch(missing, missing, store=store, buffers=buffers)
        finally:
            self.flights.release({i: each for i, each in mine.items() if each.value is None})
            # The reader did not keep these in memory: they had not landed when it left.
            self.release_ahead({i: e for i, e in mine.items() if not e.is_held}, used=False)

    def cancel_ahead(self, flights: Flights) -> None:
        """Give up flights that were reserved, and are not fetched."""
        self.flights.release(self.flights.begin(flights))
        self.release_ahead(flights, used=False)

    def release_ahead(self, flights: Flights, *, used: bool, is_kept: bool = True) -> None:
        """Hold chunks for a reader no longer; if `is_kept`, memory keeps them as others.

        Those that were not `used` are kept only if there is room.
        """
        epoch = self.cached.epoch
        over = self.flights.unhold(flights)
        chunks = {
            index: flight.value
            for index, flight in over.items()
            # A flight that was released in between is of a chunk that did not decode.
            if flight.value is not None and self.flights.get(index) is flight
        }
        if is_kept:
            self.cached.keep(chunks, epoch, used=used)
        self.flights.forget(over)

    # ---- Doubts ----------------------------------------------------------------------------------

    def doubt(self, index: int, begin: int, part: bytes) -> bool:
        """Forget a chunk that has `part` at byte `begin`; return whether another may come."""
        flight = self.flights.get(index)
        if flight is not None and not flight.is_over:
            return True  # fetched anew just now, for another reader
        verdict = self.cached.doubt(index, begin, part, flight.value if flight else None)
        if verdict is Verdict.FORGOTTEN and flight is not None:
            self.flights.release({index: flight})
        return verdict is not Verdict.UNCHANGED

    # ---- Fetching --------------------------------------------------------------------------------

    def _land_cached(self, flights: Flights) -> Flights:
        """Land the chunks that are in memory or stored; return the flights of the others."""
        missing = {}
        for index, flight in flights.items():
            chunk = self.cached.get(index)
            if chunk is None:
                missing[index] = flight
            else:
                flight.land(chunk)
        return missing

    def _fetch(
        self,
        flights: Flights,
        needed: Container[int],
        *,
        store: Store | None,
        buffers: Buffers | None = None,
    ) -> None:
        """Fetch chunks with few reads; skip a read without any `needed` chunk.

        They are kept in memory, unless they are held there ahead of a reader, whose `buffers` they
        come into, and stored by `store`, if that is given.
        """
        epoch = self.cached.epoch
        for run in self.plan.reads(flights):
            wanted = {index: flights[index] for index in run}
            if not (any(index in needed for index in run) and _is_any_wanted(wanted)):
                continue
            fetched: dict[int, Chunk] = {}
            try:
                with closing(self._read(run[0], run[-1], buffers)) as chunks:
                    for index, chunk in enumerate(chunks, run[0]):
                        if index in wanted:
                            accounting.add("cache_misses")  # before its reader may end the request
                            fetched[index] = chunk
                            wanted[index].land(chunk)
                        if not _is_any_wanted(wanted):
                            break  # all readers have left
            except Exception as error:
                self.flights.release({i: wanted[i] for i in run if i not in fetched}, error)
                raise
            finally:
                # Before they are released: a thread that comes in between finds the flight.
                if buffers is None:
                    self.cached.keep(fetched, epoch)
                if store is not None:
                    store(fetched, epoch)

    def _read(self, first: int, last: int, buffers: Buffers | None) -> Generator[Chunk]:
        """Yield the chunks from the first to the last, by one read of the device.

        They come as they arrive if the device has a method `stream(offset, length, piece_bytes)`,
        with an option `take` for what returns their memory.
        """
        start, _ = self.cached.extent(first)
        _, end = self.cached.extent(last)
        if self._stream is not None:
            options = {} if buffers is None else {"take": buffers.take}
            yield from self._stream(start, end - start, self.cached.chunk_size, **options)
            return
        data = self._device.pread(start, end - start)
        if len(data) != end - start:
            raise OSError(f"the device returned {len(data)} bytes of {end - start} at {start}")
        for place in range(0, end - start, self.cached.chunk_size):
            yield data[place : place + self.cached.chunk_size]


def _is_any_wanted(flights: Flights) -> bool:
    # Backwards: the last chunk is wanted longest.
    return any(flight.is_wanted for flight in reversed(flights.values()))
