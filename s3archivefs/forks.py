"""What a forked child puts right before it goes on: locks that another thread of its parent held,
work that such a thread had under way, pools of threads that the child has not.

Who owns any of these registers once, when it is made:

    class Cache:
        def __init__(self):
            self._lock = threading.Lock()
            renew_after_fork(self, Cache._renew)

        def _renew(self):
            if self._lock.locked():  # by a thread that was amid a change
                self._values.clear()
            self._lock = threading.Lock()

Taking the locks before the fork instead, as `logging` does, would let whatever a thread does under
one of them hold up the fork, and two of them taken in another order stop the parent.
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
    """Have every forked child call `renew(owner)` before anything else runs in it, for as long as
    `owner` lives.

    The child has one thread, the one that forked, and memory as it was at that moment. `renew`
    replaces the locks, forgets what other threads had under way and closes what cannot be shared;
    it waits for nothing and reads nothing, and should hold no reference to `owner` itself: pass the
    class's function. An exception of one renewal is printed and hinders no other.
    """
    number = next(_numbers)
    _renewals[number] = weakref.ref(owner, lambda _: _renewals.pop(number, None)), renew


def _renew_all() -> None:  # pragma: no cover -- in forked processes, which nothing measures
    with ExitStack() as renewals:  # which goes on past one that raises
        for reference, renew in list(_renewals.values()):
            if (owner := reference()) is not None:
                renewals.callback(renew, owner)


os.register_at_fork(after_in_child=_renew_all)
