"""Which chunks are fetched together, and which before they are asked for.

Chunks are numbered from the device's start. What was fetched before decides what comes next, so a
plan belongs to one device; it fetches nothing itself. Thread-safe.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["FetchPlan"]

# S3's advice for throughput is 8 or 16 MB per request; this also bounds what one read may hold.
_MAX_READ_BYTES = 8 << 20
# Ahead of a reader several are under way at once: smaller ones let more connections share the work.
_AHEAD_READ_BYTES = 4 << 20
# A request's latency of some 20 ms is worth 1.6 MB of a connection's 80 MB/s, and costs more.
_GAP_BYTES = 512 << 10
# Misses in sequence fetch four times as much as the one before, up to this: 25 ms of a connection's
# time. Of a directory's small files, which are read one by one, the second miss brings most.
_WINDOW_MAX_BYTES = 2 << 20
_SEQUENCES = 64  # readers whose sequences are told apart: twice as many as an endpoint serves
# Listings and look-ups wander among a table's blocks of 8 KiB: whoever reads some will read more.
_METADATA_READ_BYTES = 512 << 10


class FetchPlan:
    """The plan for a device of `size` bytes, whose metadata begins at byte `metadata_start`."""

    def __init__(self, size: int, chunk_size: int, metadata_start: int) -> None:
        self._chunk_size = chunk_size
        self._end = -(-size // chunk_size)
        # The first chunk that holds nothing but metadata.
        self._metadata_start = -(-metadata_start // chunk_size)
        # Of the last sequences of misses: the chunk behind them, and how many the last one fetched.
        self._sequences: deque[tuple[int, int]] = deque(maxlen=_SEQUENCES)
        self._lock = threading.Lock()
        renew_after_fork(self, FetchPlan._renew)

    def reads(self, chunks: Iterable[int]) -> Iterator[list[int]]:
        """Divide chunks into runs that are each worth one read, with gaps that are read through."""
        return _runs(sorted(chunks), self._chunks(_MAX_READ_BYTES), _GAP_BYTES // self._chunk_size)

    def is_long(self, length: int) -> bool:
        """Whether several are fetched ahead at once for a read of so many bytes."""
        return length > _AHEAD_READ_BYTES

    def parts(self, chunks: range, most: int) -> Iterator[range]:
        """Divide consecutive chunks into runs of about as many as are fetched ahead at once: 4 MiB,
        or `most` bytes, if that is less.

        Evenly: the end of what was asked for is no request of its own.
        """
        about = max(min(_AHEAD_READ_BYTES, most), self._chunk_size)
        parts = max(1, round(len(chunks) * self._chunk_size / about))
        for part in range(parts):
            yield chunks[len(chunks) * part // parts : len(chunks) * (part + 1) // parts]

    def along(self, missing: Iterable[int]) -> range:
        """Chunks to fetch along with missing ones: more of the metadata around them; behind the end
        of a sequence of misses, several times as many as the last of it fetched.
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
                count = max(count, min(4 * before[1], self._chunks(_WINDOW_MAX_BYTES)))
            end = min(first + count, self._end)
            self._sequences.append((end, count))
        return range(last + 1, end)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = threading.Lock()

    def _chunks(self, size: int) -> int:
        return max(1, size // self._chunk_size)


def _runs(indexes: list[int], longest: int, gap: int = 0) -> Iterator[list[int]]:
    """Divide ascending numbers into runs no wider than `longest`, with at most `gap` numbers
    between two of them.
    """
    run: list[int] = []
    for index in indexes:
        if run and (index - run[-1] > 1 + gap or index - run[0] >= longest):
            yield run
            run = []
        run.append(index)
    if run:
        yield run
