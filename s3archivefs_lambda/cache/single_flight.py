"""One call for all threads that want its result at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SingleFlight"]

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """The calls under way, at most one for each key. Thread-safe."""

    def __init__(self) -> None:
        self._flights: dict[K, Future[V]] = {}
        self._lock = threading.Lock()
        renew_after_fork(self, SingleFlight._renew)

    def join(self, key: K) -> tuple[Future[V], bool]:
        """The call under way for `key`, to be waited for; or a new one, and True: who gets that
        has to `fly` it, in whatever thread.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Future()
            return flight, True

    def fly(self, key: K, flight: Future[V], call: Callable[[], V]) -> None:
        """Make the call, whose result or Exception becomes that of `flight`.

        Where the thread is interrupted, the flight is cancelled: those who wait for it may try
        themselves.
        """
        try:
            result = call()
        except BaseException as error:
            self._end(key, flight)
            if not isinstance(error, Exception):
                flight.cancel()
                raise
            flight.set_exception(error)
        else:
            self._end(key, flight)
            flight.set_result(result)

    def _end(self, key: K, flight: Future[V]) -> None:
        """Let the next thread that comes begin another."""
        with self._lock:
            if self._flights.get(key) is flight:  # else the call itself forked
                del self._flights[key]

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._flights.clear()
        self._lock = threading.Lock()
