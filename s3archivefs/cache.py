"""Two caches: an attribute made on first use, and one of values, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from s3archivefs.forks import renew_after_fork
from s3archivefs.locks import Lock
from s3archivefs.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["WeightedCache", "kept_property"]

V = TypeVar("V")

_ROOMY_SHARE = 4  # one such part of a cache is for values that may not be asked for again


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


class _Slot(Generic[V]):
    """A cached value, and when it was used."""

    __slots__ = ("spared", "used", "value", "weight")

    def __init__(self, value: V, weight: int, now: int) -> None:
        self.value = value
        self.weight = weight
        self.used = now
        """The moment of the last use; that it was put in counts as one."""
        self.spared = now
        """The moment of the last use that counts no more for its stay."""


class WeightedCache(Generic[V]):
    """A cache of values whose weights add up to at most `capacity` bytes.

    Values are evicted in the order in which they came, but one that was used meanwhile is spared
    once more (second chance): nearly LRU, and a hit moves nothing. `weigh(value)` returns the
    weight of a value, which is never None. A value heavier than the capacity is returned but not
    kept. What `lender` leaves free of its capacity may be used besides, until that needs it itself.
    Thread-safe.
    """

    # A hit takes no lock: it is one look-up, which the dict itself protects (by the GIL, or by the
    # dict's own lock in a free-threaded build), and one attribute set, of which the last one wins.
    # At worst it marks a value that is being evicted, or gives a moment that another has passed.

    def __init__(
        self,
        capacity: int,
        weigh: Callable[[V], int],
        *,
        lender: WeightedCache[Any] | None = None,
    ) -> None:
        self._capacity = capacity
        self._lender = lender
        self._borrower: WeightedCache[Any] | None = None
        if lender is not None:
            lender._borrower = self  # noqa: SLF001 -- one of its own kind
        self._weigh = weigh
        self._weight = 0
        self._slots: OrderedDict[Hashable, _Slot[V]] = OrderedDict()
        self._now = count().__next__  # a moment is the number of a use
        self.flights: SingleFlight[Hashable, V] = SingleFlight()
        """The loads in flight."""
        self._lock = Lock()
        renew_after_fork(self, WeightedCache._renew)

    @property
    def weight(self) -> int:
        """Bytes of all values together."""
        return self._weight

    @property
    def free(self) -> int:
        """Bytes of the capacity that no value takes."""
        return self._capacity - self._weight

    def peek(self, key: Hashable) -> V | None:
        """Return the value of `key` if it is cached, and touch it."""
        slot = self._slots.get(key)
        if slot is None:
            return None
        slot.used = self._now()
        return slot.value

    def get(self, key: Hashable, load: Callable[[], V]) -> V:
        """Return the value of `key`, from the cache or from one `load()` for all threads.

        Raises what `load` raises: see `SingleFlight`.
        """
        value = self.peek(key)
        return self.flights.do(key, partial(self._load, key, load)) if value is None else value

    def _load(self, key: Hashable, load: Callable[[], V]) -> V:
        value = self.peek(key)  # another load may have ended since `get` looked
        if value is None:
            value = load()
            self.put(key, value)
        return value

    def newest(self, most: int) -> list[tuple[Hashable, V]]:
        """Return the keys and values that were used last, at most `most`."""
        with self._lock:
            slots = [*self._slots.items()]
        slots.sort(key=lambda item: item[1].used, reverse=True)
        return [(key, slot.value) for key, slot in slots[:most]]

    def clear(self) -> None:
        """Evict all values."""
        with self._lock:
            self._slots.clear()
            self._weight = 0

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value that was loaded elsewhere, unless the key has one."""
        with self._lock:
            weight = self._weigh(value)
            if key in self._slots or weight > self._capacity:
                return
            self._slots[key] = _Slot(value, weight, self._now())
            self._weight += weight
            self._evict_surplus()
            if self._borrower is not None:  # which never waits for this cache's lock
                self._borrower.give_back()

    def put_if_roomy(self, key: Hashable, value: V) -> None:
        """Keep a value that nobody may ask for again, while there is room."""
        if self._weight < self._capacity // _ROOMY_SHARE:
            self.put(key, value)

    def give_back(self) -> None:
        """Evict what the lender has no room for any more."""
        with self._lock:
            self._evict_surplus()

    def _evict_surplus(self) -> None:
        most = self._capacity
        if self._lender is not None:
            most += self._lender.free
        while self._weight > most:
            self._evict_or_spare()

    def _evict_or_spare(self) -> None:
        key, oldest = next(iter(self._slots.items()))
        if oldest.used == oldest.spared:
            del self._slots[key]
            self._weight -= oldest.weight
        else:
            oldest.spared = oldest.used
            self._slots.move_to_end(key)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if not self._lock.acquire(blocking=False):  # a value may be kept, and not yet its weight
            self._slots.clear()
            self._weight = 0
        self._lock = Lock()
