"""`SquashFile`: the file object over a file's content."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING, NoReturn, Protocol, SupportsIndex

from s3archivefs.content import joined
from s3archivefs.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from s3archivefs.content import Content
    from s3archivefs.limits import Limits

__all__ = ["SquashFile", "check_limit", "open_content"]

_BUFFER_SIZE = 64 << 10
"""Bytes of content that wait for lines and small reads; less for a smaller file."""
_CLOSED = "I/O operation on closed file"


class Image(Protocol):
    """What a file is opened through, again where it is wanted in another process."""

    def open(self, path: str | bytes) -> SquashFile:
        """A file, for bytes."""


class _Raw(io.RawIOBase):
    """The content as `io.BufferedReader` wants it."""

    mode = "rb"
    closed = False  # asked for at every line: 30 ns instead of 50
    position = 0
    reading_thread: int | None = None
    lost = False
    """Whether a fill of the buffer failed: amid a line, whose begin is gone with the buffer."""

    def __init__(self, content: Content, name: str | bytes) -> None:
        super().__init__()
        self.name = name
        self._content = content

    def readable(self) -> bool:
        self._check_open()
        return True

    def seekable(self) -> bool:
        self._check_open()
        return True

    def tell(self) -> int:
        if self.closed:  # not by a call of _check_open: this is asked at every read
            raise ValueError(_CLOSED)
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if self.closed:
            raise ValueError(_CLOSED)
        if whence == os.SEEK_CUR:
            offset += self.position
        elif whence == os.SEEK_END:
            offset += self._content.size
        elif whence:
            raise ValueError(f"whence is {whence}; 0, 1 and 2 are known")
        if offset < 0:
            raise ValueError(f"cannot seek to byte {offset}")
        self.position = offset
        self.lost = False
        return offset

    def close(self) -> None:
        self.closed = True
        self._content.close()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, moving on; no more than `_BUFFER_SIZE` is wanted for later, and fetches
        no block beside the one that is read.
        """
        self.reading_thread = threading.get_ident()
        try:
            view = memoryview(buffer).cast("B")
            size = len(view)
            if size <= _BUFFER_SIZE:
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
        """The bytes from the position to `stop`, without moving."""
        self.check_found()
        stop = min(stop, self._content.size)
        if stop > self.position:
            yield from self._content.pieces(self.position, stop)

    def check_found(self) -> None:
        """Refuse to go on amid a line of which a part is lost."""
        if self.lost:
            raise OSError(f"a read of a line of {self.name!r} failed: seek before the next read")

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(_CLOSED)


