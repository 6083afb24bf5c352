"""Bytes that did not come by chunks: opening an archive brings both its ends.

They are held in memory, and their whole chunks are stored as chunks. The bytes before the first
whole chunk are stored as a partial head: with both, reopening the archive fetches nothing twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3archivefs_lambda.cache.disk import ChunkStore

__all__ = ["Preloaded"]


class Preloaded:
    """The preloaded bytes of a device of `size` bytes in chunks of `chunk_size`.

    `store_id` names the device in the store. Threads may read; its owner has a lock for changes.
    """

    def __init__(self, store: ChunkStore, store_id: str, size: int, chunk_size: int) -> None:
        self._store = store
        self._store_id = store_id
        self._size = size
        self._chunk_size = chunk_size
        self._held: tuple[tuple[int, bytes], ...] = ()

    def hold(self, offset: int, data: bytes) -> None:
        """Hold bytes that begin at `offset` in memory."""
        self._held = (*self._held, (offset, data))

    def find(self, start: int, end: int) -> memoryview | None:
        """Return the bytes [start, end) if all are held, else None."""
        found = self.beginning(start, end)
        return found if found is not None and len(found) == end - start else None

    def beginning(self, start: int, end: int) -> memoryview | None:
        """Return the held bytes of [start, end) from the first on, or None."""
        for offset, data in self._held:
            if offset <= start < offset + len(data):
                return memoryview(data)[start - offset : end - offset]
        return None

    def chunks(self, offset: int, data: bytes) -> dict[int, memoryview]:
        """Return the whole chunks among bytes that begin at `offset`, by index."""
        chunks: dict[int, memoryview] = {}
        for index in range(-(-offset // self._chunk_size), -(-self._size // self._chunk_size)):
            start = index * self._chunk_size
            end = min(start + self._chunk_size, self._size)
            if end > offset + len(data):
                break
            chunks[index] = memoryview(data)[start - offset : end - offset]
        return chunks

    def store_partial_head(self, offset: int, data: bytes) -> None:
        """Store the bytes before the first whole chunk, if the data reach that far."""
        size = self._partial_head_bytes(offset)
        if 0 < size <= len(data):
            self._store.put(self._partial_head_id(offset), 0, memoryview(data)[:size])
            if self.find(offset, offset + size) is None:  # it was dropped meanwhile
                self._store.drop(self._partial_head_id(offset), 0)

    def recall_partial_head(self, offset: int) -> int:
        """Hold the partial head that was stored at `offset`; return its length."""
        head = self._store.get(self._partial_head_id(offset), 0)
        if head is None or len(head) != self._partial_head_bytes(offset):
            return 0
        self.hold(offset, head)
        return len(head)

    def drop(self, start: int, stop: int) -> None:
        """Drop the bytes held of a chunk [start, stop), and its stored partial heads."""
        held: list[tuple[int, bytes]] = []
        heads: list[int] = []
        for offset, data in self._held:
            end = offset + len(data)
            if stop <= offset or end <= start:
                held.append((offset, data))
                continue
            if offset < start:
                held.append((offset, data[: start - offset]))
            else:
                heads.append(offset)
            if stop < end:
                held.append((stop, data[stop - offset :]))
        self._held = tuple(held)
        for offset in heads:
            self._store.drop(self._partial_head_id(offset), 0)

    def _partial_head_id(self, offset: int) -> str:
        return f"{self._store_id}\0from {offset}"

    def _partial_head_bytes(self, offset: int) -> int:
        """Return how many bytes from `offset` on lie in a chunk that begins before it."""
        return min(-offset % self._chunk_size, self._size - offset)
