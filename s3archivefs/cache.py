"""What is kept once it was made: an attribute of one object, and many values in a
least-recently-used cache, bounded in bytes, that loads each missing one once however many threads
want it.
"""

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
    """An attribute that is made on first use, as by `functools.cached_property`, without its lock.

    Until Python 3.12 that lock is one for all instances and is held while the value is made: one
    slow store would hold up the readers of all others, and a child of a fork for ever. Threads that
    come at once each make the value.
    """

    def __init__(self, make: Callable[[Any], V]) -> None:
        self._make = make

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> V:
        value = instance.__dict__[self._name] = self._make(instance)
        return value


class WeightedCache(Generic[V]):
    """Thread-safe LRU cache of values whose `weigh(value)`, in bytes, add up to at most `capacity`.

    A value heavier than the whole capacity is returned but not kept.
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
        """Of all values together, in bytes."""
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
        """The value of `key` if it is cached, as one use of it."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def newest(self, count: int) -> list[tuple[Hashable, V]]:
        """The keys and values that were used last, at most `count`."""
        with self._lock:
            return list(islice(reversed(self._values.items()), count))

    def clear(self) -> None:
        """Keep nothing of what was loaded."""
        with self._lock:
            self._values.clear()
            self._weight = 0

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value that was loaded elsewhere."""
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
