"""The memory of bodies on their way out: bounded in all, whatever their readers do."""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BODY_BYTES", "HOLD_SECONDS", "BodyMemory"]

BODY_BYTES = 256 << 20
"""Pieces of bodies that are being made or sent. The first one of each answer, at most 1 MiB, is not
waited with, but counts.
"""
HOLD_SECONDS = 10
"""How long a reader may take over one piece while others wait for memory."""

H = TypeVar("H")


class BodyMemory(Generic[H]):
    """Who holds how much. On one thread; `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float], *, size: int = BODY_BYTES) -> None:
        self._clock = clock
        self._left = size
        self._held: OrderedDict[H, tuple[int, float]] = OrderedDict()  # bytes, since when
        self._waiting: OrderedDict[H, tuple[int, Callable[[], None]]] = OrderedDict()
        self._size = size

    def let_hold(self, holder: H, size: int, then: Callable[[], None]) -> None:
        """Let it hold `size` bytes in place of what it holds, and call `then`: now or in turn."""
        self.release(holder)
        self._waiting[holder] = (min(size, self._size), then)
        self._grant()

    def hold(self, holder: H, size: int) -> None:
        """Note what it holds in truth."""
        self._let_go(holder)
        self._note(holder, size, self._clock())
        self._grant()

    def release(self, holder: H) -> None:
        """Forget it."""
        self._waiting.pop(holder, None)
        self._let_go(holder)
        self._grant()

    @property
    def is_short(self) -> bool:
        """Whether some wait for it, or more is held than there is."""
        return bool(self._waiting) or self._left < 0

    def overdue(self) -> list[H]:
        """Those that have held theirs for too long, the longest first: where it is short, they are
        to be cut off.
        """
        before = self._clock() - HOLD_SECONDS
        return [holder for holder, (_, since) in self._held.items() if since <= before]

    def _note(self, holder: H, size: int, since: float) -> None:
        self._held[holder] = (size, since)
        self._left -= size

    def _let_go(self, holder: H) -> None:
        size, _ = self._held.pop(holder, (0, 0))
        self._left += size

    def _grant(self) -> None:
        while self._waiting:
            holder, (size, then) = next(iter(self._waiting.items()))
            if size > self._left:
                return
            del self._waiting[holder]
            self._note(holder, size, inf)  # what is being made is no fault of the reader's
            then()
