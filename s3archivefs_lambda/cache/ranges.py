"""Ranges that are read alone: exactly their bytes are fetched, and kept as they are.

A block of 128 KiB lies in two chunks as large. Of files in random order each fetches its block so,
in place of both chunks: half the bytes, and half the work of storing them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from s3archivefs import Lock, SingleFlight, renew_after_fork
from s3archivefs_lambda import accounting

if TYPE_CHECKING:
    from s3archivefs import BlockDevice
    from s3archivefs_lambda.cache.disk import ChunkStore
    from s3archivefs_lambda.cache.memory import ChunkMemory

__all__ = ["LoneRanges"]

_ENDS = 64
"""Ends of ranges that are remembered: as many readers in sequence are told from others."""


class LoneRanges:
    """The ranges of a device that were read alone, found by where they begin. Thread-safe.

    `archive_id` names the device's content in `memory` and in `store`.
    """

    def __init__(
        self, device: BlockDevice, archive_id: str, memory: ChunkMemory, store: ChunkStore
    ) -> None:
        self._device = device
        self._id = f"{archive_id}\0{device.size}\0ranges"
        self._memory = memory
        self._store = store
        self._flights: SingleFlight[tuple[int, int], bytes] = SingleFlight()
        self._ends: deque[int] = deque(maxlen=_ENDS)
        self._lock = Lock()
        renew_after_fork(self, LoneRanges._renew)

    def continues(self, offset: int) -> bool:
        """Return whether a range that was fetched alone ends there: one reads in sequence."""
        with self._lock:
            return offset in self._ends

    def get(self, offset: int, length: int) -> bytes | memoryview | None:
        """Return a range that is kept, or None."""
        found = self._memory.get(self._id, offset)
        if found is None:
            found = self._store.get(self._id, offset)
            if found is not None:
                self._memory.put(self._id, offset, found)
        if found is None or len(found) != length:
            return None
        accounting.add("cache_hits")
        return found

    def fetch(self, offset: int, length: int) -> bytes:
        """Fetch a range, by one read for all threads that want it, and keep it.

        Raises what the device raises.
        """
        return self._flights.do((offset, length), lambda: self._fetched(offset, length))

    def _fetched(self, offset: int, length: int) -> bytes:
        data = self._device.pread(offset, length)
        if len(data) != length:
            raise OSError(f"the device returned {len(data)} bytes of {length} at {offset}")
        accounting.add("cache_misses")
        with self._lock:
            self._ends.append(offset + length)
        self._memory.put(self._id, offset, data)
        put = self._store.put
        if not self._memory.background.start(length, put, self._id, offset, data):
            put(self._id, offset, data)
        return data

    def drop(self, offset: int) -> None:
        """Forget the range that begins there, which does not decode."""
        self._memory.drop(self._id, offset)
        self._store.drop(self._id, offset)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = Lock()
