"""The time that passes, whether or not the process runs meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PassingTime"]


class PassingTime:
    """A clock of seconds that never goes back. Thread-safe.

    The monotonic clock stands still while Lambda freezes an instance between two requests, or a
    machine sleeps: what is to hold for a minute would hold for a day. The clock of the day goes on,
    but is set at times. Set forward, this one leaps too, and a store is asked sooner than need be;
    set back, it goes on.
    """

    __slots__ = ("__weakref__", "_ahead", "_lock", "_monotonic", "_of_day")

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        of_day: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._of_day = of_day
        self._ahead = of_day() - monotonic()
        """The most that the clock of the day was ahead of the other."""
        self._lock = Lock()
        renew_after_fork(self, PassingTime._renew)

    def __call__(self) -> float:
        """Return the time in seconds, from no particular moment on."""
        running = self._monotonic()
        ahead = self._of_day() - running
        with self._lock:
            self._ahead = max(self._ahead, ahead)
            return running + self._ahead

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = Lock()
