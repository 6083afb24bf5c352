"""A device of which one part is read by chunks of its own.

The first begins and the last ends with the part. Who reads a part fetches no byte beyond it:
neighbours that read the other parts fetch those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from s3archivefs import BlockDevice, ReadAhead
    from s3archivefs_lambda.cache.cached_chunks import Chunk
    from s3archivefs_lambda.cache.device import CachedDevice

__all__ = ["PartDevice", "Window"]


class Window:
    """The bytes [start, stop) of a device with a method `stream`: see `ChunkReader`."""

    def __init__(self, device: BlockDevice, start: int, stop: int) -> None:
        self.size = stop - start
        """The number of bytes."""
        self._device: Any = device
        self._start = start

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset` of the window."""
        data: bytes = self._device.pread(self._start + offset, length)
        return data

    def stream(
        self,
        offset: int,
        length: int,
        piece_bytes: int,
        **options: Any,  # noqa: ANN401 -- the device's
    ) -> Generator[memoryview, None, None]:
        """Yield the bytes of a range as the device's method does."""
        yield from self._device.stream(self._start + offset, length, piece_bytes, **options)


class PartDevice:
    """The device `whole`; reads within a part from byte `start` on are of `part`. Thread-safe."""

    def __init__(self, whole: CachedDevice, part: CachedDevice, start: int) -> None:
        self._whole = whole
        self._part = part
        self._start = start
        self._stop = start + part.size

    @property
    def size(self) -> int:
        """Length of the device, in bytes."""
        return self._whole.size

    @property
    def identity(self) -> str:
        """The text that names the device's content."""
        return self._whole.identity

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, as `CachedDevice.pread`."""
        device, offset = self._place(offset, length)
        return device.pread(offset, length)

    def pread_pieces(self, offset: int, length: int) -> list[Chunk]:
        """Return the bytes as `pread` does, in pieces."""
        device, offset = self._place(offset, length)
        return device.pread_pieces(offset, length)

    def pread_at_hand(self, offset: int, length: int) -> bytes | None:
        """Return the bytes if all their chunks are in memory, else None."""
        device, offset = self._place(offset, length)
        return device.pread_at_hand(offset, length)

    def readahead(self, offset: int, length: int) -> ReadAhead:
        """Return a handle that fetches ahead of one reader of a range."""
        device, within = self._place(offset, length)
        ahead = device.readahead(within, length)
        return ahead if device is self._whole else _PartReadAhead(ahead, self._start, self.size)

    def discard(self, offset: int, data: bytes) -> bool:
        """Forget the copies of chunks that `data` was in, as `CachedDevice.discard`."""
        device, offset = self._place(offset, len(data))
        return device.discard(offset, data)

    def _place(self, offset: int, length: int) -> tuple[CachedDevice, int]:
        """Return the device that reads a range, and where the range begins in it."""
        if self._start <= offset and offset + length <= self._stop:
            return self._part, offset - self._start
        return self._whole, offset


class _PartReadAhead:
    """A handle of the part, as one of the whole device."""

    def __init__(self, ahead: ReadAhead, start: int, size: int) -> None:
        self.size = size
        self._ahead: Any = ahead
        self._start = start

    def pread(self, offset: int, length: int) -> bytes:
        data: bytes = self._ahead.pread(offset - self._start, length)
        return data

    def pread_pieces(self, offset: int, length: int) -> list[Chunk]:
        pieces: list[Chunk] = self._ahead.pread_pieces(offset - self._start, length)
        return pieces

    def will_read(self, offset: int, length: int) -> None:
        self._ahead.will_read(offset - self._start, length)

    def will_read_once(self, offset: int, length: int) -> None:
        self._ahead.will_read_once(offset - self._start, length)

    def close(self) -> None:
        self._ahead.close()
