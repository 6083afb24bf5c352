"""Repairs that a forked child makes before it goes on.

A child has only the thread that forked. Locks that another thread held stay locked, work that it
had in flight never ends, and the threads of a pool do not exist. The owner of any of these
registers once, in its `__init__`:

    class Cache:
        def __init__(self):
            self._lock = Lock()
            renew_after_fork(self, Cache._renew)

        def _renew(self):
            if not self._lock.acquire(blocking=False):  # another thread is amid a change
                self._values.clear()
            self._lock = Lock()

The alternative, taking all locks before the fork as `logging` does, would make the fork wait for
whatever a thread does under one of them, and could deadlock the parent where two are taken in
another order.
"""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["renew_after_fork"]

T = TypeVar("T")

_numbers = count()
_renewals: dict[int, tuple[weakref.ref[Any], Callable[[Any], None]]] = {}


def renew_after_fork(owner: T, renew: Callable[[T], None]) -> None:
    """Have every forked child call `renew(owner)` before anything else runs there.

    This holds for as long as `owner` lives. The child has one thread, the one that forked, and
    memory as it was at that moment. `renew` replaces the locks, drops what other threads had in
    flight and closes what cannot be shared. It must not wait or read, and should hold no reference
    to `owner` itself: pass the class's function. An exception of one `renew` is printed and does
    not stop the others.
    """
    number = next(_numbers)
    _renewals[number] = weakref.ref(owner, lambda _: _renewals.pop(number, None)), renew


def _renew_all() -> None:  # pragma: no cover -- in forked processes, which nothing measures
    with ExitStack() as renewals:  # which calls the rest where one raises
        for reference, renew in list(_renewals.values()):
            if (owner := reference()) is not None:
                renewals.callback(renew, owner)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew_all)
