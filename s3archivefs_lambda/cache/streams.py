"""How much is stored of what readers read in sequence: whoever reads large files from end to end
must not push out all else.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Streams"]

_DRAIN_SECONDS = 3600.0
"""In which a stream may have as much stored again as at once: that may be evicted by then."""
_MOST = 1000
"""Streams remembered after their readers, the least recently read forgotten first."""


class Streams:
    """What readers have stored, each of some stream: one who reads a file in many ranges, each with
    a reader of its own, shall have no more stored of it than another. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stored = 0  # bytes that readers who are there have had stored
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # bytes, at a time
        self._lock = threading.RLock()  # as `Background` has
        renew_after_fork(self, Streams._renew)

    def store(self, stream: Hashable, size: int, most: int) -> bool:
        """Note that a reader has `size` bytes stored; False where it is too much: all readers who
        are there may have `most` together, and those of one stream (unless it is None), gone or
        not, as much at once and again each hour.
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
        """Note that a reader is gone that has had so many bytes stored."""
        with self._lock:
            self._stored -= size

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._stored = 0
        self._lock = threading.RLock()
