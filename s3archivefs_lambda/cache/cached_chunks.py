"""The chunks that need not be fetched: preloaded, in memory or on disk."""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda.cache.preloaded import Preloaded
from s3archivefs_lambda.cache.suspect_chunks import SuspectChunks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from s3archivefs_lambda.cache.disk import ChunkStore
    from s3archivefs_lambda.cache.memory import ChunkMemory

    Chunk: TypeAlias = bytes | memoryview

__all__ = ["CachedChunks", "Verdict"]

_LOG = logging.getLogger("s3archivefs")


class Verdict(Enum):
    """What became of a chunk of which a copy did not decode."""

    FORGOTTEN = "it was cached, and is not any more"
    REPLACED = "another copy is cached, or on its way"
    UNCHANGED = "it was fetched anew just before, and was no different"


class CachedChunks:
    """The chunks of a device of `size` bytes, `chunk_size` each (the last one shorter).

    A chunk that is found on disk is put into memory. Read `epoch` before fetching: a chunk doubted
    since then is not kept, as the fetched copy may be the doubted one. Thread-safe.
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
        """The name of the chunks' archive in memory and on disk."""
        self.size = size
        """Bytes of the device."""
        self.chunk_size = chunk_size
        """Bytes of each chunk but the last."""
        self.preloaded = Preloaded(store, self.store_id, size, chunk_size)
        """Bytes that are held in memory as long as the device is."""
        self._archive_id = archive_id
        self._memory = memory
        self._store = store
        self._suspects = SuspectChunks(clock)
        # Reentrant: a garbage collection amid a change may close a reader, which keeps its chunks.
        self._lock = Lock()
        renew_after_fork(self, CachedChunks._renew)

    @property
    def memory_bytes(self) -> int:
        """Bytes of chunks that the memory has room for."""
        return self._memory.max_bytes

    @property
    def epoch(self) -> int:
        """How often a chunk was doubted so far."""
        return self._suspects.count

    def check(self, offset: int, length: int) -> None:
        """Raise ValueError for a range that is not inside [0, size)."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"bytes {offset} + {length} are not within the device's {self.size}")

    def extent(self, index: int) -> tuple[int, int]:
        """Return where a chunk begins and ends, in bytes."""
        start = index * self.chunk_size
        return start, min(start + self.chunk_size, self.size)

    def indexes(self, start: int, end: int) -> range:
        """Return the indexes of the chunks that the bytes [start, end) lie in."""
        return range(start // self.chunk_size, (end - 1) // self.chunk_size + 1)

    # ---- Finding ---------------------------------------------------------------------------------

    def get(self, index: int) -> Chunk | None:
        """Return a chunk from the first level that has it, or None."""
        start, stop = self.extent(index)
        return self.preloaded.find(start, stop) or self._get_kept(index, stop - start)

    def in_memory(self, index: int) -> Chunk | None:
        """Return a chunk that takes no I/O, or None."""
        start, stop = self.extent(index)
        chunk = self.preloaded.find(start, stop) or self._memory.get(self.store_id, index)
        return chunk if chunk is not None and len(chunk) == stop - start else None

    def is_in_memory(self, index: int) -> bool:
        """Return whether a chunk needs no I/O, without touching it."""
        is_preloaded = self.preloaded.find(*self.extent(index)) is not None
        return is_preloaded or self._memory.holds(self.store_id, index)

    def is_stored(self, index: int) -> bool:
        """Return whether there is a file of a chunk."""
        return self._store.holds(self.store_id, index)

    def _get_kept(self, index: int, size: int) -> Chunk | None:
        chunk = self._memory.get(self.store_id, index)
        # While a refetch is pending, another thread may be storing the doubted copy.
        if chunk is None and not self._suspects.awaits_refetch(index):
            chunk = self._store.get(self.store_id, index)
            if chunk is not None:
                self._memory.put(self.store_id, index, chunk)
        return chunk if chunk is not None and len(chunk) == size else None

    # ---- Keeping ---------------------------------------------------------------------------------

    def keep(self, chunks: Mapping[int, Chunk], epoch: int, *, used: bool = True) -> None:
        """Put chunks into memory that were fetched in an epoch.

        Those that were not `used` evict nothing, and are the next to be evicted.
        """
        with self._lock:
            for index, chunk in chunks.items():
                if self._suspects.doubted_since(index, epoch):
                    continue
                if self._suspects.settles(index, chunk):
                    _LOG.warning(
                        "chunk %d of %s had come wrong, and was fetched anew",
                        index,
                        self._archive_id,
                    )
                self._memory.put(self.store_id, index, chunk, used=used)

    def store(self, chunks: Mapping[int, Chunk], epoch: int) -> None:
        """Put chunks on disk that were fetched in an epoch."""
        for index, chunk in chunks.items():
            if self._suspects.doubted_since(index, epoch):
                continue
            self._store.put(self.store_id, index, chunk)
            if self._suspects.doubted_since(index, epoch):  # doubted meanwhile
                self._store.drop(self.store_id, index)

    def store_soon(self, chunks: Mapping[int, Chunk], epoch: int) -> None:
        """Put chunks on disk in the background.

        If no memory is free to hold them meanwhile, the caller waits for the disk.
        """
        size = sum(map(len, chunks.values()))
        if not self._memory.background.start(size, self.store, chunks, epoch):
            self.store(chunks, epoch)

    def store_preloaded(self, offset: int, data: bytes) -> None:
        """Put preloaded bytes on disk in the background: whole chunks, and the partial head."""
        if not self._memory.background.start(0, self._store_preloaded, offset, data):
            self._store_preloaded(offset, data)

    def _store_preloaded(self, offset: int, data: bytes) -> None:
        self.preloaded.store_partial_head(offset, data)
        self.store(self.preloaded.chunks(offset, data), 0)

    # ---- Doubting --------------------------------------------------------------------------------

    def doubt(self, index: int, begin: int, part: bytes, landed: Chunk | None) -> Verdict:
        """Forget a chunk that has `part` at byte `begin`, which does not decode.

        `begin` counts from the device's start; `landed` is the chunk if it was fetched just now.
        One that was doubted less than a minute ago, and has come again, is not forgotten.
        """
        start, stop = self.extent(index)
        until = begin + len(part)
        with self._lock:
            copies = [landed, self.preloaded.find(start, stop), self._get_kept(index, stop - start)]
            wrong = [
                copy
                for copy in copies
                if copy is not None and copy[begin - start : until - start] == part
            ]
            preloaded = self.preloaded.find(begin, until)
            # Another block of the chunk may have reported it first.
            is_replaced = any(copies) or self._suspects.awaits_refetch(index)
            if not wrong and (is_replaced if preloaded is None else preloaded != part):
                return Verdict.REPLACED
            if not self._suspects.add(index, wrong[0] if wrong else part, is_part=not wrong):
                return Verdict.UNCHANGED
            self.preloaded.drop(start, stop)
            self._memory.drop(self.store_id, index)
            self._store.drop(self.store_id, index)
            return Verdict.FORGOTTEN

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = Lock()
