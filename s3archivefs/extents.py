"""Ranges of an image's bytes that something refers to; what lies between them is dead."""

from __future__ import annotations

from array import array

__all__ = ["Extents"]


class Extents:
    """Ranges, added in any order; some may overlap. One takes 16 bytes."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")

    def add(self, start: int, length: int) -> None:
        """Add the bytes from `start` on; one that follows the last one makes it longer."""
        if not length:
            return
        if self._ends and self._ends[-1] == start:
            self._ends[-1] += length
            return
        self._starts.append(start)
        self._ends.append(start + length)

    def merged(self) -> list[tuple[int, int]]:
        """Return start and end of all ranges, in order, those that touch as one."""
        found: list[tuple[int, int]] = []
        for number in sorted(range(len(self._starts)), key=self._starts.__getitem__):
            start, end = self._starts[number], self._ends[number]
            if found and start <= found[-1][1]:
                found[-1] = found[-1][0], max(found[-1][1], end)
            else:
                found.append((start, end))
        return found

    def left_out(self, start: int, end: int) -> int:
        """Return how many of the bytes [start, end) are in no range."""
        inside = sum(max(0, min(end, last) - max(start, first)) for first, last in self.merged())
        return max(0, end - start) - inside
