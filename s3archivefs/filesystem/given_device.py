"""A block device over one, or a file, that the caller gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.device import readahead_of
from s3archivefs.filesystem.missing import missing_archives
from s3archivefs.offset_device import OffsetDevice

if TYPE_CHECKING:
    from s3archivefs.device import BlockDevice, ReadAhead

__all__ = ["GivenDevice"]


class GivenDevice(OffsetDevice):
    """A device whose absence is told from that of a file in the archive.

    What was given may read from another filesystem, where the archive may be deleted.
    """

    def __init__(self, device: BlockDevice) -> None:
        super().__init__(device, 0)

    def pread(self, offset: int, length: int) -> bytes:
        """Return what the device returns; raise MissingArchiveError where it is not there."""
        with missing_archives():
            return super().pread(offset, length)

    def pread_among(self, offset: int, length: int, total: int) -> bytes:
        """Return likewise what the device returns of a random order."""
        with missing_archives():
            return super().pread_among(offset, length, total)

    def readahead(self, offset: int, length: int) -> ReadAhead | None:
        """Return the device's readahead likewise, or None."""
        ahead = readahead_of(self._device, offset, length)
        return None if ahead is None else _GivenReadAhead(ahead)


class _GivenReadAhead(GivenDevice):
    def __init__(self, ahead: ReadAhead) -> None:
        super().__init__(ahead)
        self._ahead = ahead

    def will_read(self, offset: int, length: int) -> None:
        """Announce the next reads."""
        self._ahead.will_read(offset, length)

    def will_read_once(self, offset: int, length: int) -> None:
        """Announce likewise that they are read once."""
        getattr(self._ahead, "will_read_once", self._ahead.will_read)(offset, length)

    def close(self) -> None:
        """Drop what was fetched ahead."""
        self._ahead.close()
