"""Two caches: an attribute made on first use, and an LRU cache bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from s3archivefs.forks import renew_after_fork
from s3archivefs.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["WeightedCache", "kept_property"]

V = TypeVar("V")


class kept_property(Generic[V]):  # noqa: N801 -- used as `property` is
    """An attribute made on first use: `functools.cached_property` without its lock.

    Before Python 3.12 one lock serves all instances, and is held while a value is made: one slow
    store would hold up the readers of all others, and a child of a fork for ever. Threads that come
    at the same time each make the value.
    """

    def __init__(self, make: Callable[[Any], V]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> V:
        value = instance.__dict__[self._name] = self._make(instance)
        return value


class WeightedCache(Generic[V]):
    """An LRU cache of values whose weights add up to at most `capacity` bytes.

    `weigh(value)` returns the weight of a value, which is never None. A value heavier than the
    capacity is returned but not kept. Thread-safe.
    """

    def __init__(self, capacity: int, weigh: Callable[[V], int]) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Hashable, V] = OrderedDict()
        self.flights: SingleFlight[Hashable, V] = SingleFlight()
        """The loads in flight."""
        self._lock = threading.Lock()
        renew_after_fork(self, WeightedCache._renew)

    @property
    def weight(self) -> int:
        """Bytes of all values together."""
        return self._weight

    def get(self, key: Hashable, load: Callable[[], V]) -> V:
        """Return the value of `key`, from the cache or from one `load()` for all threads.

        Raises what `load` raises: see `SingleFlight`.
        """
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
                return value
        return self.flights.do(key, partial(self._load, key, load))

    def _load(self, key: Hashable, load: Callable[[], V]) -> V:
        value = self.peek(key)  # another load may have ended since `get` looked
        if value is None:
            value = load()
            self.put(key, value)
        return value

    def peek(self, key: Hashable) -> V | None:
        """Return the value of `key` if it is cached, and touch it."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def newest(self, count: int) -> list[tuple[Hashable, V]]:
        """Return the keys and values that were used last, at most `count`."""
        with self._lock:
            return list(islice(reversed(self._values.items()), count))

    def clear(self) -> None:
        """Evict all values."""
        with self._lock:
            self._values.clear()
            self._weight = 0

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value that was loaded elsewhere, unless the key has one."""
        with self._lock:
            weight = self._weigh(value)
            if key in self._values or weight > self._capacity:
                return
            self._values[key] = value
            self._weight += weight
            while self._weight > self._capacity:
                _, oldest = self._values.popitem(last=False)
                self._weight -= self._weigh(oldest)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if self._lock.locked():  # by a thread that may have kept a value and not yet its weight
            self._values.clear()
            self._weight = 0
        self._lock = threading.Lock()
