"""Which of the workers that listen at one socket accepts a connection.

A connection stays with its worker, so one worker could have all the work of a few busy clients. The
workers note in memory that they share how many connections each has, and leave new ones to those
that have fewer.
"""

from __future__ import annotations

import mmap
from itertools import accumulate
from math import inf

__all__ = ["AcceptShares"]

_PATIENCE_SECONDS = 0.05
"""Seconds for which a connection is left to others, whose event loops may be busy."""

_LOOKS_AT_ONCE = 8
"""Looks, of some 20 microseconds each, in which another worker wakes."""


class AcceptShares:
    """The open connections of each worker. Only one process writes in a place."""

    def __init__(self, workers: int = 1, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        # Anonymous and shared: of forked processes, and of nobody else.
        self._open = memoryview(mmap.mmap(-1, workers * 8)).cast("d")
        self._place = 0
        self._patience_seconds = patience_seconds
        self._left_since: float | None = None
        self._looked = 0.0
        self._looks = 0  # since `_left_since`
        for place in range(workers):
            self.leave(place)

    def begin(self, place: int) -> None:
        """Accept as the worker in this place, after the fork."""
        self._place = place
        self.note(0)

    def leave(self, place: int) -> None:
        """Note that the worker in this place accepts none: nothing is left to it."""
        self._open[place] = inf

    def note(self, connections: int) -> None:
        """Note how many connections this worker has open."""
        self._open[self._place] = connections

    def of_waiting(self, waiting: int, now: float) -> int:
        """Return how many of the waiting connections this worker accepts; 0 leaves them to others.

        Whoever has the fewest may always accept one, so that workers differ by one connection, but
        for those that clients closed. If the others take none for `patience_seconds`, as one that
        is stuck does, this worker takes all.
        """
        mine, present = self._open[self._place], sorted(each for each in self._open if each < inf)
        # What waits fills up those with the fewest, as water does.
        sums = enumerate(accumulate(present, initial=waiting))
        level = min(total // number for number, total in sums if number)
        share = max(level - mine, mine <= present[0])
        if share < 1:
            if self._left_since is None or now - self._looked >= self._patience_seconds:
                self._left_since, self._looks = now, 0  # others took what was left before
            self._looked = now
            if now - self._left_since < self._patience_seconds:
                self._looks += 1
                return 0
            share = waiting
        self.none_waits()
        return min(int(share), waiting)

    @property
    def looks_later(self) -> bool:
        """Whether a worker that leaves a connection to others looks again later, not at once."""
        return self._looks > _LOOKS_AT_ONCE

    def none_waits(self) -> None:
        """Note that nothing is left to others any more."""
        self._left_since, self._looks = None, 0
