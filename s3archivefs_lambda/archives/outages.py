"""Outages: archives that cannot be revalidated now, and silent stores.

Each is tried again at intervals, and no request waits for it. An answer of the store (a status of
5xx, throttling) concerns its archive only: others in the same store may be readable. If no answer
comes, most likely none comes for the others either.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda.store.errors import (
    ArchiveSilentError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs_lambda.config.location import Location

__all__ = ["EXPECTED_SECONDS", "MOST_IN_FLIGHT", "RETRY_SECONDS", "Outages", "is_outage"]

RETRY_SECONDS = 5.0
"""Seconds from a failed request, with all the client's retries, to the archive's next one."""
EXPECTED_SECONDS = 60.0
"""Seconds after a failure in which the next request is expected to fail too."""
MOST_IN_FLIGHT = 16
"""Requests in flight to one store, at most, among those expected to fail.

A failed one is not repeated for `RETRY_SECONDS`, so that each archive gets its turn.
"""
_MOST = 10_000
"""Archives that have failed, at some 400 bytes each.

In a bucket that is mapped whole, clients choose their names.
"""


def is_outage(error: BaseException | None) -> bool:
    """Return whether the error is an outage: throttling, a status of 5xx, or no answer.

    It says nothing about the archive then.
    """
    if isinstance(error, ArchiveUnavailableError):
        return error.status is None or error.status >= 500
    return isinstance(error, ArchiveThrottledError)


class Outages:
    """The archives that could not be revalidated, and the silent stores. Thread-safe.

    The archive that failed longest ago is forgotten first.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._in_flight: set[Location] = set()  # requests in flight
        self._failed: OrderedDict[Location, float] = OrderedDict()  # the time of the last failure
        self._silent: dict[str, float] = {}  # by bucket: the time when it was last silent
        self._lock = Lock()
        renew_after_fork(self, Outages._renew)

    def is_expected(self, location: Location) -> bool:
        """Return whether a request for the archive is expected to fail."""
        with self._lock:
            failed = self._failed.get(location, -math.inf)
            silent = self._silent.get(location.bucket, -math.inf)
            return self._clock() - max(failed, silent) < EXPECTED_SECONDS

    def retry_is_due(self, location: Location) -> bool:
        """Return whether a request for the archive is due, though it may fail."""
        with self._lock:
            if self._clock() - self._failed.get(location, -math.inf) < RETRY_SECONDS:
                return False
            in_flight = sum(each.bucket == location.bucket for each in self._in_flight)
            return location not in self._in_flight and in_flight < MOST_IN_FLIGHT

    @contextmanager
    def watching(self, location: Location) -> Iterator[None]:
        """Learn from a request, made within the context, of an outage or its end.

        Each archive has one such request at a time.
        """
        with self._lock:
            self._in_flight.add(location)
        try:
            yield
        except Exception as error:
            self._end(location, error)
            raise
        except BaseException:  # an interruption says nothing about the store
            with self._lock:
                self._in_flight.discard(location)
            raise
        self._end(location, None)

    def found_silent(self, location: Location) -> None:
        """Mark the archive's store as silent, if the request for it is still in flight."""
        with self._lock:
            if location in self._in_flight:  # else the store has answered meanwhile
                self._silent[location.bucket] = self._clock()

    def _end(self, location: Location, error: Exception | None) -> None:
        with self._lock:
            self._in_flight.discard(location)
            self._failed.pop(location, None)
            if is_outage(error):
                self._failed[location] = self._clock()
                if len(self._failed) > self._most:
                    self._failed.popitem(last=False)
            if isinstance(error, ArchiveSilentError):
                self._silent[location.bucket] = self._clock()
            else:
                self._silent.pop(location.bucket, None)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._in_flight.clear()
        self._lock = Lock()
