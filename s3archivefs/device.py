"""Block devices: where the image's bytes come from. The only module that opens files.

A device answers `pread(offset, length)` and nothing else, so that a file, a byte string, an HTTP
range and a cache look alike to the reader.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from mmap import mmap
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, runtime_checkable

from s3archivefs.forks import renew_after_fork

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
    "OffsetDevice",
    "ReadAhead",
    "open_file",
    "readahead_of",
]

T = TypeVar("T")

_NOT_SEEKABLE = (
    "not seekable, as a pipe is, and an image is read here and there: copy it to a file first, or"
    " read it whole into BytesDevice"
)


@runtime_checkable
class BlockDevice(Protocol):
    """Random access to bytes. Implementations must allow calls from several threads at once.

    One that can fetch ahead has a method `readahead(offset, length)` too, which returns a
    `ReadAhead` for one reader of that range, or None.

    One that keeps copies of what it read elsewhere has a method `discard(offset, data)`: the bytes
    `data`, which it returned for a range that starts at `offset`, do not decode, or may be why
    metadata makes no sense. It forgets such copies, and returns whether to read them again may
    bring others: not where they came from elsewhere twice.
    """

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, a range inside [0, size); any failure raises."""


class ReadAhead(BlockDevice, Protocol):
    """A device as one reader of a range of it sees it: what follows its reads is fetched ahead.

    Not to be used by several threads at once. Fetching ahead stops at the range's end, changes no
    byte that is read, and raises nothing: a fault is for the read to meet.
    """

    def will_read(self, offset: int, length: int) -> None:
        """Say that these bytes will be read next, all of them in order, and none behind them."""

    def close(self) -> None:
        """Let go of what was fetched, and end what is under way; nothing is read afterwards."""


class BytesDevice:
    """An image held in memory: bytes, or anything else that has a buffer of them."""

    def __init__(self, data: ReadableBuffer) -> None:
        self._data = memoryview(data).cast("B").toreadonly()

    @property
    def size(self) -> int:
        """Length of the data, in bytes."""
        return len(self._data)

    def pread(self, offset: int, length: int) -> bytes:
        """A copy of the `length` bytes at `offset`."""
        return bytes(self._data[offset : offset + length])

    def __reduce__(self) -> tuple[object, ...]:
        return BytesDevice, (bytes(self._data),)


class FileDevice:
    """A path, or a seekable binary file that stays its caller's to close.

    Real files are read with pread(2), which needs no lock; other file objects with seek and read,
    under one. A forked child reads on, but for a file object of the second kind that has a
    descriptor: its position is the parent's too.
    """

    def __init__(
        self, source: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO
    ) -> None:
        self._path: str | bytes | None = None
        """Where to open it anew."""
        if isinstance(source, str | bytes | os.PathLike):
            self._path = os.path.abspath(os.fspath(source))  # noqa: PTH100 -- bytes too
            self._file: BinaryIO | None = cast("BinaryIO", _OwnFile(source, _open_nonblocking))
        else:
            self._file = source
        self._lock = threading.Lock()
        self._position_is_shared = False
        self._has_descriptor = _has_own_descriptor(self._file)
        try:
            self.size = self._measured()
        except BaseException:
            if isinstance(self._file, _OwnFile):
                self._file.close()  # at once: who catches the error refers to the file, by its way
            raise
        renew_after_fork(self, FileDevice._renew)

    def _measured(self) -> int:
        """The file's size, in bytes."""
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
        """The `length` bytes at `offset`.

        Raises ValueError after `close`, io.UnsupportedOperation in a forked child that shares the
        file's position.
        """
        data = self._read(offset, length)
        while len(data) < length and (rest := self._read(offset + len(data), length - len(data))):
            data += rest
        return data

    def _read(self, offset: int, length: int) -> bytes:
        file = self._file  # referred to until it is read, so that no other can have its descriptor
        if file is None:
            raise ValueError("read from a closed image")
        if self._has_descriptor:
            return os.pread(file.fileno(), length, offset)
        if self._position_is_shared:
            raise io.UnsupportedOperation(
                f"a forked child shares the position of its parent's {type(file).__name__}:"
                " open the image anew, or give its path"
            )
        with self._lock:
            file.seek(offset)
            return file.read(length) or b""

    def close(self) -> None:
        """Close the file if this device opened it, after the reads under way."""
        file, self._file = self._file, None
        if isinstance(file, _OwnFile):
            file.is_forgotten = True

    def __reduce__(self) -> tuple[object, ...]:
        if self._file is None:
            raise ValueError("a closed image goes to no other process")
        if self._path is None:
            return FileDevice, (self._file,)
        return _reopened, (self._path,)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = threading.Lock()
        if self._file is not None and not self._has_descriptor:
            self._position_is_shared = _has_descriptor(self._file)


