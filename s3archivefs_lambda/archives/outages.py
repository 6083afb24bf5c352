"""Which archives cannot be asked for at the moment, and which stores are silent, so that each is
tried again at intervals and nobody waits for it.

An answer of the store (a status of 5xx, throttling) tells of its archive alone: others of the same
store may well be had. Where no answer comes, there is none for the others either, most likely.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork
from s3archivefs_lambda.store.errors import (
    ArchiveSilentError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs_lambda.config.location import Location

__all__ = ["Outages", "is_outage"]

_RETRY_SECONDS = 5.0
"""After a request that failed, until the next for the same archive. It failed after all the
client's retries.
"""
_EXPECTED_SECONDS = 60.0
"""For how long it is expected that the next one fails too, and not waited for."""
_MOST_ASKING = 16
"""Requests to one store under way, beyond which none is made that is expected to fail. One that has
failed is not made again for some time, so that all others get their turn.
"""


def is_outage(error: BaseException | None) -> bool:
    """Whether the error says nothing of the archive, only that it cannot be asked for: throttling,
    statuses of 5xx, or none.
    """
    if isinstance(error, ArchiveUnavailableError):
        return error.status is None or error.status >= 500
    return isinstance(error, ArchiveThrottledError)


class Outages:
    """The archives that could not be asked for, and the silent stores. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asking: set[Location] = set()  # requests under way
        self._failed: dict[Location, float] = {}  # when the last request for them did
        self._silent: dict[str, float] = {}  # stores, by bucket: when that was last found
        self._lock = threading.Lock()
        renew_after_fork(self, Outages._renew)

    def is_expected(self, location: Location) -> bool:
        """Whether asking for the archive is expected to fail, which is not to be waited for."""
        with self._lock:
            failed = self._failed.get(location, -math.inf)
            silent = self._silent.get(location.bucket, -math.inf)
            return self._clock() - max(failed, silent) < _EXPECTED_SECONDS

    def may_try(self, location: Location) -> bool:
        """Whether it is time to ask for the archive though that is expected to fail."""
        with self._lock:
            if self._clock() - self._failed.get(location, -math.inf) < _RETRY_SECONDS:
                return False
            asking = sum(each.bucket == location.bucket for each in self._asking)
            return location not in self._asking and asking < _MOST_ASKING

    @contextmanager
    def asking(self, location: Location) -> Iterator[None]:
        """Have what is raised inside, or not, tell of the archive and its store. One thread at a
        time for each archive.
        """
        with self._lock:
            self._asking.add(location)
        try:
            yield
        except Exception as error:
            self._end(location, error)
            raise
        except BaseException:  # interrupted, which tells nothing
            with self._lock:
                self._asking.discard(location)
            raise
        self._end(location, None)

    def found_silent(self, location: Location) -> None:
        """Take the store for silent, if the archive is still being asked for."""
        with self._lock:
            if location in self._asking:  # else the store has answered meanwhile
                self._silent[location.bucket] = self._clock()

    def _end(self, location: Location, error: Exception | None) -> None:
        with self._lock:
            self._asking.discard(location)
            if is_outage(error):
                self._failed[location] = self._clock()
            else:
                self._failed.pop(location, None)
            if isinstance(error, ArchiveSilentError):
                self._silent[location.bucket] = self._clock()
            else:
                self._silent.pop(location.bucket, None)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._asking.clear()
        self._lock = threading.Lock()
