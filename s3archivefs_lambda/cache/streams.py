"""Bounds what is stored of files read in sequence: large ones evict little else."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Streams"]

_DRAIN_SECONDS = 3600.0
"""Seconds until a stream may store as much again: the first may be evicted then."""
_MOST = 1000
"""Streams remembered after their readers close; the least recently read is forgotten first."""


class Streams:
    """What readers in sequence have stored, by stream. Thread-safe.

    All readers of one file are one stream: a file that is read in many ranges, each by a reader of
    its own, stores no more than one that is read by a single reader.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stored = 0  # bytes, by readers that are open
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # bytes, at a time
        self._lock = threading.RLock()  # reentrant for the reason that `Background` gives
        renew_after_fork(self, Streams._renew)

    @property
    def stored(self) -> int:
        """Bytes that readers have stored that are open."""
        return self._stored

    def store(self, stream: Hashable, size: int, most: int) -> bool:
        """Count `size` bytes that a reader stores; return False if that is too much.

        All open readers together may store `most` bytes. A stream may store `most` bytes at once,
        and as much again each hour. If `stream` is None, only the first bound applies.
        """
        with self._lock:
            now = self._clock()
            level, at = self._levels.get(stream, (0.0, now))
            level = max(0.0, level - most * (now - at) / _DRAIN_SECONDS)
            if self._stored + size > most or (stream is not None and level + size > most):
                return False
            self._stored += size
            if stream is None:
                return True
            self._levels[stream] = level + size, now
            self._levels.move_to_end(stream)
            if len(self._levels) > _MOST:
                self._levels.popitem(last=False)
            return True

    def end(self, size: int) -> None:
        """Count a reader as closed that has stored `size` bytes."""
        with self._lock:
            self._stored -= size

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._stored = 0
        self._lock = threading.RLock()
