"""Chunks in memory, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda.cache.background import Background

if TYPE_CHECKING:
    from typing import TypeAlias

    Key: TypeAlias = tuple[str, int]

__all__ = ["ChunkMemory"]


class ChunkMemory:
    """An LRU cache of at most `max_bytes` of chunks. Thread-safe.

    Beside them, readers may have three quarters as much fetched ahead of them.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        """Bytes of chunks that there is room for."""
        self.background = Background(max_bytes * 3 // 4)
        """The threads that fetch ahead and store chunks, and the memory they may hold."""
        self._chunks: OrderedDict[Key, bytes | memoryview] = OrderedDict()
        self._used = 0  # bytes
        self._lock = Lock()  # reentrant for the reason that `Background` gives
        renew_after_fork(self, ChunkMemory._renew)

    @property
    def used_bytes(self) -> int:
        """Bytes of the chunks that are here."""
        return self._used

    def get(self, archive_id: str, index: int) -> bytes | memoryview | None:
        """Return a chunk and touch it, or None."""
        key = archive_id, index
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
            return self._chunks.get(key)

    def holds(self, archive_id: str, index: int) -> bool:
        """Return whether a chunk is here, without touching it."""
        with self._lock:
            return (archive_id, index) in self._chunks

    def put(
        self, archive_id: str, index: int, chunk: bytes | memoryview, *, used: bool = True
    ) -> None:
        """Keep a chunk, unless it is larger than the whole memory.

        One that was not `used` evicts nothing, and is the next to be evicted.
        """
        size = len(chunk)
        key = archive_id, index
        most = self.max_bytes if used else self.max_bytes - self._used
        if size > most:
            return
        # A view of more than the chunk would keep all that. Of bytes this makes no copy.
        copy = chunk if _is_whole(chunk) else bytes(chunk)
        with self._lock:
            self._used += size - len(self._chunks.pop(key, b""))
            self._chunks[key] = copy
            if not used:
                self._chunks.move_to_end(key, last=False)
            while self._used > self.max_bytes:
                _, oldest = self._chunks.popitem(last=False)
                self._used -= len(oldest)

    def drop(self, archive_id: str, index: int) -> None:
        """Remove a chunk, if it is here."""
        with self._lock:
            self._used -= len(self._chunks.pop((archive_id, index), b""))

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._used = sum(map(len, self._chunks.values()))  # a thread may have been amid a change
        self._lock = Lock()


def _is_whole(chunk: bytes | memoryview) -> bool:
    """Return whether a chunk keeps no more memory than its own."""
    return isinstance(chunk, memoryview) and chunk.nbytes == memoryview(chunk.obj).nbytes
