"""An image without its dead data: blocks that no member refers to.

    with HeldImage("a.sqfs") as held, ImageCompaction(held.image, held.output()) as image:
        print(image.dead)

Blocks stay as they are compressed, and in their order: only their places change. A fragment block
stays whole while one file in it does.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NoReturn

from s3archivefs.data import SIZE_MASK
from s3archivefs.errors import PackingError
from s3archivefs.extents import Extents
from s3archivefs.format import FragmentEntry
from s3archivefs.options import data_start
from s3archivefs.writer.extending import ImageRevision
from s3archivefs.writer.inode_records import blocks_of, with_blocks_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs.image import SquashFS
    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.extending import ExtensionOutput
    from s3archivefs.writer.image_writer import Packed

__all__ = ["ImageCompaction"]


class ImageCompaction(ImageRevision):
    """Writes an image that has all members of another, and no dead data.

    It takes no members, but some may be removed. See ImageRevision.
    """

    _output: ExtensionOutput

    def __init__(
        self, image: SquashFS, output: ExtensionOutput, *, time: int | None = None
    ) -> None:
        self._superblock = image.superblock
        self._first = 0
        self._ranges: list[tuple[int, int]] | None = None
        super().__init__(image, output, time=time)
        try:
            self._first = data_start(image.device, image.superblock)
        except BaseException:
            self.abandon()
            raise

    @property
    def ranges(self) -> Sequence[tuple[int, int]]:
        """What the image keeps of the other's bytes: starts and ends, in order."""
        if self._ranges is None:
            self._prune()
            extents = Extents()
            extents.add(0, self._first)

            def note(record: bytes) -> bytes:
                extents.add(*blocks_of(record))
                return record

            self._tree.replace(note)
            for start, word, _ in FragmentEntry.layout.iter_unpack(self._data.fragment_entries):
                extents.add(start, word & SIZE_MASK)
            self._ranges = extents.merged()
        return self._ranges

    @property
    def dead(self) -> int:
        """Bytes of data in the other image that no member refers to."""
        kept = sum(end - start for start, end in self.ranges)
        return self._superblock.inode_table_start - kept

    @property
    def share(self) -> float:
        """The part of the other image that is dead, from 0 to 1."""
        return self.dead / self._superblock.bytes_used

    def add(self, member: Member) -> NoReturn:  # noqa: ARG002 -- of the method that it replaces
        """Raise PackingError: an image is extended, or compacted."""
        raise PackingError("an image that is compacted takes no members: extend it after that")

    def remove(self, path: bytes) -> None:
        """Remove a member, as ImageRevision does; its data is dead then."""
        self._ranges = None
        super().remove(path)

    def _finish(self) -> Packed:
        ranges = self.ranges
        self._output.keep(ranges)
        moved = _Places(ranges)

        def move(record: bytes) -> bytes:
            start, _ = blocks_of(record)
            return with_blocks_at(record, moved[start]) if start else record

        self._tree.replace(move)
        self._data.fragment_entries = bytearray(
            b"".join(
                FragmentEntry.layout.pack(moved[start], word, unused)
                for start, word, unused in FragmentEntry.layout.iter_unpack(
                    self._data.fragment_entries
                )
            )
        )
        self._image.position = moved.end
        return super()._finish()


class _Places:
    """Where bytes of an image come to lie of which ranges are kept."""

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = ranges
        self._starts = [start for start, _ in ranges]
        self._places = []
        self.end = 0
        """The end of all that is kept."""
        for start, end in ranges:
            self._places.append(self.end)
            self.end += end - start

    def __getitem__(self, position: int) -> int:
        """Return the new place of a byte, or of the next that is kept."""
        number = bisect_right(self._starts, position) - 1
        start, end = self._ranges[number]
        return self._places[number] + min(position, end) - start
