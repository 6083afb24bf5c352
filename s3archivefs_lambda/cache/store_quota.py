"""How much of files read in sequence may be stored: large ones evict little else."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["StoreQuota"]

_DRAIN_SECONDS = 3600.0
"""Seconds until a file may store as much again: the first may be evicted."""
_MOST = 1000
"""Files remembered after their readers close; the least recently read is forgotten first."""


class StoreQuota:
    """Bytes that readers in sequence have stored, by file. Thread-safe.

    All readers of a file share its quota: a file that is read in many ranges, each by a reader of
    its own, stores no more than one that a single reader reads.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stored = 0  # bytes, by readers that are open
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # bytes, at a time
        self._lock = Lock()  # reentrant for the reason that `Background` gives
        renew_after_fork(self, StoreQuota._renew)

    @property
    def stored(self) -> int:
        """Bytes stored by the readers that are open."""
        return self._stored

    def reserve(self, file: Hashable, size: int, quota: int) -> bool:
        """Count `size` bytes that a reader stores; return False if that is too much.

        All open readers together may store `quota` bytes. A file may store `quota` bytes at once,
        and as much again each hour. If `file` is None, only the first bound applies.
        """
        with self._lock:
            now = self._clock()
            level, at = self._levels.get(file, (0.0, now))
            level = max(0.0, level - quota * (now - at) / _DRAIN_SECONDS)
            if self._stored + size > quota or (file is not None and level + size > quota):
                return False
            self._stored += size
            if file is None:
                return True
            self._levels[file] = level + size, now
            self._levels.move_to_end(file)
            if len(self._levels) > _MOST:
                self._levels.popitem(last=False)
            return True

    def release(self, size: int) -> None:
        """Note that a reader closes that has stored `size` bytes; its file's level stays."""
        with self._lock:
            self._stored -= size

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._stored = 0
        self._lock = Lock()
