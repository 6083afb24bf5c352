"""The memory of bodies being sent: bounded in all, whatever their readers do.

Clients take turns by address, and each may hold at most half of what is free: the first half of
all, the next a quarter. So it does not matter how many connections another client has, or whether
it reads.
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
"""Bytes of all pieces of bodies that are being made or sent.

The first piece of an answer, `FIRST_PIECE_BYTES` at most, needs no grant. It counts only towards
which client is cut off when memory is short.
"""
HOLD_SECONDS = 10
"""Seconds that a reader may take over one piece while others wait for memory."""


class Holder(Protocol):
    """What holds memory; it can be the key of a dictionary."""

    @property
    def address(self) -> str:
        """The client's."""
        ...


@dataclass(slots=True)
class _Held:
    size: int
    since: float
    is_granted: bool
    """False for a first piece, which did not wait."""


H = TypeVar("H", bound=Holder)


class BodyMemory(Generic[H]):
    """Counts and grants the memory of bodies. For one thread; `clock` tells seconds."""

    def __init__(self, clock: Callable[[], float], *, size: int = BODY_BYTES) -> None:
        self._clock = clock
        self._size = size
        self._left = size
        self._held: OrderedDict[H, _Held] = OrderedDict()
        self._by_client: Counter[str] = Counter()  # bytes held
        self._granted: Counter[str] = Counter()  # bytes held that were granted
        self._waiting: OrderedDict[str, OrderedDict[H, tuple[int, Callable[[], None]]]] = (
            OrderedDict()
        )

    def request(self, holder: H, size: int, then: Callable[[], None]) -> None:
        """Grant `size` bytes in place of what the holder has; call `then`.

        That is at once, or when it is the client's turn.
        """
        self._forget(holder)
        of_client = self._waiting.setdefault(holder.address, OrderedDict())
        of_client[holder] = (min(size, self._size), then)
        self._grant()

    def hold(self, holder: H, size: int) -> None:
        """Note how much the holder has in fact."""
        before = self._held.get(holder)
        self._forget(holder)
        is_granted = before is not None and before.is_granted
        self._note(holder, _Held(size, self._clock(), is_granted))
        self._grant()

    def release(self, holder: H) -> None:
        """Note that the holder has nothing any more."""
        self._forget(holder)
        self._grant()

    @property
    def waiting(self) -> int:
        """How many wait for memory."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_short(self) -> bool:
        """Whether some wait for memory, or hold more than there is."""
        return bool(self._waiting) or self._by_client.total() > self._size

    def overdue(self) -> list[H]:
        """Return those that have held memory for too long, the longest first."""
        before = self._clock() - HOLD_SECONDS
        return [holder for holder, held in self._held.items() if held.since <= before]

    def cut_off_candidates(self) -> list[H]:
        """Return the overdue holders to cut off when memory is short.

        They are those of the client that holds most, and of clients that wait themselves. The
        memory of others is not what is missing.
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
            # While the piece is being made, the reader is not late.
            self._note(holder, _Held(size, inf, is_granted=True))
            if holder.address in self._waiting:
                self._waiting.move_to_end(holder.address)
            then()

    def _next(self) -> tuple[H, int, Callable[[], None]] | None:
        for address, of_client in self._waiting.items():
            holder, (size, then) = next(iter(of_client.items()))
            if address not in self._granted:
                # If smaller ones went first, a larger one would never get its memory.
                return (holder, size, then) if size <= self._left else None
            if self._granted[address] + size <= self._left - size:
                return holder, size, then
        return None
