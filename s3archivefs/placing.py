"""The part of an image that tells where contents lie, for who reads them elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.content import block_list
from s3archivefs.errors import SquashfsError
from s3archivefs.format import ABSENT_32
from s3archivefs.inode import FileKind
from s3archivefs.opening import FileOpener

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.inode import Stat
    from s3archivefs.readers import Readers

__all__ = ["Placer"]

_REGULAR = FileKind.FILE


class Placer(FileOpener):
    """The part of `SquashFS` that tells where contents lie."""

    _readers: Readers

    def content_start(self, stat: Stat) -> tuple[int, int, int]:
        """Return where the content of a file begins, its fragment, and where in that.

        Files that have no more than a part of one block begin where that begins. It is the order
        in which `read_pieces` reads. The fragment is the number of the block that the file shares
        with others, which holds its tail, or all of a small file; ABSENT_32 for a file without.
        They are 0, ABSENT_32 and 0 where the place is not sound: to read the file says why.

        Format: "Data and Fragment Blocks".
        """
        if self.closed:
            self._check_open()
        place = self._place_of_content(stat)
        if place is None:
            return 0, ABSENT_32, 0
        data = self._readers.data
        _, size, start, fragment, offset = place
        if fragment == ABSENT_32 or size >= data.block_size:
            return start, fragment, offset
        try:
            return data.fragment_block(fragment).position, fragment, offset
        except (SquashfsError, OSError):
            return 0, fragment, offset

    def block_words(self, place: ContentPlace) -> Sequence[int]:
        """Return the size words of a file's blocks, without a tail in a fragment block.

        Format: "File Inodes".
        """
        self._check_open()
        readers = self._readers
        count = place.block_count(readers.data.block_size)
        if not count:
            return ()
        inode = readers.inodes.inode(place.reference)
        return block_list(inode, count, readers.inodes, readers.data)

    def fragment_block(self, number: int) -> tuple[int, int]:
        """Return where a fragment block begins, and its size word.

        Format: "Fragment Table".
        """
        self._check_open()
        stored = self._readers.data.fragment_block(number)
        return stored.position, stored.word

    def know_fragment_blocks(self, found: Iterable[tuple[int, int, int]]) -> None:
        """Take over what `fragment_block` returned for this image, each behind its number.

        Raises CorruptImageError for what cannot be.

        Format: "Fragment Table".
        """
        self._check_open()
        for number, position, word in found:
            self._readers.data.know_fragment_block(number, position, word)

    def _place_of_content(self, stat: Stat) -> ContentPlace | None:
        """Return where the content of a file lies; None where reading it says why not."""
        if stat.kind is not _REGULAR:
            raise ValueError(f"inode {stat.inode_number} is no regular file: it has no content")
        try:
            return self._readers.content_place(stat)
        except (SquashfsError, OSError):
            return None
