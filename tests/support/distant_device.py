"""A device with readahead, which checks how it is used."""

from __future__ import annotations

import threading
from contextvars import ContextVar

from tests.support.images.fixtures import CountingDevice

__all__ = ["DistantDevice", "counted"]

counted: ContextVar[list[int]] = ContextVar("counted")
"""The lengths of reads that were made in the reader's context, if it wants to know them."""


class Handle:
    """A device's readahead, which one thread at a time may use."""

    def __init__(self, device: DistantDevice, start: int, stop: int) -> None:
        self.size = device.size
        self.range = start, stop
        self.told: list[tuple[int, int]] = []
        self.reads: list[tuple[int, int]] = []
        self.is_closed = False
        self._device = device
        self._thread = threading.get_ident()

    def will_read(self, offset: int, length: int) -> None:
        self.told.append((offset, offset + length))

    def pread(self, offset: int, length: int) -> bytes:
        assert not self.is_closed
        assert threading.get_ident() == self._thread
        assert self.range[0] <= offset < offset + length <= self.range[1]
        self.reads.append((offset, offset + length))
        return self._device.image[offset : offset + length]

    def close(self) -> None:
        self.is_closed = True


class DistantDevice(CountingDevice):
    """A device with readahead, which counts in the context of who reads."""

    def __init__(self, image: bytes) -> None:
        super().__init__(image)
        self.image = image
        self.handles: list[Handle] = []

    def readahead(self, offset: int, length: int) -> Handle:
        self.handles.append(Handle(self, offset, offset + length))
        return self.handles[-1]

    def pread(self, offset: int, length: int) -> bytes:
        counted.get([]).append(length)
        return super().pread(offset, length)

    def forget(self) -> None:
        super().forget()
        self.handles.clear()
