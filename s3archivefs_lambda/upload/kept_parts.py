"""How an object gets bytes of another that it replaces: copied by S3, or sent.

S3 copies ranges of the old object as parts of the new one. No part but the last may be shorter than
5 MiB, and the first is sent, as it has the superblock. So long ranges are copied, and what lies
between them is fetched and sent, with as much of the next range as a part needs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LEAST_PART", "Kept", "KeptParts", "fetches"]

LEAST_PART = 5 << 20
"""Bytes of the shortest part that S3 takes but for the last."""
_COPIED = 1 << 30
"""Bytes of a copied part, about, where there are several: so few requests copy all."""
_MOST_COPIED = 5 << 30
"""Bytes of a copied part, at most: S3's limit."""
_COPIES = 500
"""Copied parts, at most, about: some stores take 1,000 parts in all."""
_FETCHED = 8 << 20
"""Bytes that one request fetches, at most."""
_FETCHED_GAP = 1 << 20
"""Bytes between two ranges that are fetched with both, rather than in two requests."""


class Kept(NamedTuple):
    """A range of the old object."""

    start: int
    end: int
    is_copied: bool
    """Whether S3 copies it as a part of its own; else it is sent."""


class KeptParts:
    """The ranges of an object that another keeps, by how each gets there.

    What is sent between two copies fills parts of `part_bytes`, in the order of the image.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]], part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._under_way = 0
        self._sent_parts = 0
        least = LEAST_PART
        self.pieces = self._cut(ranges, least)
        """All ranges, in order."""
        longest = max((end - start for start, end in ranges), default=0)
        while least < longest and self.copies > _COPIES:
            least *= 2
            self.pieces = self._cut(ranges, least)

    @property
    def copies(self) -> int:
        """The number of parts that S3 copies."""
        return sum(piece.is_copied for piece in self.pieces)

    @property
    def copied(self) -> int:
        """Bytes that S3 copies."""
        return sum(piece.end - piece.start for piece in self.pieces if piece.is_copied)

    def parts(self, size: int) -> int:
        """Return the number of parts of an object of `size` bytes, which begins with these."""
        kept = sum(piece.end - piece.start for piece in self.pieces)
        full, rest = self._filled(self._under_way, size - kept)
        return self._sent_parts + self.copies + full + bool(rest)

    def _cut(self, ranges: Sequence[tuple[int, int]], least: int) -> list[Kept]:
        """Cut ranges where S3 copies what has `least` bytes, and note the part under way."""
        pieces: list[Kept] = []
        self._under_way = self._sent_parts = 0
        most = min(_MOST_COPIED, max(_COPIED, -(-sum(e - s for s, e in ranges) // _COPIES)))
        for start, end in ranges:
            is_within = bool(pieces) and not self._under_way
            sent = 0 if is_within else max(0, LEAST_PART - self._under_way)
            if end - start - sent < max(least, LEAST_PART):
                pieces.append(Kept(start, end, is_copied=False))
                self._send(end - start)
                continue
            if sent:
                pieces.append(Kept(start, start + sent, is_copied=False))
                self._send(sent)
            pieces += _copies(start + sent, end, most)
            self._sent_parts += bool(self._under_way)
            self._under_way = 0
        return pieces

    def _send(self, length: int) -> None:
        full, self._under_way = self._filled(self._under_way, length)
        self._sent_parts += full

    def _filled(self, under_way: int, length: int) -> tuple[int, int]:
        """Return how many parts are filled, and the bytes of the next."""
        total = under_way + length
        full = max(0, -(-total // self._part_bytes) - 1)
        return full, total - full * self._part_bytes


def fetches(pieces: Sequence[Kept]) -> Iterator[list[tuple[int, int]]]:
    """Yield what is sent, in groups of ranges that are fetched together."""
    group: list[tuple[int, int]] = []
    for piece in pieces:
        if piece.is_copied:
            if group:
                yield group
            group = []
            continue
        for start in range(piece.start, piece.end, _FETCHED):
            end = min(piece.end, start + _FETCHED)
            if group and (start - group[-1][1] > _FETCHED_GAP or end - group[0][0] > _FETCHED):
                yield group
                group = []
            group.append((start, end))
    if group:
        yield group


def _copies(start: int, end: int, most: int) -> list[Kept]:
    count = -(-(end - start) // most)
    bounds = [start + (end - start) * number // count for number in range(count + 1)]
    return [Kept(first, last, is_copied=True) for first, last in pairwise(bounds)]
