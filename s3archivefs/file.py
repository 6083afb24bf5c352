"""`SquashFile`: the file object over a file's content, and what it lets its device read ahead."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from s3archivefs.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from s3archivefs.data import Content
    from s3archivefs.limits import Limits

__all__ = ["SquashFile"]

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


class _ReadAhead:
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


class SquashFile(io.RawIOBase):
    """A regular file of the image, opened for reading: seekable, independent of others, not shared
    between threads.

    A read returns all the bytes asked for, up to the end of the file.

    Reading raises FormatError where the content is damaged, LimitExceededError where the block list
    is longer than Limits.block_list_bytes, ValueError once closed, and what the device raises.

    Format: "Data and Fragment Blocks", "Fragment Table".
    """

    def __init__(self, content: Content, name: str | bytes, limits: Limits) -> None:
        super().__init__()
        self.name = name
        self.mode = "rb"
        self._content = content
        self._limits = limits
        self._position = 0
        self._ahead = _ReadAhead(content) if content.can_prefetch else None

    def readable(self) -> bool:
        """Always true."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """Always true."""
        self._check_open()
        return True

    def tell(self) -> int:
        """The position, in bytes from the start."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to `offset` bytes from the start, the position or the end; past the end is allowed
        and reads nothing.
        """
        self._check_open()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._content.size}
        if whence not in bases:
            raise ValueError(f"whence is {whence}; 0, 1 and 2 are known")
        position = bases[whence] + offset
        if position < 0:
            raise ValueError(f"cannot seek to byte {position}")
        self._position = position
        return position

    def will_read(self, stop: int) -> None:
        """Announce that all from the position to byte `stop` will be read in order.

        A device that can prefetch then begins at once, and goes no further. Unannounced, it is told
        as soon as reads follow each other.
        """
        self._check_open()
        if self._ahead is not None:
            self._ahead.announce(self._position, stop)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer from the position, as far as the file goes; the bytes read."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        at = 0
        for piece in self._take(len(view)):
            view[at : at + len(piece)] = piece
            at += len(piece)
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all that is left; fewer only at the end of the file.

        Raises LimitExceededError where all that is left is more than Limits.read_all_bytes.
        """
        self._check_open()
        if size is None or size < 0:
            size = max(0, self._content.size - self._position)
            if size > self._limits.read_all_bytes:
                raise LimitExceededError("read_all_bytes", size, self._limits.read_all_bytes)
        pieces = list(self._take(size))
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return pieces[0]
        return b"".join(pieces)

    def write(self, _data: object, /) -> int:
        """Refused, as by any file opened for reading."""
        raise io.UnsupportedOperation("not writable")

    def readall(self) -> bytes:
        """As `read()`."""
        return self.read()

    def _take(self, size: int) -> Iterator[bytes | memoryview]:
        """The pieces of the next `size` bytes, moving on with each."""
        stop = min(self._position + size, self._content.size)
        if stop > self._position:
            if self._ahead is not None:
                self._ahead.before_read(self._position, stop)
            for piece in self._content.pieces(self._position, stop):
                self._position += len(piece)
                yield piece

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
