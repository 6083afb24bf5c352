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
from weakref import finalize

from s3archivefs.errors import CorruptImageError, SquashfsError, TruncatedImageError
from s3archivefs.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import BinaryIO, TypeAlias

    from _typeshed import ReadableBuffer

    Discard: TypeAlias = Callable[[int, bytes], bool]
    Prefetch: TypeAlias = Callable[[Iterable[tuple[int, int]]], int | None]

__all__ = [
    "BlockDevice",
    "BytesDevice",
    "FileDevice",
    "OffsetDevice",
    "decoded",
    "open_file",
    "prefetch_of",
    "read_decoded",
    "read_exactly",
]

T = TypeVar("T")

_NOT_SEEKABLE = (
    "not seekable, as a pipe is, and an image is read here and there: copy it to a file first, or"
    " read it whole into BytesDevice"
)


@runtime_checkable
class BlockDevice(Protocol):
    """Random access to bytes. Implementations must allow calls from several threads at once.

    One that can fetch ahead has a method `prefetch(ranges)` too: a hint that these ranges, each
    (offset, length) inside [0, size), will be read soon. It returns at once and raises nothing. It
    may return how many of the bytes, counted from the first, it takes up; the others are offered
    again later. None means all.

    One that keeps copies of what it read elsewhere has a method `discard(offset, data)`: the bytes
    `data`, which it returned for a range that starts at `offset`, do not decode. It forgets such
    copies, and returns whether to read them again may bring others: not where they came from
    elsewhere twice.
    """

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, a range inside [0, size); any failure raises."""


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
            self._file: BinaryIO | None = open(source, "rb", buffering=0, opener=_open_at_once)  # noqa: SIM115 -- closed by close()
        else:
            self._file = source
        self._lock = threading.Lock()
        self._position_is_shared = False
        self._descriptor = _descriptor(self._file)
        try:
            self.size = self._measured()
        except BaseException:
            self.close()
            raise
        renew_after_fork(self, FileDevice._renew)

    def _measured(self) -> int:
        """The file's size, in bytes."""
        file: Any = self._file
        if self._descriptor is None and isinstance(file, io.TextIOBase):
            raise TypeError("the file is open as text; open it in binary mode: 'rb'")
        try:
            file.seek(0, os.SEEK_END)
            size: int = file.tell()
        except OSError as error:
            name = getattr(file, "name", None)
            if error.errno != errno.ESPIPE and not isinstance(error, io.UnsupportedOperation):
                error.filename = name
                raise
            raise OSError(errno.ESPIPE, _NOT_SEEKABLE, name) from error
        return size

    def pread(self, offset: int, length: int) -> bytes:
        """The `length` bytes at `offset`.

        Raises ValueError after `close`, io.UnsupportedOperation in a forked child that shares the
        file's position.
        """
        if self._file is None:
            raise ValueError("read from a closed image")
        data = self._read(offset, length)
        while len(data) < length and (rest := self._read(offset + len(data), length - len(data))):
            data += rest
        return data

    def _read(self, offset: int, length: int) -> bytes:
        if self._descriptor is not None:
            return os.pread(self._descriptor, length, offset)
        if self._file is None:
            raise ValueError("read from a closed image")
        if self._position_is_shared:
            raise io.UnsupportedOperation(
                f"a forked child shares the position of its parent's {type(self._file).__name__}:"
                " open the image anew, or give its path"
            )
        with self._lock:
            self._file.seek(offset)
            return self._file.read(length) or b""

    def close(self) -> None:
        """Close the file if this device opened it."""
        file, self._file, self._descriptor = self._file, None, None
        if file is not None and self._path is not None:
            file.close()

    def __reduce__(self) -> tuple[object, ...]:
        if self._file is None:
            raise ValueError("a closed image goes to no other process")
        if self._path is None:
            return FileDevice, (self._file,)
        return _reopened, (self._path,)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = threading.Lock()
        if self._file is not None and self._descriptor is None:
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

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> int | None:
        """Passes the hint on, where the other device takes it."""
        if (hint := prefetch_of(self._device)) is not None:
            return hint([(self._start + offset, length) for offset, length in ranges])
        return None


def prefetch_of(device: BlockDevice) -> Prefetch | None:
    """What takes the device's hints, if it can fetch ahead."""
    hint: Prefetch | None = getattr(device, "prefetch", None)
    return hint


def open_file(source: object) -> FileDevice | MappedDevice | None:
    """The device for a path, a seekable binary file or a memory-mapped one; None for others."""
    if isinstance(source, mmap):
        return MappedDevice(source)
    if isinstance(source, str | bytes | os.PathLike) or (
        hasattr(source, "read") and hasattr(source, "seek")
    ):
        return FileDevice(cast("str", source))
    return None


def read_exactly(device: BlockDevice, offset: int, length: int, what: str) -> bytes:
    """`length` bytes at `offset`, or TruncatedImageError naming `what` was to be read; never fewer,
    never more.
    """
    if offset < 0 or offset + length > device.size:
        raise TruncatedImageError(
            f"{what} ends at byte {offset + length}, "
            f"past the end of the image's {device.size} bytes",
            offset,
        )
    if not length:
        return b""  # HTTP has no range for it
    data = device.pread(offset, length)
    # A device that breaks its contract must not become wrong data.
    if data is None or len(data) < length:  # type: ignore[redundant-expr]  # no type stops a device
        raise TruncatedImageError(
            f"{what}: the device returned {len(data or b'')} bytes of {length}", offset
        )
    if len(data) > length:
        raise CorruptImageError(
            f"{what}: the device returned {len(data)} bytes where {length} were asked for", offset
        )
    return data


def read_decoded(
    device: BlockDevice, offset: int, length: int, what: str, decode: Callable[[bytes], T]
) -> T:
    """What `decode` makes of the bytes of a range; raises what it and `read_exactly` raise."""
    raw = read_exactly(device, offset, length, what)
    return decoded(device, offset, raw, what, lambda raw: decode(bytes(raw)))


def decoded(
    device: BlockDevice,
    offset: int,
    raw: bytes | memoryview,
    what: str,
    decode: Callable[[bytes | memoryview], T],
) -> T:
    """What `decode` makes of bytes that were read at `offset`.

    Where it raises a SquashfsError, the device may have kept a damaged copy: it is told to discard
    that, and the bytes are read once more.
    """
    try:
        return decode(raw)
    except SquashfsError:
        discard: Discard | None = getattr(device, "discard", None)
        if discard is None or not discard(offset, bytes(raw)):
            raise
    return decode(read_exactly(device, offset, len(raw), what))


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the path be a fifo's."""
    return os.open(path, flags | os.O_NONBLOCK)


def _descriptor(file: BinaryIO) -> int | None:
    """The file descriptor to use with pread(2), if the object is a plain file whose bytes are the
    descriptor's.
    """
    if type(file).__module__ not in {"io", "_io"}:
        # A wrapper (gzip.GzipFile, tempfile's spool) may hand out the descriptor of something else.
        return None
    try:
        return file.fileno()
    except OSError:  # io.BytesIO: io.UnsupportedOperation
        return None


def _reopened(path: str | bytes) -> FileDevice:
    """The device of a path, closed when it is no longer referred to."""
    device = FileDevice(path)
    finalize(device, cast("BinaryIO", device._file).close)  # noqa: SLF001 -- of what is made here
    return device


def _has_descriptor(file: BinaryIO) -> bool:
    """Whether a descriptor is under the file object, however far below."""
    try:
        file.fileno()
    except (AttributeError, OSError):
        return False
    return True
