"""Chunks on their way, each to all who want it: one thread gets it, others wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    Chunk: TypeAlias = bytes | memoryview

__all__ = ["Flight", "Flights"]


class Flight:
    """A chunk that a thread is getting, or has got for a reader who will come for it."""

    __slots__ = ("chunk", "done", "error", "has_begun", "is_held", "is_wanted")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.chunk: Chunk | None = None
        """None where the read failed, or was not made."""
        self.error: Exception | None = None
        """Why it failed, for those who wait as well: it has been tried as often as is worth it, and
        one after the other they would hold the last of them as many times as long.
        """
        self.has_begun = False
        """Whether a thread is getting it."""
        self.is_wanted = False
        """Whether a thread waits for it, or has."""
        self.is_held = False
        """Whether it is held for a reader that will come for it."""

    @property
    def is_expected(self) -> bool:
        """Whether anybody is left who would read the chunk."""
        return self.is_wanted or self.is_held

    @property
    def has_failed(self) -> bool:
        """Whether it is over and has brought nothing."""
        return self.done.is_set() and self.chunk is None

    def land(self, chunk: Chunk) -> None:
        """Hand the chunk to all who wait."""
        self.chunk = chunk
        self.done.set()


class Flights:
    """The flights of one device, by chunk; threads may share them."""

    def __init__(self) -> None:
        self._flights: dict[int, Flight] = {}
        self._lock = threading.RLock()  # as `Background` has
        renew_after_fork(self, Flights._renew)

    def get(self, index: int) -> Flight | None:
        """The flight of a chunk, if there is one."""
        return self._flights.get(index)

    def claim(self, indexes: Iterable[int]) -> tuple[dict[int, Flight], dict[int, Flight]]:
        """The flights of the chunks this thread has to get, and those of others."""
        mine: dict[int, Flight] = {}
        others: dict[int, Flight] = {}
        with self._lock:
            for index in indexes:
                if flight := self._flights.get(index):
                    others[index] = flight
                else:
                    flight = mine[index] = self._flights[index] = Flight()
                    flight.has_begun = True
                flight.is_wanted = True
        return mine, others

    def begin(self, flights: Mapping[int, Flight]) -> dict[int, Flight]:
        """Those of the flights that no thread had begun: this one has to get the chunks."""
        begun: dict[int, Flight] = {}
        with self._lock:
            for index, flight in flights.items():
                if not flight.has_begun:
                    flight.has_begun = True
                    begun[index] = flight
        return begun

    def claim_absent(self, indexes: Iterable[int]) -> dict[int, Flight]:
        """Flights of those chunks that have none, for whoever will begin them."""
        with self._lock:
            claimed = {index: Flight() for index in indexes if index not in self._flights}
            self._flights |= claimed
        return claimed

    def release(self, flights: Mapping[int, Flight]) -> None:
        """End flights: whoever wants such a chunk from now on gets it himself."""
        with self._lock:
            for index, flight in flights.items():
                if self._flights.get(index) is flight:
                    del self._flights[index]
        for flight in flights.values():
            flight.done.set()

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._flights.clear()
        self._lock = threading.RLock()
