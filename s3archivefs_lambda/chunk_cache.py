"""A block device that reads another by aligned chunks, which it keeps in a `ChunkStore`.

Blocks of an image lie at any offset, so that one often reaches into two chunks: missing chunks that
are adjacent are fetched together, with one read of the device below. Threads that want the same
chunk at the same time fetch it once.
"""

from __future__ import annotations

import threading
from itertools import groupby
from typing import TYPE_CHECKING

from s3archivefs_lambda.chunk_store import ChunkStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from s3archivefs import BlockDevice

    Chunk: TypeAlias = bytes | memoryview

__all__ = ["CachedDevice", "ChunkStore"]

# S3's advice for throughput is 8 or 16 MB per request; this also bounds what one read may hold.
_MAX_READ_BYTES = 8 * 1024 * 1024


class _Flight:
    """A chunk that a thread is getting; others wait for it."""

    __slots__ = ("chunk", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.chunk: Chunk | None = None
        """None where the thread failed; those who wait then try for themselves."""


class CachedDevice:
    """`device` by chunks of `chunk_size` bytes (the last one shorter), kept in `store`.

    `archive_id` must name the device's content: another version of an archive needs another.
    """

    def __init__(
        self, device: BlockDevice, store: ChunkStore, archive_id: str, chunk_size: int
    ) -> None:
        self._device = device
        self._size = device.size
        self._store = store
        self._chunk_size = chunk_size
        # Chunk numbers mean something only together with a size: functions that share a directory
        # may have different settings.
        self._store_id = f"{archive_id}\0{self._size}\0{chunk_size}"
        self._seeds: tuple[tuple[int, bytes], ...] = ()
        self._flights: dict[int, _Flight] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._size

    def seed(self, offset: int, data: bytes) -> None:
        """Take bytes already at hand: kept in memory, and those that make whole chunks, stored.

        Raises ValueError where they are not inside [0, size).
        """
        self._check(offset, len(data))
        self._seeds = (*self._seeds, (offset, data))
        for index in range(-(-offset // self._chunk_size), -(-self._size // self._chunk_size)):
            start, end = self._extent(index)
            if end > offset + len(data):
                break
            self._store.put(self._store_id, index, memoryview(data)[start - offset : end - offset])

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`.

        Raises ValueError for a range that is not inside [0, size), and whatever the device raises.
        """
        self._check(offset, length)
        if not length:
            return b""
        end = offset + length
        if (seeded := self._seeded(offset, end)) is not None:
            return bytes(seeded)
        first = offset // self._chunk_size
        chunks = self._chunks(range(first, (end - 1) // self._chunk_size + 1))
        start = first * self._chunk_size
        if len(chunks) == 1:
            return bytes(chunks[0][offset - start : end - start])
        chunks[0] = memoryview(chunks[0])[offset - start :]
        chunks[-1] = memoryview(chunks[-1])[: (end - 1) % self._chunk_size + 1]
        return b"".join(chunks)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise ValueError(f"bytes {offset} + {length} are not within the device's {self._size}")

    def _extent(self, index: int) -> tuple[int, int]:
        """Where a chunk begins and ends, in bytes."""
        start = index * self._chunk_size
        return start, min(start + self._chunk_size, self._size)

    def _seeded(self, start: int, end: int) -> memoryview | None:
        for offset, data in self._seeds:
            if offset <= start and end <= offset + len(data):
                return memoryview(data)[start - offset : end - offset]
        return None

    def _chunks(self, indexes: range) -> list[Chunk]:
        chunks: dict[int, Chunk] = {}
        while len(chunks) < len(indexes):
            mine, others = self._claim(index for index in indexes if index not in chunks)
            try:
                self._get(mine)
            finally:
                self._release(mine)
            for index, flight in (mine | others).items():
                flight.done.wait()
                if flight.chunk is not None:
                    chunks[index] = flight.chunk
        return [chunks[index] for index in indexes]

    def _claim(self, indexes: Iterable[int]) -> tuple[dict[int, _Flight], dict[int, _Flight]]:
        """The flights of the chunks this thread has to get, and of those others are getting."""
        mine: dict[int, _Flight] = {}
        others: dict[int, _Flight] = {}
        with self._lock:
            for index in indexes:
                if flight := self._flights.get(index):
                    others[index] = flight
                else:
                    mine[index] = self._flights[index] = _Flight()
        return mine, others

    def _release(self, flights: dict[int, _Flight]) -> None:
        with self._lock:
            for index in flights:
                del self._flights[index]
        for flight in flights.values():
            flight.done.set()

    def _get(self, flights: dict[int, _Flight]) -> None:
        missing = []
        for index, flight in flights.items():
            start, end = self._extent(index)
            chunk = self._seeded(start, end) or self._store.get(self._store_id, index)
            if chunk is not None and len(chunk) == end - start:
                flight.chunk = chunk
                flight.done.set()
            else:
                missing.append(index)
        for run in self._runs(missing):
            data = self._fetch(run)
            for index, chunk in data.items():
                flights[index].chunk = chunk
                flights[index].done.set()
            # Released only once they are stored: a thread that comes in between finds the flight.
            for index, chunk in data.items():
                self._store.put(self._store_id, index, chunk)

    def _runs(self, indexes: list[int]) -> Iterator[list[int]]:
        """Divide ascending chunk numbers into runs of adjacent ones, each worth one read."""
        longest = max(1, _MAX_READ_BYTES // self._chunk_size)
        for _, group in groupby(enumerate(indexes), lambda item: item[1] - item[0]):
            run = [index for _, index in group]
            for first in range(0, len(run), longest):
                yield run[first : first + longest]

    def _fetch(self, run: list[int]) -> dict[int, Chunk]:
        start, _ = self._extent(run[0])
        _, end = self._extent(run[-1])
        data = self._device.pread(start, end - start)
        if len(data) != end - start:
            raise OSError(f"the device returned {len(data)} bytes of {end - start} at {start}")
        if len(run) == 1:
            return {run[0]: data}
        view = memoryview(data)
        size = self._chunk_size
        return {index: view[i * size : (i + 1) * size] for i, index in enumerate(run)}
