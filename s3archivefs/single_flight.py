"""Loads in flight: threads that want one value at the same time load it once.

    flights = SingleFlight()
    value = flights.do("key", load)

An Exception of `load` is raised in every thread that waits for it: tried one after the other, loads
that fail slowly would hold the last thread as many times as long. Where the loading thread is
interrupted (any other BaseException), the threads that wait try again.

`do` stands on primitives that also serve a caller that loads several values with one read: claim
the keys, land each value as it comes, release the flights. A flight is found, over or not, until it
is released. Keep the value elsewhere before that, and no thread loads it again.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from s3archivefs.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Flight", "SingleFlight"]

K = TypeVar("K")
V = TypeVar("V")


class Flight(Generic[V]):
    """One load of one value, which is never None."""

    __slots__ = ("_ending", "_lock", "error", "has_begun", "is_over", "joined", "value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ending: threading.Event | None = None  # made by the first that waits: few do
        self.is_over = False
        """Whether the load has ended."""
        self.value: V | None = None
        """The value, once it is loaded."""
        self.error: Exception | None = None
        """Why the load failed."""
        self.has_begun = False
        """Whether a thread loads the value, or has loaded it."""
        self.joined = 0
        """Number of threads that came for the value while another had claimed it."""

    @property
    def has_failed(self) -> bool:
        """Whether the load has ended without a value."""
        return self.value is None and self.is_over

    @property
    def was_interrupted(self) -> bool:
        """Whether the load has ended with neither value nor error: try again."""
        return self.has_failed and self.error is None

    def land(self, value: V) -> None:
        """Hand the value to all who wait."""
        self.value = value
        self._end()

    def end(self, error: Exception | None = None) -> None:
        """End the load without a value.

        All who wait raise the error; where there is none, they try again.
        """
        self.error = error
        self._end()

    def _end(self) -> None:
        with self._lock:
            self.is_over = True
            ending = self._ending
        if ending is not None:
            ending.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the load is over, or so many seconds; return whether it is."""
        with self._lock:
            if self.is_over:
                return True
            ending = self._ending = self._ending or threading.Event()
        return ending.wait(timeout)

    def result(self) -> V:
        """Return the value of a load that is over, or raise its error."""
        if self.value is not None:
            return self.value
        assert self.error is not None  # noqa: S101 -- the caller has looked at `was_interrupted`
        raise self.error


class SingleFlight(Generic[K, V]):
    """The loads in flight, at most one for each key. Thread-safe, and usable after a fork."""

    def __init__(self) -> None:
        self._flights: dict[K, Flight[V]] = {}
        # Reentrant: a garbage collection amid a change may close a reader, which releases flights.
        self._lock = threading.RLock()
        renew_after_fork(self, SingleFlight._renew)

    def __len__(self) -> int:
        """Return the number of flights that have not been released."""
        return len(self._flights)

    def get(self, key: K) -> Flight[V] | None:
        """Return the flight of a key, if there is one, without joining it."""
        return self._flights.get(key)

    # ---- One value -------------------------------------------------------------------------------

    def do(self, key: K, load: Callable[[], V]) -> V:
        """Return `load()`, called once for all threads that want the key meanwhile.

        Raises the Exception of `load`, whichever thread called it.
        """
        while True:
            flight, is_mine = self.join(key)
            if is_mine:
                self.fly(key, flight, load)
            else:
                flight.wait()
            if not flight.was_interrupted:
                return flight.result()

    def join(self, key: K) -> tuple[Flight[V], bool]:
        """Return the flight of a key, and whether it is new.

        The caller flies a new one, and waits for another.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                flight.joined += 1
                return flight, False
            flight = self._flights[key] = Flight()
            flight.has_begun = True
            return flight, True

    def fly(self, key: K, flight: Flight[V], load: Callable[[], V]) -> None:
        """Load the value of a flight that `join` returned as new, in whatever thread.

        The flight leaves the map before it is over: a thread that gets the value and comes again
        does not find it. Raises what interrupts `load`, and no Exception.
        """
        value: V | None = None
        error: Exception | None = None
        try:
            value = load()
        except Exception as failure:  # noqa: BLE001 -- raised by those who wait
            error = failure
        finally:
            with self._lock:
                if self._flights.get(key) is flight:  # else `load` forked, and this is the child
                    del self._flights[key]
            if value is None:
                flight.end(error)
            else:
                flight.land(value)

    # ---- Many values with one read ---------------------------------------------------------------

    def claim(self, keys: Iterable[K]) -> tuple[dict[K, Flight[V]], dict[K, Flight[V]]]:
        """Return the flights of keys that the caller loads, and those that others have claimed.

        The caller lands the first, waits for the second, and releases the first in any case.
        """
        mine: dict[K, Flight[V]] = {}
        others: dict[K, Flight[V]] = {}
        with self._lock:
            for key in keys:
                if flight := self._flights.get(key):
                    flight.joined += 1
                    others[key] = flight
                else:
                    flight = mine[key] = self._flights[key] = Flight()
                    flight.has_begun = True
        return mine, others

    def reserve(self, keys: Iterable[K]) -> dict[K, Flight[V]]:
        """Return new flights of those keys that have none, for whichever thread begins them."""
        with self._lock:
            reserved: dict[K, Flight[V]] = {
                key: Flight() for key in keys if key not in self._flights
            }
            self._flights |= reserved
        return reserved

    def begin(self, flights: Mapping[K, Flight[V]]) -> dict[K, Flight[V]]:
        """Return those flights that no thread had begun: the caller loads their values."""
        begun: dict[K, Flight[V]] = {}
        with self._lock:
            for key, flight in flights.items():
                if not flight.has_begun:
                    flight.has_begun = True
                    begun[key] = flight
        return begun

    def is_wanted(self, key: K, flight: Flight[V]) -> bool:
        """Return whether a load is worth going on with.

        It is while threads wait for it, or its flight is in the map.
        """
        return not flight.is_over and (flight.joined > 0 or self._flights.get(key) is flight)

    def release(self, flights: Mapping[K, Flight[V]], error: Exception | None = None) -> None:
        """Forget flights, and end those that are not over, with an error if given."""
        self.forget(flights)
        for flight in flights.values():
            if not flight.is_over:
                flight.end(error)

    def forget(self, flights: Mapping[K, Flight[V]]) -> None:
        """Take flights out of the map.

        The next thread that wants such a key claims it anew. Loads that are not over go on, for the
        threads that wait for them.
        """
        with self._lock:
            for key, flight in flights.items():
                if self._flights.get(key) is flight:
                    del self._flights[key]

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._flights.clear()
        self._lock = threading.RLock()
