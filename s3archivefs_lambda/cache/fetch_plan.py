"""Decides which chunks are fetched together, and which are prefetched with them.

Chunks are numbered from the device's start. A plan fetches nothing itself.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FetchPlan"]

_MAX_READ_BYTES = 8 << 20
"""Bytes of one read, held in memory; S3 advises 8 or 16 MB."""
_AHEAD_READ_BYTES = 4 << 20
"""Bytes of one read ahead: several in parallel share the work among connections."""
_GAP_BYTES = 512 << 10
"""Bytes of a gap that is read through, since splitting the read costs more.

A request's latency of some 20 ms is worth 1.6 MB of a connection's 80 MB/s.
"""
_PREFETCH_MAX_BYTES = 2 << 20
"""Bytes prefetched with a miss at most: 25 ms of a connection.

Each miss of a sequence fetches four times as much as the one before. So the second miss brings most
of a directory's small files, which are read one by one.
"""
_SEQUENCES = 64
"""Sequences of misses tracked: twice the 32 threads of an endpoint."""
_METADATA_READ_BYTES = 512 << 10
"""Bytes of metadata fetched at once: listings wander among blocks of 8 KiB."""


class FetchPlan:
    """The plan for a device of `size` bytes, with metadata from `metadata_start` on.

    The misses so far decide what is fetched next. Thread-safe.
    """

    def __init__(self, size: int, chunk_size: int, metadata_start: int) -> None:
        self._chunk_size = chunk_size
        self._end = -(-size // chunk_size)
        self._metadata_start = -(-metadata_start // chunk_size)  # the first chunk without data
        # Of each sequence of misses: the chunk behind it, and how many chunks its last one fetched.
        self._sequences: deque[tuple[int, int]] = deque(maxlen=_SEQUENCES)
        self._lock = Lock()
        renew_after_fork(self, FetchPlan._renew)

    def reads(self, chunks: Iterable[int]) -> Iterator[list[int]]:
        """Divide chunks into runs, each worth one read; short gaps are read through."""
        return _runs(sorted(chunks), self._chunks(_MAX_READ_BYTES), _GAP_BYTES // self._chunk_size)

    def is_long(self, length: int) -> bool:
        """Return whether a read of so many bytes is worth several requests in parallel."""
        return length > _AHEAD_READ_BYTES

    def parts(self, chunks: range, most: int) -> Iterator[range]:
        """Divide consecutive chunks into even runs to fetch in parallel.

        Each has about 4 MiB, or `most` bytes if that is less.
        """
        about = max(min(_AHEAD_READ_BYTES, most), self._chunk_size)
        parts = max(1, round(len(chunks) * self._chunk_size / about))
        for part in range(parts):
            yield chunks[len(chunks) * part // parts : len(chunks) * (part + 1) // parts]

    def prefetch(self, missing: Iterable[int]) -> range:
        """Return the chunks to prefetch with missing ones.

        In metadata, those around them; behind a sequence of misses, those that follow.
        """
        missing = sorted(missing)
        first, last = missing[0], missing[-1]
        if first >= self._metadata_start:
            step = self._chunks(_METADATA_READ_BYTES)
            begin = max(first // step * step, self._metadata_start)
            return range(begin, min((last // step + 1) * step, self._end))
        with self._lock:
            before = next((each for each in self._sequences if each[0] == first), None)
            count = last + 1 - first
            if before is not None:
                self._sequences.remove(before)
                count = max(count, min(4 * before[1], self._chunks(_PREFETCH_MAX_BYTES)))
            end = min(first + count, self._end)
            self._sequences.append((end, count))
        return range(last + 1, end)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = Lock()

    def _chunks(self, size: int) -> int:
        return max(1, size // self._chunk_size)


def _runs(indexes: list[int], longest: int, gap: int = 0) -> Iterator[list[int]]:
    """Divide ascending numbers into runs no wider than `longest`, with gaps of at most `gap`."""
    run: list[int] = []
    for index in indexes:
        if run and (index - run[-1] > 1 + gap or index - run[0] >= longest):
            yield run
            run = []
        run.append(index)
    if run:
        yield run
