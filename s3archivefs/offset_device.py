"""The part of a device from some byte on, as an image within a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.device import pread_among, pread_at_hand, readahead_of

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice, Discard, ReadAhead

__all__ = ["OffsetDevice"]


class OffsetDevice:
    """The part of a device from `start` on: an image embedded in a larger file."""

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
        """Return the `length` bytes at `offset` of the part."""
        return self._device.pread(self._start + offset, length)

    def pread_at_hand(self, offset: int, length: int) -> bytes | None:
        """Return the other device's bytes if they are at hand."""
        return pread_at_hand(self._device, self._start + offset, length)

    def pread_among(self, offset: int, length: int, total: int) -> bytes:
        """Return bytes of a random order as the other device does."""
        return pread_among(self._device, self._start + offset, length, total)

    def discard(self, offset: int, data: bytes) -> bool:
        """Have the other device discard its copies, if it keeps any."""
        discard: Discard | None = getattr(self._device, "discard", None)
        return discard is not None and discard(self._start + offset, data)

    def readahead(self, offset: int, length: int) -> ReadAhead | None:
        """Return the other device's readahead for a range of the part, or None."""
        ahead = readahead_of(self._device, self._start + offset, length)
        return None if ahead is None else _OffsetReadAhead(ahead, self._start)


class _OffsetReadAhead(OffsetDevice):
    def __init__(self, ahead: ReadAhead, start: int) -> None:
        super().__init__(ahead, start)
        self._ahead = ahead

    def will_read(self, offset: int, length: int) -> None:
        """Announce the next reads to the other device's readahead."""
        self._ahead.will_read(self._start + offset, length)

    def will_read_once(self, offset: int, length: int) -> None:
        """Announce likewise that they are read once."""
        announce = getattr(self._ahead, "will_read_once", self._ahead.will_read)
        announce(self._start + offset, length)

    def close(self) -> None:
        """Close the other device's readahead."""
        self._ahead.close()
