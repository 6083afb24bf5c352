"""A block device that reads another through a cache: memory, then disk, then the device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from s3archivefs_lambda.cache.cached_chunks import CachedChunks
from s3archivefs_lambda.cache.chunk_reader import ChunkReader
from s3archivefs_lambda.cache.fetch_plan import FetchPlan
from s3archivefs_lambda.cache.readahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.cache.cached_chunks import Chunk
    from s3archivefs_lambda.cache.disk import ChunkStore
    from s3archivefs_lambda.cache.memory import ChunkMemory

__all__ = ["CachedDevice"]

_QUOTA_SHARE = 8
"""One of so many parts of the store is a file's quota.

bcache leaves sequential reads out beyond 4 MiB.
"""


class CachedDevice:
    """`device` by chunks of `chunk_size` bytes, cached in `memory` and in `store`. Thread-safe.

    `archive_id` must name the device's content: another version of an archive needs another. From
    byte `metadata_start` on, the device holds metadata, which is fetched some chunks at a time.
    Without memory (one of 0 bytes), nothing is fetched ahead.
    """

    def __init__(
        self,
        device: BlockDevice,
        archive_id: str,
        chunk_size: int,
        *,
        memory: ChunkMemory,
        store: ChunkStore,
        metadata_start: int | None = None,
        remarks: Sequence[str] = (),
        is_current: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = device.size
        self._remarks = remarks
        self.is_current = is_current
        """Asks whether the device still has this content; False where nobody can tell."""
        self._archive_id = archive_id
        self._store_max_bytes = store.max_bytes
        self.cached = CachedChunks(
            archive_id, device.size, chunk_size, memory=memory, store=store, clock=clock
        )
        """The chunks that need not be fetched."""
        self.background = memory.background
        """The threads and the memory for what is fetched ahead of readers."""
        self.pinned: Callable[[Iterable[tuple[int, int]]], Callable[[], BlockDevice]] | None = None
        """Tells how another process opens the same bytes: see `BlockDevice`; None if unknown."""
        metadata_start = device.size if metadata_start is None else metadata_start
        plan = FetchPlan(device.size, chunk_size, metadata_start)
        self.chunks = ChunkReader(device, self.cached, plan, self.background)
        """Reads chunks, and knows those in flight."""

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._size

    @property
    def identity(self) -> str:
        """The text that names the device's content: the id that it was made with."""
        return self._archive_id

    def remarks(self) -> list[str]:
        """Return what would make the archive cheaper to read: the remarks it was made with."""
        return list(self._remarks)

    @property
    def chunk_size(self) -> int:
        """Bytes of each chunk but the last."""
        return self.cached.chunk_size

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`.

        Raises ValueError for a range that is not inside [0, size), and whatever the device raises.
        """
        return b"".join(self.chunks.read(offset, length))

    def pread_pieces(self, offset: int, length: int) -> list[Chunk]:
        """Return the bytes as `pread` does, in pieces, each of one chunk."""
        return self.chunks.read(offset, length)

    def pread_among(self, offset: int, length: int, total: int) -> bytes:
        """Return the bytes as `pread` does: some of `total` that are read in random order.

        Where the cache cannot hold half as many, exactly these bytes are fetched, and not kept:
        most chunks would be gone before the rest of them is asked for. Bytes at hand are used.
        """
        self.cached.check(offset, length)
        room = max(self._store_max_bytes, self.cached.memory_bytes)
        if min(total, self._size) <= 2 * room or self.chunks.is_any_at_hand(offset, length):
            return self.pread(offset, length)
        return self.chunks.read_alone(offset, length)

    def pread_at_hand(self, offset: int, length: int) -> bytes | None:
        """Return the bytes if all their chunks are in memory, else None."""
        return self.chunks.read_at_hand(offset, length)

    def readahead(self, offset: int, length: int) -> ReadAhead:
        """Return a handle that fetches ahead of one reader of a range.

        Raises ValueError for a range that is not inside [0, size).
        """
        self.cached.check(offset, length)
        return ReadAhead(
            self.chunks,
            offset + length,
            file=(self._archive_id, offset + length),
            quota_bytes=self._store_max_bytes // _QUOTA_SHARE,
        )

    # ---- Preloaded bytes -------------------------------------------------------------------------

    def preload(self, offset: int, data: bytes, *, store: bool = True) -> None:
        """Hold bytes that are at hand already in memory, and store them if `store`.

        Raises ValueError if they are not inside [0, size).
        """
        self.cached.check(offset, len(data))
        self.cached.preloaded.hold(offset, data)
        if store:
            self.cached.store_preloaded(offset, data)

    def recall_preloaded(self, offset: int) -> int:
        """Hold the stored partial head of bytes preloaded earlier; return its length."""
        return self.cached.preloaded.recall_partial_head(offset)

    @property
    def has_cached_tail(self) -> bool:
        """Whether the device's last byte is cached."""
        last = self._size - 1
        is_preloaded = self.cached.preloaded.find(last, self._size) is not None
        return is_preloaded or self.cached.is_stored(last // self.chunk_size)

    # ---- Doubts ----------------------------------------------------------------------------------

    def discard(self, offset: int, data: bytes) -> bool:
        """Forget the copies of chunks that `data`, which does not decode, was in.

        `data` was read at `offset`. Return False if its chunks came from the device twice: it has
        nothing better for now.
        """
        end = offset + len(data)
        may_differ = False
        for index in self.cached.indexes(offset, end):
            start, stop = self.cached.extent(index)
            begin = max(start, offset)
            part = data[begin - offset : min(stop, end) - offset]
            may_differ |= self.chunks.doubt(index, begin, part)
        return may_differ
