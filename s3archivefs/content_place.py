"""Where the content of a regular file lies."""

from __future__ import annotations

from s3archivefs.format import ABSENT_32
from s3archivefs.named_tuples import NamedTuple

__all__ = ["ContentPlace"]


class ContentPlace(NamedTuple):
    """Where the content of a regular file lies, as its inode says.

    Format: "File Inodes".
    """

    reference: int
    """Reference of the inode."""
    size: int
    """Bytes of content."""
    blocks_start: int
    """Start of the first block, in bytes from the start of the image."""
    fragment_index: int
    """Number of the fragment block with the tail; ABSENT_32 for a file without."""
    fragment_offset: int
    """Start of the tail, in bytes from the start of the decoded fragment block."""

    def block_count(self, block_size: int) -> int:
        """Return the number of blocks, holes among them, without a tail in a fragment block."""
        if self.fragment_index != ABSENT_32:
            return self.size // block_size
        return -(-self.size // block_size)
