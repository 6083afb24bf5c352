"""What a reader of one file lets its device fetch ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3archivefs.data import Content

__all__ = ["ReadAhead"]

_AHEAD_ANNOUNCED = 32 << 20
"""Bytes of content that a reader may be ahead from the start, where it was said what will be read.
"""
_AHEAD_MAX = 48 << 20
"""And at most: twelve requests of 4 MiB in parallel, of which each takes some 75 ms (20 until it is
answered, the rest at 80 MB/s). Without end, as mountpoint-s3 has it (2 GiB), takes memory that a
function has not.
"""
_AHEAD_STEP = 128 << 10
"""Less is not worth a hint."""
_AHEAD_AGAIN = 4 << 20
"""So much is read before what the device had no room for is offered again."""


class ReadAhead:
    """Tells the device what a sequential reader will want: as much ahead as it has read in
    sequence, hence twice as much each time, and nothing once it seeks.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._begun = self._next = -1
        """Where the sequence began, and where a read that continues it begins."""
        self._hinted = self._offered_again = 0
        self._stop = content.size

    def announce(self, start: int, stop: int) -> None:
        """What will be read."""
        self._begun, self._next = start - _AHEAD_ANNOUNCED, start
        self._hinted, self._offered_again = start, 0
        self._stop = min(stop, self._content.size)

    def before_read(self, start: int, stop: int) -> None:
        """Hint at what lies behind a read of [start, stop), and again at what was not taken up."""
        if start != self._next:
            self._begun, self._hinted, self._stop = start, stop, self._content.size
            self._offered_again, self._next = 0, stop
            return
        self._next = stop
        window = min(stop - self._begun, _AHEAD_MAX)
        step = max(window // 6, _AHEAD_STEP)
        begin, end = max(self._hinted, stop), min(stop + window, self._stop)
        if stop >= self._offered_again and (end - begin >= step or begin < end == self._stop):
            self._hinted = self._content.prefetch(begin, end)
            self._offered_again = stop + _AHEAD_AGAIN if self._hinted < end else 0