class MappedDevice:
    """A file that its caller mapped into memory, and closes."""

    def __init__(self, mapping: mmap) -> None:
        self._mapping = mapping
        self.size = len(mapping)

    def pread(self, offset: int, length: int) -> bytes:
        """A copy of the `length` bytes at `offset`.

        Raises ValueError once the mapping is closed.
        """
        return self._mapping[offset : offset + length]


class OffsetDevice:
    """The part of another device from `start` to its end: an image embedded in a larger file."""

    def __init__(self, device: BlockDevice, start: int) -> None:
        if not 0 <= start <= device.size:
            raise ValueError(
                f"offset {start} lies outside the source, which has {device.size} bytes"
            )
        self._device = device
        self._start = start

    @property
    def size(self) -> int:
        """Bytes from the start of the part to the end of the whole."""
        return self._device.size - self._start

    def pread(self, offset: int, length: int) -> bytes:
        """The `length` bytes at `offset` of the part."""
        return self._device.pread(self._start + offset, length)

    def discard(self, offset: int, data: bytes) -> bool:
        """Passes it on, where the other device keeps copies."""
        discard: Discard | None = getattr(self._device, "discard", None)
        return discard is not None and discard(self._start + offset, data)

    def readahead(self, offset: int, length: int) -> ReadAhead | None:
        """The other device's, if it has one."""
        ahead = readahead_of(self._device, self._start + offset, length)
        return None if ahead is None else _OffsetReadAhead(ahead, self._start)


class _OffsetReadAhead(OffsetDevice):
    def __init__(self, ahead: ReadAhead, start: int) -> None:
        super().__init__(ahead, start)
        self._ahead = ahead

    def will_read(self, offset: int, length: int) -> None:
        """As the other device's."""
        self._ahead.will_read(self._start + offset, length)

    def close(self) -> None:
        """As the other device's."""
        self._ahead.close()


def readahead_of(device: BlockDevice, offset: int, length: int) -> ReadAhead | None:
    """What fetches ahead of one reader of that range, if the device can."""
    make: Callable[[int, int], ReadAhead | None] | None = getattr(device, "readahead", None)
    return None if make is None else make(offset, length)


def open_file(source: object) -> FileDevice | MappedDevice | None:
    """The device for a path, a seekable binary file or a memory-mapped one; None for others."""
    if isinstance(source, mmap):
        return MappedDevice(source)
    if isinstance(source, str | bytes | os.PathLike) or (
        hasattr(source, "read") and hasattr(source, "seek")
    ):
        return FileDevice(cast("str", source))
    return None


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the path be a fifo's."""
    return os.open(path, flags | os.O_NONBLOCK)


class _OwnFile(io.FileIO):
    """A file that is closed as soon as nobody refers to it: neither its device, nor a read."""

    def __init__(
        self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], opener: Opener
    ) -> None:
        self.is_forgotten = False
        """Whether its device needs it no longer, or will not say so."""
        super().__init__(os.fspath(path), "rb", opener=opener)

    def __del__(self) -> None:
        if self.is_forgotten:
            self.close()
        super().__del__()  # which warns of what was not closed


def _has_own_descriptor(file: BinaryIO) -> bool:
    """Whether the object is a plain file, whose bytes are its descriptor's: to use pread(2)."""
    if type(file).__module__ not in {"io", "_io", __name__}:
        # A wrapper (gzip.GzipFile, tempfile's spool) may hand out the descriptor of something else.
        return False
    return _has_descriptor(file)


def _reopened(path: str | bytes) -> FileDevice:
    """The device of a path, closed when it is no longer referred to."""
    device = FileDevice(path)
    cast("_OwnFile", device._file).is_forgotten = True  # noqa: SLF001 -- of what is made here
    return device


def _has_descriptor(file: BinaryIO) -> bool:
    """Whether a descriptor is under the file object, however far below."""
    try:
        file.fileno()
    except (AttributeError, OSError):
        return False
    return True
