"""Which chunks of a device did not decode, so that each is fetched anew once, then at intervals."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Doubts"]

_MOST = 4096
"""Chunks remembered, 200 bytes each: an archive with more that are damaged is past helping."""
_AGAIN_SECONDS = 60.0
"""After the same copy of a chunk was doubted, until it is again: the store may be well by then."""


class Doubts:
    """What was doubted last of each chunk. Its owner sees to threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By chunk: the digest of the copy, how many doubts there were with it, and when it was.
        self._doubts: OrderedDict[Hashable, tuple[bytes, int, float]] = OrderedDict()
        self._parts: set[Hashable] = set()  # those whose digest is of a part of it
        self._open: set[Hashable] = set()  # those of which no other copy has come yet
        self.count = 0
        """How many there were, of all chunks."""

    def since(self, what: Hashable, count: int) -> bool:
        """Whether a copy of it was doubted after there were so many."""
        return what in self._doubts and self._doubts[what][1] > count

    def add(self, what: Hashable, copy: bytes | memoryview, *, is_part: bool = False) -> bool:
        """Doubt a copy of a chunk, or of a part of it where there is no more.

        Return False where the same copy was doubted just before: fetched anew it was no different,
        so that is what the store has at the moment.
        """
        digest = _digest(copy)
        now = self._clock()
        before, _, at = self._doubts.get(what, (b"", 0, now))
        if digest == before and now - at < _AGAIN_SECONDS:
            self._doubts.move_to_end(what)
            return False
        self.count += 1
        self._open.add(what)
        self._doubts[what] = digest, self.count, now
        self._doubts.move_to_end(what)
        (self._parts.add if is_part else self._parts.discard)(what)
        if len(self._doubts) > _MOST:
            oldest, _ = self._doubts.popitem(last=False)
            self._open.discard(oldest)
            self._parts.discard(oldest)
        return True

    def is_open(self, what: Hashable) -> bool:
        """Whether it was doubted, and no other copy has come yet."""
        return what in self._open

    def settles(self, what: Hashable, copy: bytes | memoryview) -> bool:
        """Whether this copy, which has just come, is the first that differs from a doubted one, as
        far as the whole of that was known.
        """
        if what not in self._open:
            return False
        self._open.remove(what)
        return what not in self._parts and self._doubts[what][0] != _digest(copy)


def _digest(copy: bytes | memoryview) -> bytes:
    return hashlib.blake2b(copy, digest_size=16).digest()
