"""`RawFile`: the content of a file, as the raw file below a buffer."""

from __future__ import annotations

import errno
import io
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from s3archivefs.content import Content

__all__ = ["BUFFER_SIZE", "RawFile"]

BUFFER_SIZE = 64 << 10
"""Bytes buffered for lines and small reads; fewer for a smaller file."""
_CLOSED = "I/O operation on closed file"


class RawFile(io.RawIOBase):
    """The content as the raw file that `io.BufferedReader` needs."""

    mode = "rb"
    closed = False  # read for every line: 30 ns where the property needs 50
    position = 0
    reading_thread: int | None = None
    lost = False
    """Whether filling the buffer failed within a line, whose start was lost with the buffer."""

    def __init__(self, content: Content, name: str | bytes) -> None:
        super().__init__()
        self.name = name
        self._content = content

    def readable(self) -> bool:
        """Return True; raise ValueError once closed."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """Return True; raise ValueError once closed."""
        self._check_open()
        return True

    def tell(self) -> int:
        """Return the position; raise ValueError once closed."""
        if self.closed:  # not by _check_open: a call would cost more at every read
            raise ValueError(_CLOSED)
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position, which may lie behind the end; return it."""
        if self.closed:
            raise ValueError(_CLOSED)
        if whence == os.SEEK_CUR:
            offset += self.position
        elif whence == os.SEEK_END:
            offset += self._content.size
        elif whence:
            raise ValueError(f"whence is {whence}; 0, 1 and 2 are known")
        if offset < 0:
            # As a file on disk: zipfile, for one, tries and goes by OSError.
            raise OSError(errno.EINVAL, f"cannot seek to byte {offset}")
        self.position = offset
        self.lost = False
        return offset

    def close(self) -> None:
        """Drop what was fetched ahead."""
        self.closed = True
        self._content.close()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer from the position, and move on; return the bytes read.

        A buffer of at most `BUFFER_SIZE` is filled for later reads: it gets the rest of one block,
        since fetching the next may be in vain.
        """
        self.reading_thread = threading.get_ident()
        try:
            view = memoryview(buffer).cast("B")
            size = len(view)
            if size <= BUFFER_SIZE:
                size = min(size, self._content.left_of_block(self.position))
            at = 0
            for piece in self.pieces(self.position + size):
                view[at : at + len(piece)] = piece
                at += len(piece)
            self._check_open()  # again: the image may have been closed meanwhile
            self.position += at
        except BaseException:
            self.lost = True
            raise
        finally:
            self.reading_thread = None
        return at

    def pieces(self, stop: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes from the position to `stop`, without moving."""
        self.check_position()
        stop = min(stop, self._content.size)
        if stop > self.position:
            yield from self._content.pieces(self.position, stop)

    def check_position(self) -> None:
        """Refuse to read on within a line whose start was lost."""
        if self.lost:
            raise OSError(f"a read of a line of {self.name!r} failed: seek before the next read")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(_CLOSED)