class SquashFile(io.BufferedReader):
    """A regular file of the image, opened for reading bytes: seekable, independent of others, not
    shared between threads. Its lines take about twice the time of a local file's, decompression
    included.

    A read returns all the bytes asked for, up to the end of the file; one that fails moves nothing
    and can be repeated. Where a read of a line failed, of text any but of all, the position is not
    known: further reads raise OSError until `seek`. Lines, and small reads that follow each other,
    are served from a buffer of up to 64 KiB; others pass it by.

    Reading raises FormatError where the content is damaged, LimitExceededError where the block list
    is longer than Limits.block_list_bytes, ValueError once the file or its image is closed, and
    what the device raises.

    Format: "Data and Fragment Blocks", "Fragment Table".
    """

    closed = False  # as that of its raw file, for lines of text
    _next = 0
    """Where a read begins that continues the last one."""

    def __init__(self, content: Content, name: str | bytes, limits: Limits, image: Image) -> None:
        self._raw = _Raw(content, name)
        self.image = image
        self._content = content
        self._limits = limits
        super().__init__(self._raw, max(1, min(content.size, _BUFFER_SIZE)))

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._content.size

    @property
    def line_limit(self) -> int:
        """Bytes that a line may have, or all that is left: Limits.read_all_bytes."""
        return self._limits.read_all_bytes

    def will_read(self, stop: int) -> None:
        """Announce that all from the position to byte `stop` will be read in order.

        A device that can fetch ahead does so from the next read on, and goes no further.
        Unannounced, it does so as soon as reads follow each other.
        """
        self.tell()  # raises where the file is closed
        self._content.will_read(self._raw.position, min(stop, self._content.size))

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all that is left; fewer only at the end of the file.

        Raises LimitExceededError where all that is left is more than Limits.read_all_bytes.
        """
        start = self._begun()
        if size is None or size < 0:
            size = max(0, self._content.size - start)
            check_limit(size, self._limits.read_all_bytes)
        try:
            if self._is_buffered(start, size):
                return super().read(size)
            if self._raw.position > start:
                return joined(self._take(start, size))
            content = self._content.part(start, min(start + size, self._content.size))
            super().seek(start + len(content))
        except BaseException:
            self._back_to(start)
            raise
        return content

    def readall(self) -> bytes:
        """As `read()`."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer from the position, as far as the file goes; the bytes read."""
        view = memoryview(buffer).cast("B")
        start = self._begun()
        try:
            if self._is_buffered(start, len(view)):
                return super().readinto(view)
            at = 0
            for piece in self._take(start, len(view)):
                view[at : at + len(piece)] = piece
                at += len(piece)
        except BaseException:
            self._back_to(start)
            raise
        return at

    def peek(self, size: int = 0, /) -> bytes:
        """Some bytes from the position, at least one but at the end, without moving."""
        start = self._begun()
        try:
            return super().peek(size)
        except BaseException:
            self._back_to(start)
            raise

    def write(self, _data: object, /) -> int:
        """Refused, as by any file opened for reading."""
        raise io.UnsupportedOperation("not writable")

    def detach(self) -> NoReturn:
        """Refused: nothing reads the content without the file."""
        raise io.UnsupportedOperation("detach")

    def _is_buffered(self, start: int, size: int) -> bool:
        """Whether a read is one of what is buffered, or a small one of one block that continues the
        last, with more to come behind it. All of any other is read at once: its blocks in one
        piece, and none that is not wanted.
        """
        stop = start + size
        continues, self._next = start == self._next, stop
        if stop <= self._raw.position:
            return True
        if not continues or stop >= self._content.size:
            return False
        return size <= min(_BUFFER_SIZE, self._content.left_of_block(start))

    def _begun(self) -> int:
        """Where a read begins."""
        start = self.tell()
        self._raw.check_found()
        return start

    def _back_to(self, start: int) -> None:
        """Undo what of a failed read was done."""
        if not self.closed:
            super().seek(start)

    def _take(self, start: int, size: int) -> Iterator[bytes | memoryview]:
        """The pieces of the next `size` bytes: what is buffered, then past the buffer."""
        stop = max(start, min(start + size, self._content.size))
        if (buffered := min(self._raw.position, stop) - start) > 0:
            yield super().read(buffered)
        if stop - start <= self._content.left_of_block(start):
            yield self._content.part(self._raw.position, stop)
        else:
            yield from self._raw.pieces(stop)
        super().seek(stop)

    def close(self) -> None:
        """Close the file, without waiting for a thread that is reading: its read fails. What it has
        read stays with the image's caches.
        """
        try:
            if self._raw.reading_thread is None:
                super().close()
            else:  # with the buffer's lock held, and nothing in the buffer
                self._raw.close()
        finally:
            self.closed = True

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> tuple[object, ...]:
        """Opened anew in another process, through its image, where it stands."""
        return _reopened, (self.image, self.name, self.tell())

    def renew_after_fork(self) -> None:
        """In a forked child, make the file readable whatever its parent's threads did with it: one
        of them may hold the lock of its buffer, which nothing tells. One that was being closed is
        closed.
        """
        raw = self._raw
        if raw.reading_thread == threading.get_ident():  # which goes on here, and lets go of it
            return
        self.closed = self.closed or raw.closed
        raw.closed = False
        raw.position = max(0, self.tell())
        super().__init__(raw, max(1, min(self.size, _BUFFER_SIZE)))
        raw.reading_thread = None
        raw.closed = self.closed


class _LongFile(SquashFile):
    """A file in which a line may be longer than what may be read at once."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """The next line, up to its end or `size` bytes.

        Raises LimitExceededError where it is longer than Limits.read_all_bytes.
        """
        if size is not None and size >= 0:
            return super().readline(size)
        line = super().readline(self._limits.read_all_bytes + 1)
        check_limit(len(line), self._limits.read_all_bytes)
        return line

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """The lines up to the end, or until they have `hint` bytes.

        Raises LimitExceededError where all that is left is more than Limits.read_all_bytes.
        """
        if hint is None or hint <= 0:
            check_limit(self.size - self.tell(), self._limits.read_all_bytes)
        return super().readlines(-1 if hint is None else hint)

    def __iter__(self) -> Iterator[bytes]:
        """The lines; a generator costs half of what a method call does for each."""
        most, readline = self._limits.read_all_bytes, super().readline
        while line := readline(most + 1):
            check_limit(len(line), most)
            yield line


def check_limit(size: int, most: int) -> None:
    """Refuse more bytes, or characters, than may be read at once."""
    if size > most:
        raise LimitExceededError("read_all_bytes", size, most)


def open_content(content: Content, name: str | bytes, limits: Limits, image: Image) -> SquashFile:
    """The file object over a content of the image."""
    kind = SquashFile if content.size <= limits.read_all_bytes else _LongFile
    return kind(content, name, limits, image)


def _reopened(image: Image, path: str | bytes, position: int) -> SquashFile:
    """A file of the image, where it stood."""
    file = image.open(path)
    file.seek(position)
    return file
