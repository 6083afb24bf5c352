"""Where the contents of a partition's members lie: what reading them needs of the metadata."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.content_place import ContentPlace
from s3archivefs.data import SIZE_MASK
from s3archivefs.errors import SquashfsError
from s3archivefs.format import ABSENT_32

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s3archivefs.dataset.members import Members
    from s3archivefs.image import SquashFS

__all__ = ["Places", "place_of", "places_of"]


class Places(NamedTuple):
    """The blocks of a partition: 16 bytes a fragment block, and 4 each other.

    With them a worker reads contents, and nothing of the image's metadata.
    """

    fragments: array[int]
    """The numbers of fragment blocks, ascending."""
    positions: array[int]
    """Where each of them begins, in bytes from the start of the image."""
    fragment_words: array[int]
    """The size word of each."""
    words: array[int]
    """The size words of members' other blocks, one member behind the other."""
    ends: array[int]
    """Of each member, where its words end; nothing if there are no words."""
    start: int
    """Where the first of all blocks begins, in bytes from the start of the image."""
    stop: int
    """Where the last of them ends; 0 if there are none."""

    @property
    def fragment_blocks(self) -> Iterator[tuple[int, int, int]]:
        """Number, start and size word of each fragment block."""
        return zip(self.fragments, self.positions, self.fragment_words, strict=True)

    def words_of(self, index: int) -> Sequence[int]:
        """Return the size words of a member's blocks, counted from 0."""
        if not self.ends:
            return ()
        return self.words[self.ends[index - 1] if index else 0 : self.ends[index]]


def places_of(image: SquashFS, members: Members) -> Places | None:
    """Return the places of a partition's members, read from the image.

    Return None where some cannot be read: to read those members says why.
    """
    fragments = array("I", sorted({*members.fragments} - {ABSENT_32}))
    positions, fragment_words = array("Q"), array("I")
    words, ends = array("I"), array("I")
    block_size = image.superblock.block_size
    begins, stops = array("Q"), array("Q")
    try:
        for number in fragments:
            position, word = image.fragment_block(number)
            positions.append(position)
            fragment_words.append(word)
            begins.append(position)
            stops.append(position + (word & SIZE_MASK))
        sizes = zip(members.sizes, members.fragments, strict=True)
        for index, (size, fragment) in enumerate(sizes):
            if size >= block_size or (fragment == ABSENT_32 and size):
                found = image.block_words(place_of(members, index))
                words.extend(found)
                begins.append(members.starts[index])
                stops.append(members.starts[index] + sum(word & SIZE_MASK for word in found))
            ends.append(len(words))
    except (SquashfsError, OSError):
        return None
    start, stop = min(begins, default=0), max(stops, default=0)
    ends = ends if words else array("I")
    return Places(fragments, positions, fragment_words, words, ends, start, stop)


def place_of(members: Members, index: int) -> ContentPlace:
    """Return where the content of a member lies, counted from 0."""
    return ContentPlace(
        members.references[index],
        members.sizes[index],
        members.starts[index],
        members.fragments[index],
        members.offsets[index],
    )
