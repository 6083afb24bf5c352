"""Archives kept open between requests, bounded by the memory that they take."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs_lambda.archives.archive import Archive
    from s3archivefs_lambda.config.location import Location

__all__ = ["OpenImages"]

_WEIGH_SECONDS = 1.0
"""Seconds between two weighings of all archives: each grows while it is read."""
_FILES_MAX = 128
"""Local files kept open, as a process may have 1,024 descriptors; reopening one is cheap."""


class OpenImages:
    """Open archives, one a location, of at most `max_bytes` together. Thread-safe.

    At most `files_max` of them keep a file open.

    The least recently used is evicted first; the last one used stays, whatever it weighs. An
    evicted archive is not closed: a request may still stream from it.
    """

    def __init__(
        self, max_bytes: int, clock: Callable[[], float], *, files_max: int = _FILES_MAX
    ) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._files_max = files_max
        self._archives: OrderedDict[Location, Archive] = OrderedDict()
        self._weights: dict[Location, int] = {}
        self._weight = 0
        self._files = 0
        self._weighed = clock()
        self._lock = Lock()
        renew_after_fork(self, OpenImages._renew)

    def __len__(self) -> int:
        return len(self._archives)

    @property
    def weight(self) -> int:
        """Bytes that all of them take, as they were last weighed."""
        return self._weight

    def get(self, location: Location) -> Archive | None:
        """Return the open archive at a location, or None; count it as used."""
        with self._lock:
            archive = self._archives.get(location)
            if archive is not None:
                self._use(archive)
            return archive

    def peek(self, location: Location) -> Archive | None:
        """Return the open archive at a location, or None, without counting it as used."""
        with self._lock:
            return self._archives.get(location)

    def put(self, archive: Archive) -> None:
        """Keep the archive, in place of the one at the same location."""
        location = archive.location
        with self._lock:
            self._files += archive.holds_descriptor and location not in self._archives
            self._archives[location] = archive
            self._use(archive)

    def remove(self, archive: Archive) -> None:
        """Evict the archive, if it is the one kept at its location."""
        with self._lock:
            if self._archives.get(archive.location) is archive:
                self._evict(archive.location)

    def _use(self, archive: Archive) -> None:
        self._archives.move_to_end(archive.location)
        self._weigh(archive)
        now = self._clock()
        if now - self._weighed >= _WEIGH_SECONDS:
            self._weighed = now
            for each in self._archives.values():
                self._weigh(each)
        while self._weight > self._max_bytes and len(self._archives) > 1:
            self._evict(next(iter(self._archives)))
        if self._files > self._files_max:
            self._evict(next(at for at, each in self._archives.items() if each.holds_descriptor))

    def _weigh(self, archive: Archive) -> None:
        weight = archive.weight
        self._weight += weight - self._weights.get(archive.location, 0)
        self._weights[archive.location] = weight

    def _evict(self, location: Location) -> None:
        self._files -= self._archives.pop(location).holds_descriptor
        self._weight -= self._weights.pop(location)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if not self._lock.acquire(blocking=False):  # another thread is in the middle of a change
            self._archives.clear()
            self._weights.clear()
            self._weight = self._files = 0
        self._lock = Lock()
