"""What there is of a device without reading from it: seeds, chunks in memory, chunks on disk."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork
from s3archivefs_lambda.cache.doubts import Doubts
from s3archivefs_lambda.cache.seeds import Seeds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from s3archivefs_lambda.cache.disk import ChunkStore
    from s3archivefs_lambda.cache.memory import ChunkMemory

    Chunk: TypeAlias = bytes | memoryview

__all__ = ["KeptChunks"]

_LOG = logging.getLogger("s3archivefs")


class KeptChunks:
    """The chunks of a device of `size` bytes, `chunk_size` each (the last one shorter), as far as
    they are kept. Thread-safe.
    """

    def __init__(
        self,
        archive_id: str,
        size: int,
        chunk_size: int,
        *,
        memory: ChunkMemory,
        store: ChunkStore,
        clock: Callable[[], float],
    ) -> None:
        # Chunk numbers mean something only together with a size: functions that share a directory
        # may have different settings.
        self.store_id = f"{archive_id}\0{size}\0{chunk_size}"
        self._archive = archive_id
        self.seeds = Seeds(store, self.store_id, size, chunk_size)
        """What is held of the device in memory, for as long as it is."""
        self._size = size
        self._chunk_size = chunk_size
        self._memory = memory
        self._store = store
        self._doubts = Doubts(clock)
        # One that the thread may take again: it may end a forgotten file's reader at any time.
        self._doubting = threading.RLock()
        renew_after_fork(self, KeptChunks._renew)

    @property
    def doubts(self) -> int:
        """How many there were so far."""
        return self._doubts.count

    def extent(self, index: int) -> tuple[int, int]:
        """Where a chunk begins and ends, in bytes."""
        start = index * self._chunk_size
        return start, min(start + self._chunk_size, self._size)

    def get(self, index: int) -> Chunk | None:
        """A chunk, or None."""
        start, stop = self.extent(index)
        return self.seeds.find(start, stop) or self._kept(index, stop - start)

    def is_in_memory(self, index: int) -> bool:
        """Whether a chunk can be had at once; no use of it."""
        is_held = self.seeds.find(*self.extent(index)) is not None
        return is_held or self._memory.holds(self.store_id, index)

    def is_stored(self, index: int) -> bool:
        """Whether there is a file of a chunk."""
        return self._store.holds(self.store_id, index)

    def _kept(self, index: int, size: int) -> Chunk | None:
        chunk = self._memory.get(self.store_id, index)
        # While a doubted one is to be fetched anew, a thread may just be storing that very copy.
        if chunk is None and not self._doubts.is_open(index):
            chunk = self._store.get(self.store_id, index)
            if chunk is not None:
                self._memory.put(self.store_id, index, chunk)
        return chunk if chunk is not None and len(chunk) == size else None

    # ---- Keeping ---------------------------------------------------------------------------------

    def store_seed(self, offset: int, data: bytes) -> None:
        """Store a seed: its whole chunks, and its edge."""
        self.seeds.store_edge(offset, data)
        self.store(self.seeds.chunks(offset, data), 0)

    def remember(self, chunks: Mapping[int, Chunk], doubts: int, *, used: bool = True) -> None:
        """Keep chunks in memory that were fetched when there had been so many doubts; as next to be
        evicted, if they were not `used`.
        """
        with self._doubting:
            for index, chunk in chunks.items():
                if self._doubts.since(index, doubts):
                    continue
                if self._doubts.settles(index, chunk):
                    _LOG.warning(
                        "chunk %d of %s had come wrong, and was fetched anew", index, self._archive
                    )
                self._memory.put(self.store_id, index, chunk, used=used)

    def store_soon(self, chunks: Mapping[int, Chunk], doubts: int) -> None:
        """Keep chunks on disk, with no reader waiting for it where they are in memory meanwhile."""
        size = sum(map(len, chunks.values()))
        if not self._memory.background.start(size, self.store, chunks, doubts):
            self.store(chunks, doubts)

    def store(self, chunks: Mapping[int, Chunk], doubts: int) -> None:
        """Keep chunks on disk that were fetched when there had been so many doubts."""
        for index, chunk in chunks.items():
            if self._doubts.since(index, doubts):  # it may be that copy
                continue
            self._store.put(self.store_id, index, chunk)
            if self._doubts.since(index, doubts):  # meanwhile
                self._store.drop(self.store_id, index)

    # ---- Doubting --------------------------------------------------------------------------------

    def doubt(self, index: int, begin: int, part: bytes, landed: Chunk | None) -> bool | None:
        """Forget a chunk that has `part` at byte `begin` of the device, which does not decode.
        `landed` is the chunk as it has just been fetched, if it has.

        Return whether it was kept and is not any more; None where what is kept is another already,
        and False where it was fetched anew just before and was no different.
        """
        start, stop = self.extent(index)
        until = begin + len(part)
        with self._doubting:
            chunks = [landed, self.seeds.find(start, stop), self._kept(index, stop - start)]
            wrong = [
                chunk
                for chunk in chunks
                if chunk is not None and chunk[begin - start : until - start] == part
            ]
            seeded = self.seeds.find(begin, until)
            # Another block of the chunk may have been first: then the new copy is on its way.
            is_replaced = any(chunks) or self._doubts.is_open(index)
            if not wrong and (is_replaced if seeded is None else seeded != part):
                return None
            is_new = self._doubts.add(index, wrong[0] if wrong else part, is_part=not wrong)
            if is_new:
                self.seeds.drop(start, stop)
                self._memory.drop(self.store_id, index)
                self._store.drop(self.store_id, index)
            return is_new

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._doubting = threading.RLock()
