"""Loads in flight: threads that want one value at the same time load it once.

    flights = SingleFlight()
    value = flights.do("key", load)

An Exception of `load` is raised in every thread that waits for it. Tried one after the other, loads
that fail slowly would hold the last thread as many times as long. Where the loading thread is
interrupted (any other BaseException), the threads that wait try again.

`do` stands on primitives that also serve a caller that loads several values with one read: claim
the keys, land each value as it comes, release the flights. A flight is found, over or not, until it
is released. Keep the value elsewhere before that, and no thread loads it again.
"""

from __future__ import annotations

import _thread
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from s3archivefs.cached_only import check_may_wait
from s3archivefs.forks import renew_after_fork
from s3archivefs.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Flight", "SingleFlight"]

K = TypeVar("K")
V = TypeVar("V")


class Flight(Generic[V]):
    """One load of one value."""

    __slots__ = (
        *("_waiting", "error", "has_begun", "has_landed", "is_held", "is_over", "joined", "value"),
    )

    def __init__(self) -> None:
        # One of each thread that waits, and locked by it: for most loads none does. No Event, whose
        # own lock a signal can leave locked.
        self._waiting: list[_thread.LockType] = []
        self.is_over = False
        """Whether the load has ended."""
        self.has_landed = False
        """Whether the value is loaded."""
        self.value: V | None = None
        """The value, once it is loaded."""
        self.error: Exception | None = None
        """Why the load failed."""
        self.has_begun = False
        """Whether a thread loads the value, or has loaded it."""
        self.is_held = True
        """Whether the caller that claimed or reserved the flight still wants the value."""
        self.joined = 0
        """Number of threads that came for the value while another had claimed it."""

    @property
    def is_wanted(self) -> bool:
        """Whether somebody wants the value, or has joined: the load is worth going on with."""
        return self.is_held or self.joined > 0

    @property
    def has_failed(self) -> bool:
        """Whether the load has ended without a value."""
        return self.is_over and not self.has_landed

    @property
    def was_interrupted(self) -> bool:
        """Whether the load has ended with neither value nor error: try again."""
        return self.has_failed and self.error is None

    def land(self, value: V) -> None:
        """Hand the value to all who wait."""
        self.value = value
        self.has_landed = True
        self._end()

    def end(self, error: Exception | None = None) -> None:
        """End the load without a value.

        All who wait raise the error; where there is none, they try again.
        """
        self.error = error
        self._end()

    def _end(self) -> None:
        self.is_over = True
        for lock in self._waiting:
            with suppress(RuntimeError):  # it is unlocked: the load was ended before, amid this
                lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the load is over, or so many seconds; return whether it is."""
        if not self.is_over:
            lock = _thread.allocate_lock()
            lock.acquire()
            self._waiting.append(lock)
            if not self.is_over:  # else `_end` may have missed the lock
                lock.acquire(timeout=-1 if timeout is None else timeout)
        return self.is_over

    def result(self) -> V:
        """Return the value of a load that is over, or raise its error.

        Where others have joined, each caller gets a copy of that.
        """
        if self.has_landed:
            return cast("V", self.value)
        assert self.error is not None  # noqa: S101 -- the caller has looked at `was_interrupted`
        raise _own(self.error) if self.joined else self.error


class SingleFlight(Generic[K, V]):
    """The loads in flight, at most one for each key. Thread-safe, and usable after a fork."""

    def __init__(self) -> None:
        self._flights: dict[K, Flight[V]] = {}
        # A garbage collection amid a change may close a reader, which releases flights.
        self._lock = Lock()
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

        Raises the Exception of `load`, whichever thread called it, and NotCachedError within
        `only_cached`.
        """
        check_may_wait()
        while True:
            mine: Flight[V] = Flight()
            try:
                flight = self._join(key, mine)
                if flight is mine:
                    self.fly(key, mine, load)
                else:
                    flight.wait()
            except BaseException:  # before `load` began, or when it had ended
                self.release({key: mine})
                raise
            if not flight.was_interrupted:
                return flight.result()

    def join(self, key: K) -> tuple[Flight[V], bool]:
        """Return the flight of a key, and whether it is new.

        The caller flies a new one, and waits for another.
        """
        mine: Flight[V] = Flight()
        try:
            flight = self._join(key, mine)
        except BaseException:
            self.release({key: mine})
            raise
        return flight, flight is mine

    def _join(self, key: K, mine: Flight[V]) -> Flight[V]:
        """Return the flight of a key: `mine` where there was none."""
        with self._lock:
            flight = self._flights.setdefault(key, mine)
            if flight is mine:
                flight.has_begun = True
            else:
                flight.joined += 1
            return flight

    def fly(self, key: K, flight: Flight[V], load: Callable[[], V]) -> None:
        """Load the value of a flight that `join` returned as new, in whatever thread.

        The flight leaves the map before it is over: a thread that gets the value and comes again
        does not find it. Raises what interrupts `load`, and no Exception.
        """
        try:
            value = load()
        except Exception as error:  # noqa: BLE001 -- raised by those who wait
            self.release({key: flight}, error)
        except BaseException:
            self.release({key: flight})
            raise
        else:
            self.forget({key: flight})
            flight.land(value)

    # ---- Many values with one read ---------------------------------------------------------------

    def claim(self, keys: Iterable[K]) -> tuple[dict[K, Flight[V]], dict[K, Flight[V]]]:
        """Return the flights of keys that the caller loads, and those that others have claimed.

        The caller lands the first, waits for the second, and releases the first in any case.
        """
        mine: dict[K, Flight[V]] = {}
        others: dict[K, Flight[V]] = {}
        try:
            with self._lock:
                for key in keys:
                    if flight := self._flights.get(key):
                        flight.joined += 1
                        others[key] = flight
                    else:
                        flight = mine[key] = Flight()
                        flight.has_begun = True
                        self._flights[key] = flight
        except BaseException:
            self.release(mine)
            raise
        return mine, others

    def reserve(self, keys: Iterable[K]) -> dict[K, Flight[V]]:
        """Return new flights of those keys that have none, for whichever thread begins them."""
        reserved: dict[K, Flight[V]] = {}
        try:
            with self._lock:
                for key in keys:
                    if key not in self._flights:
                        flight = reserved[key] = Flight()
                        self._flights[key] = flight
        except BaseException:
            self.release(reserved)
            raise
        return reserved

    def begin(self, flights: Mapping[K, Flight[V]]) -> dict[K, Flight[V]]:
        """Return those flights that no thread had begun: the caller loads their values."""
        begun: dict[K, Flight[V]] = {}
        try:
            with self._lock:
                for key, flight in flights.items():
                    if not flight.has_begun:
                        begun[key] = flight
                        flight.has_begun = True
        except BaseException:
            self.release(begun)
            raise
        return begun

    def retake(self, keys: Iterable[K]) -> dict[K, Flight[V]]:
        """Hold the flights in progress that nobody holds, and return them."""
        retaken: dict[K, Flight[V]] = {}
        with self._lock:
            for key in keys:
                flight = self._flights.get(key)
                if flight is not None and not (flight.is_held or flight.is_over):
                    flight.is_held = True
                    retaken[key] = flight
        return retaken

    def unhold(self, flights: Mapping[K, Flight[V]]) -> dict[K, Flight[V]]:
        """Want values no longer; return the flights that are over, for the caller to forget.

        A flight in progress stays until the thread that flies it releases it: others may join it,
        or retake it. One that no thread has begun or joined is forgotten.
        """
        over: dict[K, Flight[V]] = {}
        with self._lock:
            for key, flight in flights.items():
                flight.is_held = False
                if flight.is_over:
                    over[key] = flight
                elif not (flight.has_begun or flight.joined) and self._flights.get(key) is flight:
                    del self._flights[key]
        return over

    def release(self, flights: Mapping[K, Flight[V]], error: Exception | None = None) -> None:
        """Forget flights, and end those that are not over, with an error if given."""
        self.forget(flights)
        for flight in flights.values():
            # Also one that is over: its thread may be interrupted amid telling those who wait.
            flight.end(flight.error if flight.is_over else error)

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
        self._lock = Lock()


def _own(error: Exception) -> Exception:
    """Return a copy of an error, or itself where none can be made.

    Who raises or handles an error changes it: its traceback, its notes, the name of the image.
    """
    try:
        own = copy(error)
        if type(own) is not type(error) or str(own) != str(error):
            return error
    except Exception:  # noqa: BLE001 -- whatever the constructor of a device's error raises
        return error
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    if hasattr(error, "__notes__"):
        own.__notes__ = [*error.__notes__]
    return own.with_traceback(error.__traceback__)
