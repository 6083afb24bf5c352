"""The contents that an image holds already, by their SHA-256, in 56 bytes each.

A dict would take 190 bytes for each content, 190 MB for a million files.
"""

from __future__ import annotations

import sys
from array import array

__all__ = ["KnownContents"]

_DIGEST = 32  # bytes of a SHA-256
_HEAD = 8  # bytes of it, by which its slot is chosen: an item of an array "Q"
_FREE = (1 << 32) - 1
_LOAD = 2 / 3
"""The share of slots in use from which their number is doubled."""


class KnownContents:
    """Numbers by SHA-256; a hash table of open addressing."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._numbers = array("Q")
        self._asked = b"", 0
        """The digest that was asked for last, and its slot, unless one was added since."""
        self._resize(1 << 10)

    def __len__(self) -> int:
        return len(self._numbers)

    def get(self, digest: bytes) -> int | None:
        """Return the number of a content, or None if it is unknown."""
        self._asked = digest, (slot := self._slot(digest))
        item = self._slots[slot]
        return None if item == _FREE else self._numbers[item]

    def add(self, digest: bytes, number: int) -> None:
        """Note the number of a content that is unknown."""
        asked, slot = self._asked
        if asked is not digest:  # mostly it was just asked for
            slot = self._slot(digest)
        self._asked = b"", 0
        self._slots[slot] = len(self._numbers)
        self._digests += digest
        self._numbers.append(number)
        if len(self._numbers) > self._limit:
            self._resize(2 * len(self._slots))

    def _slot(self, digest: bytes) -> int:
        """Return the slot that holds the digest, or the free one that would."""
        slots, digests, mask = self._slots, self._digests, self._mask
        slot = int.from_bytes(digest[:_HEAD], sys.byteorder) & mask
        while (item := slots[slot]) != _FREE:
            if digests.startswith(digest, item * _DIGEST):
                return slot
            slot = (slot + 1) & mask
        return slot

    def _resize(self, count: int) -> None:
        self._slots = array("I", bytes(b"\xff" * (4 * count)))
        self._mask = count - 1
        self._limit = int(count * _LOAD)
        slots, mask = self._slots, self._mask
        with memoryview(self._digests).cast("Q") as words, words[:: _DIGEST // _HEAD] as heads:
            for item, head in enumerate(heads):  # all differ: none is compared
                slot = head & mask
                while slots[slot] != _FREE:
                    slot = (slot + 1) & mask
                slots[slot] = item
