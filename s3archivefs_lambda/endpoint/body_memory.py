"""The memory of bodies on their way out: bounded in all, whatever their readers do.

Clients take turns, each known by its address, and none gets more than it leaves to others: one gets
half of the memory at most, the next a quarter. So it does not matter how many connections another
client has, or whether it reads.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BODY_BYTES", "HOLD_SECONDS", "BodyMemory"]

BODY_BYTES = 256 << 20
"""Pieces of bodies that are being made or sent, but for the first one of each answer: that is 1 MiB
at most, and is not waited with.
"""
HOLD_SECONDS = 10
"""How long a reader may take over one piece while others wait for memory."""


class Holder(Protocol):
    """What holds memory; it can be the key of a dictionary."""

    @property
    def address(self) -> str:
        """Of the client that it is for."""
        ...


@dataclass(slots=True)
class _Held:
    size: int
    since: float
    is_granted: bool
    """Or else it is a first piece."""


H = TypeVar("H", bound=Holder)


class BodyMemory(Generic[H]):
    """Who holds how much. On one thread; `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float], *, size: int = BODY_BYTES) -> None:
        self._clock = clock
        self._size = size
        self._left = size
        self._held: OrderedDict[H, _Held] = OrderedDict()
        self._by_client: Counter[str] = Counter()  # bytes that are held
        self._granted: Counter[str] = Counter()  # of them, those that were waited for
        self._waiting: OrderedDict[str, OrderedDict[H, tuple[int, Callable[[], None]]]] = (
            OrderedDict()
        )

    def let_hold(self, holder: H, size: int, then: Callable[[], None]) -> None:
        """Let it hold `size` bytes in place of what it holds, and call `then`: now or in turn."""
        self._forget(holder)
        of_client = self._waiting.setdefault(holder.address, OrderedDict())
        of_client[holder] = (min(size, self._size), then)
        self._grant()

    def hold(self, holder: H, size: int) -> None:
        """Note what it holds in truth."""
        before = self._held.get(holder)
        self._forget(holder)
        is_granted = before is not None and before.is_granted
        self._note(holder, _Held(size, self._clock(), is_granted))
        self._grant()

    def release(self, holder: H) -> None:
        """Forget it."""
        self._forget(holder)
        self._grant()

    @property
    def is_short(self) -> bool:
        """Whether some wait for it, or more is held than there is."""
        return bool(self._waiting) or self._by_client.total() > self._size

    def overdue(self) -> list[H]:
        """Those that have held theirs for too long, the longest first."""
        before = self._clock() - HOLD_SECONDS
        return [holder for holder, held in self._held.items() if held.since <= before]

    def in_the_way(self) -> list[H]:
        """Those of them that are to be cut off where it is short: of the client that holds most, or
        that waits itself. Nobody else's are what it is short of.
        """
        most = max(self._by_client, key=self._by_client.__getitem__, default="")
        return [
            holder
            for holder in self.overdue()
            if holder.address == most or holder.address in self._waiting
        ]

    def _note(self, holder: H, held: _Held) -> None:
        self._held[holder] = held
        self._count(holder.address, held.size, is_granted=held.is_granted)

    def _forget(self, holder: H) -> None:
        of_client = self._waiting.get(holder.address)
        if of_client is not None:
            of_client.pop(holder, None)
            if not of_client:
                del self._waiting[holder.address]
        held = self._held.pop(holder, None)
        if held is not None:
            self._count(holder.address, -held.size, is_granted=held.is_granted)

    def _count(self, address: str, size: int, *, is_granted: bool) -> None:
        self._by_client[address] += size
        if not self._by_client[address]:
            del self._by_client[address]
        if is_granted:
            self._left -= size
            self._granted[address] += size
            if not self._granted[address]:
                del self._granted[address]

    def _grant(self) -> None:
        while (granted := self._next()) is not None:
            holder, size, then = granted
            self._forget(holder)
            # What is being made is no fault of the reader's.
            self._note(holder, _Held(size, inf, is_granted=True))
            if holder.address in self._waiting:
                self._waiting.move_to_end(holder.address)
            then()

    def _next(self) -> tuple[H, int, Callable[[], None]] | None:
        for address, of_client in self._waiting.items():
            holder, (size, then) = next(iter(of_client.items()))
            if address not in self._granted:
                # Larger ones would never get theirs if others were let in before.
                return (holder, size, then) if size <= self._left else None
            if self._granted[address] + size <= self._left - size:
                return holder, size, then
        return None
