"""Tables that wait until their superblock is known, and with it all of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs.writer.extending import ExtensionOutput

__all__ = ["PostponedOutput"]


class PostponedOutput:
    """Holds in memory what follows the data that an image keeps.

    It is for an image that gets no new data: a million members take 10 to 30 MB.
    """

    def __init__(self) -> None:
        self.ranges: Sequence[tuple[int, int]] = ()
        """What is kept: starts and ends in the image that is replaced."""
        self.superblock = b""
        """The first bytes, once the image is finished."""
        self._content = bytearray()

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Begin with these ranges of the image that is replaced."""
        self.ranges = ranges

    def write(self, content: bytes) -> None:
        """Append to the image."""
        self._content += content

    def finish(self, superblock: bytes) -> None:
        """Note the superblock; nothing appears."""
        self.superblock = superblock

    def abandon(self) -> None:
        """Do nothing: nothing is anywhere."""

    def send(self, output: ExtensionOutput) -> None:
        """Write the image to an output, or leave none there."""
        try:
            output.keep(self.ranges)
            output.write(bytes(self._content))
            output.finish(self.superblock)
        except BaseException:
            output.abandon()
            raise
