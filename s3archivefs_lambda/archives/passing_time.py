"""The time that passes, whether or not the process runs meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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

    __slots__ = ("_ahead", "_monotonic", "_of_day")

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        of_day: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._of_day = of_day
        self._ahead = of_day() - monotonic()
        """The most that the clock of the day was ahead of the other."""

    def __call__(self) -> float:
        """Return the time in seconds, from no particular moment on."""
        running = self._monotonic()
        self._ahead = max(self._ahead, self._of_day() - running)
        return running + self._ahead
