"""Block devices: where the image's bytes come from. The only module that opens files.

A device answers `pread(offset, length)` and little else, so that a file, a byte string, a network
and a cache look alike to the reader.
"""

from __future__ import annotations

import errno
import io
import os
from mmap import mmap
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from s3archivefs.forks import renew_after_fork
from s3archivefs.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, TypeAlias

    from _typeshed import ReadableBuffer

    Discard: TypeAlias = Callable[[int, bytes], bool]
    Opener: TypeAlias = Callable[[str, int], int]

__all__ = [
    "BlockDevice",
    "BytesDevice",
    "FileDevice",
    "ReadAhead",
    "open_file",
    "pread_among",
    "pread_at_hand",
    "readahead_of",
]

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)

_CLOSED = "read from a closed image"
_NOT_SEEKABLE = (
    "not seekable, like a pipe, and an image needs random access: copy it to a file first, or"
    " read it whole into BytesDevice"
)


@runtime_checkable
class BlockDevice(Protocol):
    """Random access to bytes, for several threads at once.

    A device may have more methods. `pread_at_hand(offset, length)` returns the bytes where that
    takes no waiting, or None. `pread_pieces(offset, length)` returns them in pieces, which nobody
    changes: one that has them in parts need not join these. `identity` is a text that other bytes
    do not share, as an ETag; `is_current()` asks, for less than opening it anew costs, whether the
    source still has these bytes. `readahead(offset, length)` returns a `ReadAhead` for one reader
    of that range, or None. A device that keeps copies of what it read has `discard(offset, data)`:
    `data`, which it returned for the range at `offset`, does not decode, or may be why metadata
    contradicts itself. The device then drops its copies of the range, and returns whether another
    read may bring other bytes: False where the source gave these twice. `pread_among(offset,
    length, total)` reads bytes that are asked for as part of a random order of `total` bytes: it
    need not keep any where it cannot keep so many. `remarks()` returns what would make the image
    cheaper to read where it lies, a sentence each. `pinned(ranges)`, which may be None, returns
    what opens the same bytes in another process: see `sources.Pin`.
    """

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, a range inside [0, size), or raise."""


class ReadAhead(BlockDevice, Protocol):
    """A readahead handle: a device that fetches ahead of one reader of a range.

    One thread at a time may use it. Readahead stops at the end of the range, changes no byte that
    is read, and raises nothing: the read of the bytes concerned raises. A handle that is dropped
    without `close` holds nothing longer. `will_read_once`, if it has that, asks to keep nothing.
    """

    def will_read(self, offset: int, length: int) -> None:
        """Announce that the next reads are of these bytes, all in order, and no further."""

    def close(self) -> None:
        """Drop what was fetched ahead and cancel what is in flight; no read may follow."""


class BytesDevice:
    """An image held in memory: bytes, or anything else that has a buffer of them."""

    def __init__(self, data: ReadableBuffer) -> None:
        self._data = memoryview(data).cast("B").toreadonly()

    @property
    def size(self) -> int:
        """Length of the data, in bytes."""
        return len(self._data)

    def pread(self, offset: int, length: int) -> bytes:
        """Return a copy of the `length` bytes at `offset`."""
        return bytes(self._data[offset : offset + length])

    pread_at_hand = pread

    def __reduce__(self) -> tuple[object, ...]:
        return BytesDevice, (bytes(self._data),)


class FileDevice:
    """A path, or a seekable binary file, which the caller closes.

    Real files are read with pread(2), which needs no lock; other file objects with seek and read,
    under a lock. A forked child can read on, unless a file object of the second kind has a
    descriptor: the child shares its position with the parent.
    """

    def __init__(
        self, source: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO
    ) -> None:
        self._path: str | bytes | None = None
        """The path to open it by in another process."""
        if isinstance(source, str | bytes | os.PathLike):
            self._path = os.path.abspath(os.fspath(source))  # noqa: PTH100 -- bytes too
            self._file: BinaryIO | None = cast("BinaryIO", _OwnFile(source, _open_nonblocking))
        else:
            self._file = source
        # Reentrant: amid a read a garbage collection may close the image.
        self._lock = Lock()
        self._position_is_shared = False
        self._has_descriptor = hasattr(os, "pread") and _has_own_descriptor(self._file)
        try:
            self.size = self._measured()
        except BaseException:
            if isinstance(self._file, _OwnFile):
                self._file.close()  # at once: the error's traceback refers to the file
            raise
        renew_after_fork(self, FileDevice._renew)

    def _measured(self) -> int:
        """Return the file's size, in bytes."""
        file: Any = self._file
        if not self._has_descriptor and isinstance(file, io.TextIOBase):
            raise TypeError("the file is open as text; open it in binary mode: 'rb'")
        try:
            size: int | None = file.seek(0, os.SEEK_END)
            return file.tell() if size is None else size
        except OSError as error:
            name = getattr(file, "name", None)
            if error.errno != errno.ESPIPE and not isinstance(error, io.UnsupportedOperation):
                error.filename = name
                raise
            raise OSError(errno.ESPIPE, _NOT_SEEKABLE, name) from error

    def pread(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes at `offset`.

        Raises ValueError after `close`, io.UnsupportedOperation in a forked child that shares the
        file's position.
        """
        data = self._read(offset, length)
        while len(data) < length and (rest := self._read(offset + len(data), length - len(data))):
            data += rest
        return data

    def pread_at_hand(self, offset: int, length: int) -> bytes | None:
        """Return the bytes if the system says that it has them in memory."""
        file, buffer = self._file, bytearray(length)
        if file is None or not self._has_descriptor or _NOWAIT is None or not hasattr(os, "preadv"):
            return None
        try:
            found: int = os.preadv(file.fileno(), [buffer], offset, _NOWAIT)
        except OSError:  # they are not, or the file system cannot tell
            return None
        return bytes(buffer) if found == length else None

    def _read(self, offset: int, length: int) -> bytes:
        file = self._file  # a reference, so that its descriptor stays open until it is read
        if file is None:
            raise ValueError(_CLOSED)
        if self._has_descriptor and hasattr(os, "pread"):  # as Windows has not
            found: bytes = os.pread(file.fileno(), length, offset)
            return found
        if self._position_is_shared:
            raise io.UnsupportedOperation(
                f"a forked child shares the position of its parent's {type(file).__name__}:"
                " open the image anew, or give its path"
            )
        with self._lock:
            if self._file is None:  # closed meanwhile: the caller alone uses the file from then on
                raise ValueError(_CLOSED)
            file.seek(offset)
            return file.read(length) or b""

    def close(self) -> None:
        """Close the file if this device opened it, after the reads in flight.

        A file object of the caller's is used no more, by no thread.
        """
        with self._lock:
            file, self._file = self._file, None
        if isinstance(file, _OwnFile):
            file.closes_itself = True

    def __reduce__(self) -> tuple[object, ...]:
        if self._file is None:
            raise ValueError("a closed image cannot be pickled")
        if self._path is None:
            return FileDevice, (self._file,)
        return _reopened, (self._path,)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = Lock()
        if self._file is not None and not self._has_descriptor:
            self._position_is_shared = _has_descriptor(self._file)


class MappedDevice:
    """A file that the caller mapped into memory, and closes."""

    def __init__(self, mapping: mmap) -> None:
        self._mapping = mapping
        self.size = len(mapping)

    def pread(self, offset: int, length: int) -> bytes:
        """Return a copy of the `length` bytes at `offset`.

        Raises ValueError once the mapping is closed.
        """
        return self._mapping[offset : offset + length]


def readahead_of(device: BlockDevice, offset: int, length: int) -> ReadAhead | None:
    """Return a device's readahead for one reader of the range, or None."""
    make: Callable[[int, int], ReadAhead | None] | None = getattr(device, "readahead", None)
    return None if make is None else make(offset, length)


def pread_among(device: BlockDevice, offset: int, length: int, total: int) -> bytes:
    """Return bytes that are asked for as part of a random order of `total` bytes."""
    read: Callable[[int, int, int], bytes] | None = getattr(device, "pread_among", None)
    return device.pread(offset, length) if read is None else read(offset, length, total)


def pread_at_hand(device: BlockDevice, offset: int, length: int) -> bytes | None:
    """Return a device's bytes where that takes no waiting, or None."""
    read: Callable[[int, int], bytes | None] | None = getattr(device, "pread_at_hand", None)
    return None if read is None else read(offset, length)


def open_file(source: object) -> FileDevice | MappedDevice | None:
    """Return the device for a path, a binary file or an mmap, else None."""
    if isinstance(source, mmap):
        return MappedDevice(source)
    if isinstance(source, str | bytes | os.PathLike) or (
        hasattr(source, "read") and hasattr(source, "seek")
    ):
        return FileDevice(cast("str", source))
    return None


def _open_nonblocking(path: str, flags: int) -> int:
    """Open a path without waiting for a writer where it is a fifo."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class _OwnFile(io.FileIO):
    """A file that can close by itself, once no device or read refers to it."""

    def __init__(
        self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], opener: Opener
    ) -> None:
        self.closes_itself = False
        """Whether the file closes by itself; its device may still be using it."""
        super().__init__(os.fspath(path), "rb", opener=opener)

    def __del__(self) -> None:
        if self.closes_itself:
            self.close()
        super().__del__()  # which warns of a file that was not closed


def _has_own_descriptor(file: BinaryIO) -> bool:
    """Return whether pread(2) on the object's descriptor reads the object's own bytes."""
    if type(file).__module__ not in {"io", "_io", __name__}:
        # A wrapper (gzip.GzipFile, tempfile's spool) may return the descriptor of another file.
        return False
    return _has_descriptor(file)


def _reopened(path: str | bytes) -> FileDevice:
    """Return the device of a path, which closes when nothing refers to it."""
    device = FileDevice(path)
    cast("_OwnFile", device._file).closes_itself = True  # noqa: SLF001 -- made here
    return device


def _has_descriptor(file: BinaryIO) -> bool:
    """Return whether the file object has a descriptor, at whatever depth."""
    try:
        file.fileno()
    except (AttributeError, OSError):
        return False
    return True
