"""Archives kept open between requests, bounded by the memory that they take."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs_lambda.archives.archive import Archive
    from s3archivefs_lambda.config.location import Location

__all__ = ["OpenImages"]

_WEIGH_SECONDS = 1.0
"""An archive grows as it is read, also after it was last asked for: all are weighed so often."""
_FILES_MAX = 128
"""Local files kept open, as a process may have 1,024 descriptors in all; opening one anew is
cheap.
"""


class OpenImages:
    """Open archives, one for each location, that together weigh at most `max_bytes`, the least
    recently used let go first; the one used last stays, whatever it weighs. Thread-safe.

    Let go is not closed: a request may still be streaming from it.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._archives: OrderedDict[Location, Archive] = OrderedDict()
        self._weights: dict[Location, int] = {}
        self._weight = 0
        self._files = 0
        self._weighed = clock()
        self._lock = threading.Lock()
        renew_after_fork(self, OpenImages._renew)

    def get(self, location: Location) -> Archive | None:
        """The open archive, if there is one, as one use of it."""
        with self._lock:
            archive = self._archives.get(location)
            if archive is not None:
                self._use(archive)
            return archive

    def peek(self, location: Location) -> Archive | None:
        """The same without using it."""
        with self._lock:
            return self._archives.get(location)

    def put(self, archive: Archive) -> None:
        """Keep the archive, in place of the one that was open at its location."""
        location = archive.location
        with self._lock:
            self._files += location.scheme == "file" and location not in self._archives
            self._archives[location] = archive
            self._use(archive)

    def remove(self, archive: Archive) -> None:
        """Let the archive go, if it is the one that is open."""
        with self._lock:
            if self._archives.get(archive.location) is archive:
                self._let_go(archive.location)

    def _use(self, archive: Archive) -> None:
        self._archives.move_to_end(archive.location)
        self._weigh(archive)
        now = self._clock()
        if now - self._weighed >= _WEIGH_SECONDS:
            self._weighed = now
            for each in self._archives.values():
                self._weigh(each)
        while self._weight > self._max_bytes and len(self._archives) > 1:
            self._let_go(next(iter(self._archives)))
        if self._files > _FILES_MAX:
            self._let_go(next(at for at in self._archives if at.scheme == "file"))

    def _weigh(self, archive: Archive) -> None:
        weight = archive.weight
        self._weight += weight - self._weights.get(archive.location, 0)
        self._weights[archive.location] = weight

    def _let_go(self, location: Location) -> None:
        del self._archives[location]
        self._weight -= self._weights.pop(location)
        self._files -= location.scheme == "file"

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if self._lock.locked():  # by a thread that was amid a change
            self._archives.clear()
            self._weights.clear()
            self._weight = self._files = 0
        self._lock = threading.Lock()
