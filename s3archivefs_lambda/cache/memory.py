"""Chunks in memory, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork
from s3archivefs_lambda.cache.background import Background

if TYPE_CHECKING:
    from typing import TypeAlias

    Key: TypeAlias = tuple[str, int]

__all__ = ["ChunkMemory"]


class ChunkMemory:
    """At most `max_bytes` of chunks, the least recently used evicted first; threads may share it.

    Beside them, readers may have three quarters as many fetched ahead of them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.background = Background(max_bytes * 3 // 4)
        """What fetches ahead and holds that, and writes chunks to the disk."""
        self._chunks: OrderedDict[Key, bytes] = OrderedDict()
        self._kept = 0  # bytes
        self._lock = threading.RLock()  # as `Background` has
        renew_after_fork(self, ChunkMemory._renew)

    def get(self, archive_id: str, index: int) -> bytes | None:
        """The chunk, or None."""
        key = archive_id, index
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
            return self._chunks.get(key)

    def holds(self, archive_id: str, index: int) -> bool:
        """Whether the chunk is here; no use of it."""
        with self._lock:
            return (archive_id, index) in self._chunks

    def put(
        self, archive_id: str, index: int, chunk: bytes | memoryview, *, used: bool = True
    ) -> None:
        """Keep the chunk, if there is room for it at all; one that was not `used` pushes no other
        out, and is the next to go.
        """
        size = len(chunk)
        key = archive_id, index
        most = self._max_bytes if used else self._max_bytes - self._kept
        if size > most:
            return
        # As a view it would keep all that it is a part of.
        copy = bytes(chunk)  # no copy, where it is bytes
        with self._lock:
            self._kept += size - len(self._chunks.pop(key, b""))
            self._chunks[key] = copy
            if not used:
                self._chunks.move_to_end(key, last=False)
            while self._kept > self._max_bytes:
                _, oldest = self._chunks.popitem(last=False)
                self._kept -= len(oldest)

    def drop(self, archive_id: str, index: int) -> None:
        """Let the chunk go, if it is here."""
        with self._lock:
            self._kept -= len(self._chunks.pop((archive_id, index), b""))

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        """Be as it was; a thread may have been amid a change."""
        self._kept = sum(map(len, self._chunks.values()))
        self._lock = threading.RLock()
