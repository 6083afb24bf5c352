"""`ArchiveFile`: the file object that fsspec's `open` returns."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

from s3archivefs.file import check_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from s3archivefs.filesystem.details import Details
    from s3archivefs.filesystem.sharing import SharedImage

__all__ = ["ArchiveFile"]

_BLOCK_BYTES = 128 << 10  # read at once to find the end of a record, if no other size is given
_WHOLE_BYTES = 2 << 20
"""Bytes that a file takes at most that is fetched as a whole.

As many as come in the time that another request waits: 20 ms at 80 MB/s are 1.6 MB.
"""
_END_BYTES = 64 << 10  # of a file, where the index of Parquet, ORC or a zip begins at the latest


class Holder(Protocol):
    """The filesystem of a file."""

    def info(self, path: str) -> Details:
        """Return the details of a path."""

    def open(self, path: str, mode: str, block_size: int | None) -> Any:  # noqa: ANN401 -- fsspec has no types
        """Open a file."""


class ArchiveFile(io.BufferedIOBase):
    """A file of the image, opened for reading bytes, and seekable.

    It is a `SquashFile` with the attributes of fsspec's files, and keeps its filesystem. It is
    pickled with that, and opened again at its position. One thread at a time may use it.
    """

    def __init__(
        self, fs: Holder, shared: SharedImage, path: str, block_size: int | None = None
    ) -> None:
        self._file = shared.image.open("/" + path)
        self._shared: SharedImage | None = shared  # keeps the image open
        self._is_unread = True
        self.fs = fs
        """The filesystem."""
        self.path = self.name = self.full_name = path
        """The path in the archive."""
        self.mode = "rb"
        self.blocksize = block_size or _BLOCK_BYTES
        """The block size that was asked for. The file chooses what it reads at once itself."""
        self.size = self._file.size
        """Bytes of the whole file."""

    @property
    def details(self) -> Details:
        """What `info` says of the file."""
        return self.fs.info(self.path)

    def info(self) -> Details:
        """Return what the filesystem's `info` says of the file."""
        return self.details

    @property
    def closed(self) -> bool:
        """Whether the file, or its filesystem, is closed."""
        return self._file.closed

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._shared = None

    def readable(self) -> bool:
        """Return True, or raise ValueError if the file is closed."""
        return self._file.readable()

    def seekable(self) -> bool:
        """Return True, or raise ValueError if the file is closed."""
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position, and return it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, or all that is left, as `SquashFile.read`."""
        if self._is_unread:
            self._begin()
        return self._file.read(size)

    def read1(self, size: int = -1, /) -> bytes:
        """Return up to `size` of the next bytes."""
        return self._file.read1(size)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, or as much as the file has left; return the bytes read."""
        if self._is_unread:
            self._begin()
        return self._file.readinto(buffer)

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, as `readinto`."""
        return self.readinto(buffer)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some bytes without moving: at least one, unless the file is at its end."""
        return self._file.peek(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line, up to its end or `size` bytes."""
        return self._file.readline(size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines up to the end, or until they have `hint` bytes."""
        return self._file.readlines(-1 if hint is None else hint)

    def __iter__(self) -> Iterator[bytes]:
        """Return an iterator of the lines."""
        return iter(self._file)

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None) -> bytes:
        """Return the bytes up to the next `char`, that included, or to the end.

        `char` may have several bytes. Reads so many bytes at once, by default `blocksize`. Raises
        LimitExceededError where it is not among so many as Limits.read_all_bytes.
        """
        start = self.tell()
        found = bytearray()
        while piece := self.read(blocks or self.blocksize):
            searched = max(0, len(found) - len(char) + 1)
            found += piece
            at = found.find(char, searched)
            if at >= 0:
                end = at + len(char)
                self.seek(start + end)
                return bytes(found[:end])
            check_limit(len(found), self._file.line_limit)
        return bytes(found)

    def _begin(self) -> None:
        """Fetch all of a small file if its end is read first.

        Who reads a table's index first reads columns next: it takes one request instead of two or
        three, one after the other.
        """
        self._is_unread = False
        start = self.tell()
        shared = self._shared
        if start < self.size - _END_BYTES or shared is None or not shared.image.is_distant:
            return
        image, stored = shared.image, self._file.storage.size
        if start and image.superblock.block_size < stored <= _WHOLE_BYTES:
            with suppress(Exception):  # the read itself raises
                first, _, _ = image.content_start(image.stat("/" + self.path))
                image.device.pread(first, stored)

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> tuple[object, ...]:
        """Open the file in another process, through its filesystem, at its position."""
        return _reopened, (self.fs, self.path, self.blocksize, self.tell())

    def __repr__(self) -> str:
        return f"<ArchiveFile {self.path!r}>"


def _reopened(fs: Holder, path: str, block_size: int | None, position: int) -> ArchiveFile:
    """Open a file again, at its former position."""
    file: ArchiveFile = fs.open(path, "rb", block_size)
    file.seek(position)
    return file
