"""Chunks that did not decode: each is fetched anew at once, then at intervals."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SuspectChunks"]

_MOST = 4096
"""Chunks remembered, 200 bytes each; more damage is not tracked."""
_AGAIN_SECONDS = 60.0
"""Seconds until the same copy is doubted again: the store may be well by then."""


class SuspectChunks:
    """The copy of each chunk that was doubted last. Not thread-safe: its owner has a lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # By chunk: the digest of the copy, its number among all doubts, and when it was doubted.
        self._doubted: OrderedDict[int, tuple[bytes, int, float]] = OrderedDict()
        self._parts: set[int] = set()  # chunks of which only a part was known
        self._awaiting: set[int] = set()  # chunks of which no other copy has come yet
        self.count = 0
        """The number of doubts so far, of all chunks."""

    def doubted_since(self, index: int, count: int) -> bool:
        """Return whether a copy of a chunk was doubted after the first `count` doubts."""
        return index in self._doubted and self._doubted[index][1] > count

    def add(self, index: int, copy: bytes | memoryview, *, is_part: bool = False) -> bool:
        """Doubt a copy of a chunk, or of a part if `is_part`.

        Return False if the same copy was doubted less than a minute ago: fetched anew, the chunk
        was no different, so that is what the store has at the moment.
        """
        digest = _digest(copy)
        now = self._clock()
        before, _, at = self._doubted.get(index, (b"", 0, now))
        if digest == before and now - at < _AGAIN_SECONDS:
            self._doubted.move_to_end(index)
            return False
        self.count += 1
        self._awaiting.add(index)
        self._doubted[index] = digest, self.count, now
        self._doubted.move_to_end(index)
        (self._parts.add if is_part else self._parts.discard)(index)
        if len(self._doubted) > _MOST:
            oldest, _ = self._doubted.popitem(last=False)
            self._awaiting.discard(oldest)
            self._parts.discard(oldest)
        return True

    def awaits_refetch(self, index: int) -> bool:
        """Return whether a chunk was doubted, and no other copy has come yet."""
        return index in self._awaiting

    def settles(self, index: int, copy: bytes | memoryview) -> bool:
        """Return whether a new copy is the first that differs from a doubted one.

        False if only a part of the doubted copy was known.
        """
        if index not in self._awaiting:
            return False
        self._awaiting.remove(index)
        return index not in self._parts and self._doubted[index][0] != _digest(copy)


def _digest(copy: bytes | memoryview) -> bytes:
    return hashlib.blake2b(copy, digest_size=16).digest()
