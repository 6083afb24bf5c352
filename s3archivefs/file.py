"""`SquashFile`: the file object over the content of a file."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, NoReturn, Protocol, SupportsIndex

from s3archivefs.content import joined
from s3archivefs.errors import LimitExceededError
from s3archivefs.raw_file import BUFFER_SIZE, RawFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from s3archivefs.content import Content, Storage
    from s3archivefs.limits import Limits

__all__ = ["SquashFile", "check_limit", "open_content"]


class Image(Protocol):
    """The image that a file belongs to, which opens the file again in another process."""

    def open(self, path: str | bytes) -> SquashFile:
        """Open a file for bytes."""


class SquashFile(io.BufferedReader):
    """A regular file of the image, opened for reading bytes, and seekable.

    Files are independent of each other; one thread at a time may use a file. Reading lines takes
    about twice as long as in a local file, decompression included.

    A read returns as many bytes as it should, fewer only at the end of the file. A read that fails
    does not move, and can be repeated. Where reading a line failed, or any read of text but one of
    the whole, the position is unknown: further reads raise OSError until `seek`. Lines and small
    consecutive reads go through a buffer of up to 64 KiB; other reads bypass it.

    Reading raises FormatError where the content is damaged, LimitExceededError where the block list
    is longer than Limits.block_list_bytes, ValueError once the file or its image is closed, and
    whatever the device raises.

    Format: "Data and Fragment Blocks", "Fragment Table".
    """

    closed = False  # read for every line of text, as that of the raw file
    _next = 0
    """Position at which the last read ended."""

    def __init__(self, content: Content, name: str | bytes, limits: Limits, image: Image) -> None:
        self._raw = RawFile(content, name)
        self.image = image
        self._content = content
        self._limits = limits
        super().__init__(self._raw, max(1, min(content.size, BUFFER_SIZE)))

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._content.size

    @property
    def storage(self) -> Storage:
        """How the content lies in the image: blocks, holes, their bytes, a tail."""
        return self._content.storage

    @property
    def line_limit(self) -> int:
        """Bytes that a line, or all that is left, may have: Limits.read_all_bytes."""
        return self._limits.read_all_bytes

    def will_read(self, stop: int) -> None:
        """Announce that all bytes from the position to byte `stop` will be read, in order.

        A device with readahead fetches ahead from the next read on, up to `stop`. Without the
        announcement, it does so as soon as reads follow each other.
        """
        self.tell()  # raises once the file is closed
        self._content.will_read(self._raw.position, min(stop, self._content.size))

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, or all that is left.

        Returns fewer only at the end of the file. Raises LimitExceededError where all that is left
        is more than Limits.read_all_bytes.
        """
        start = self._read_start()
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
        """Return all that is left, as `read()`."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, or as much as the file has left; return the bytes read."""
        view = memoryview(buffer).cast("B")
        start = self._read_start()
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
        """Return some bytes without moving: at least one, unless the file is at its end."""
        start = self._read_start()
        try:
            return super().peek(size)
        except BaseException:
            self._back_to(start)
            raise

    def write(self, _data: object, /) -> int:
        """Refuse to write, as any file opened for reading does."""
        raise io.UnsupportedOperation("not writable")

    def detach(self) -> NoReturn:
        """Refuse to detach: the raw file cannot be used without this one."""
        raise io.UnsupportedOperation("detach")

    def pieces(self, stop: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes up to byte `stop`, block by block, and move on with each.

        The pieces are not joined: for a long file this takes less time and memory than `read`. Four
        MiB of blocks are decoded at once, in parallel; if that fails, nothing of them is yielded.
        """
        position = self._read_start()
        for piece in self._take(position, stop - position):
            if piece:
                position += len(piece)
                super().seek(position)
                yield piece

    def _is_buffered(self, start: int, size: int) -> bool:
        """Return whether a read goes through the buffer.

        It does where the buffer holds the bytes, or where a small read within one block continues
        the last one before the end of the file. Any other read fetches its blocks at once, and no
        further block.
        """
        stop = start + size
        continues, self._next = start == self._next, stop
        if stop <= self._raw.position:
            return True
        if not continues or stop >= self._content.size:
            return False
        return size <= min(BUFFER_SIZE, self._content.left_of_block(start))

    def _read_start(self) -> int:
        """Return the position at which a read starts."""
        start = self.tell()
        self._raw.check_position()
        return start

    def _back_to(self, start: int) -> None:
        """Move back to the start of a read that failed."""
        if not self.closed:
            super().seek(start)

    def _take(self, start: int, size: int) -> Iterator[bytes | memoryview]:
        """Yield the next `size` bytes in pieces: those buffered, then the others."""
        stop = max(start, min(start + size, self._content.size))
        if (buffered := min(self._raw.position, stop) - start) > 0:
            yield super().read(buffered)
        if stop - start <= self._content.left_of_block(start):
            yield self._content.part(self._raw.position, stop)
        else:
            yield from self._raw.pieces(stop)
        super().seek(stop)

    def close(self) -> None:
        """Close the file without waiting for a thread that is reading: its read fails.

        The image's caches keep what was read.
        """
        try:
            if self._raw.reading_thread is None:
                super().close()
            else:  # that thread holds the buffer's lock, and the buffer is empty
                self._raw.close()
        finally:
            self.closed = True

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> tuple[object, ...]:
        """Open the file in another process, through its image, at its position."""
        return _reopened, (self.image, self.name, self.tell())

    def renew_after_fork(self) -> None:
        """Make the file usable in a forked child, whatever the parent's threads did with it.

        One of them may hold the lock of its buffer, which no function tells. A file that was being
        closed is closed.
        """
        raw = self._raw
        if raw.reading_thread == threading.get_ident():  # which goes on here, and unlocks
            return
        self.closed = self.closed or raw.closed
        raw.closed = False
        raw.position = max(0, self.tell())
        super().__init__(raw, max(1, min(self.size, BUFFER_SIZE)))
        raw.reading_thread = None
        raw.closed = self.closed


class _LongFile(SquashFile):
    """A file so long that a line may exceed Limits.read_all_bytes."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line, up to its end or `size` bytes.

        Raises LimitExceededError where it is longer than Limits.read_all_bytes.
        """
        if size is not None and size >= 0:
            return super().readline(size)
        line = super().readline(self._limits.read_all_bytes + 1)
        check_limit(len(line), self._limits.read_all_bytes)
        return line

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines up to the end, or until they have `hint` bytes.

        Raises LimitExceededError where all that is left is more than Limits.read_all_bytes.
        """
        if hint is None or hint <= 0:
            check_limit(self.size - self.tell(), self._limits.read_all_bytes)
        return super().readlines(-1 if hint is None else hint)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines: a generator takes half the time of a method call per line."""
        most, readline = self._limits.read_all_bytes, super().readline
        while line := readline(most + 1):
            check_limit(len(line), most)
            yield line


def check_limit(size: int, most: int) -> None:
    """Refuse more bytes, or characters, than one read may return."""
    if size > most:
        raise LimitExceededError("read_all_bytes", size, most)


def open_content(content: Content, name: str | bytes, limits: Limits, image: Image) -> SquashFile:
    """Return the file object over a content of the image."""
    kind = SquashFile if content.size <= limits.read_all_bytes else _LongFile
    return kind(content, name, limits, image)


def _reopened(image: Image, path: str | bytes, position: int) -> SquashFile:
    """Open a file of the image again, at its former position."""
    file = image.open(path)
    file.seek(position)
    return file
