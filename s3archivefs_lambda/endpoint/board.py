"""Figures of all workers, in memory that they share.

Each worker writes in a place of its own, and any can read all. So figures add up whoever is asked;
and one that takes another's place goes on with its figures: what counts up never goes back. (The
files of prometheus_client's multiprocess mode grow with each process that ever was, and to write
to one on a full disk ends the process.)
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["VALUES", "Board"]

VALUES = 24
"""Numbers in a row."""
_NAME_BYTES = 64
_ROW_BYTES = _NAME_BYTES + 8 * VALUES
_ROWS = 256
"""Rows in a place; the last one is for all that have no other."""


class Board:
    """Rows of numbers with a name each, in as many places as there are workers.

    Only one process, and in it one thread at a time, writes in a place.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        """How many there are."""
        # Anonymous and shared: of forked processes, and of nobody else.
        self._memory = memoryview(mmap.mmap(-1, places * _ROWS * _ROW_BYTES))

    def row(self, place: int, name: str) -> memoryview[float]:
        """Return the numbers of that name, to read and write; they begin at 0."""
        wanted = name.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")
        for number in range(_ROWS):
            row = self._row(place, number)
            found = row[:_NAME_BYTES]
            if found[0] == 0 and number < _ROWS - 1:
                found[:] = wanted
            if found == wanted:
                break
        return _numbers(row)

    def rows(self, place: int) -> Iterator[tuple[str, list[float]]]:
        """Yield the names in a place, and the numbers of each. The last one may have no name."""
        for number in range(_ROWS):
            row = self._row(place, number)
            name = bytes(row[:_NAME_BYTES]).rstrip(b"\0").decode(errors="replace")
            if name or number == _ROWS - 1:
                yield name, list(_numbers(row))

    def _row(self, place: int, number: int) -> memoryview:
        start = (place * _ROWS + number) * _ROW_BYTES
        return self._memory[start : start + _ROW_BYTES]


def _numbers(row: memoryview) -> memoryview[float]:
    return row[_NAME_BYTES:].cast("d")
