"""Files whose contents are wanted, in lists that take bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from s3archivefs.content_place import ContentPlace
from s3archivefs.format import ABSENT_32
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.names import as_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from s3archivefs.data import StoredBlock
    from s3archivefs.inode import Stat
    from s3archivefs.names import EitherPath

__all__ = ["FILE_WEIGHT", "LARGE_BYTES", "Wanted", "Window", "weight_of_path", "windows"]

P = TypeVar("P")

LARGE_BYTES = 4 << 20
"""Bytes of content above which a file is in no batch.

Read by itself, it is read in parallel too.
"""
FILE_WEIGHT = 600
"""Bytes of memory that a file takes beside path and content, roughly."""
# Files are put in the order of the disk together, in windows of so much memory: where the tree has
# another order than the disk, each window decodes nearly all fragment blocks anew.
_WINDOW_BYTES = 24 << 20
_FIRST_WINDOW_BYTES = 384 << 10  # so that the first file does not wait for a long listing
_BLOCK_WEIGHT = 400  # bytes of memory that a block takes, roughly
_NOWHERE = ContentPlace(-1, 0, 0, ABSENT_32, 0)
_CHARACTER_WEIGHT = 4  # likewise each character of a path, at most


class Wanted(Generic[P]):
    """A regular file whose content is wanted, and where that lies once it is planned.

    Files are in the order of their `position`, the start of the first block or of the fragment
    block. One whose inode cannot be read has no place, and is in no batch.
    """

    __slots__ = (
        *("blocks", "fragment", "fragment_index", "fragment_offset", "path", "position"),
        *("reference", "size", "stat", "words"),
    )

    def __init__(
        self,
        path: P,
        place: ContentPlace | None,
        stat: Stat | None = None,
        words: Sequence[int] | None = None,
    ) -> None:
        # The fields of the place, and not the place: the garbage collector has fewer objects to go
        # through, which saves a tenth of the time of the thread that plans.
        self.path = path
        self.reference, self.size, self.position, self.fragment_index, self.fragment_offset = (
            place or _NOWHERE
        )
        self.stat = stat
        self.words = words
        """The size words of the blocks, if they are known."""
        self.blocks: Sequence[StoredBlock] | None = None
        """The blocks, holes among them; None for a file that is in no batch."""
        self.fragment: StoredBlock | None = None
        """The block that holds the tail."""


class Window(NamedTuple, Generic[P]):
    """Files that are put in the order of the disk together."""

    files: list[Wanted[P]]
    ends_many: bool
    """Whether they are the last of many, of which no block is wanted again."""


def weight_of_path(path: EitherPath) -> int:
    """Return the bytes of memory that a path takes, at most."""
    return _CHARACTER_WEIGHT * len(as_plain(path))


def windows(
    files: Iterable[Wanted[P]],
    block_size: int,
    weigh: Callable[[P], int],
    *,
    is_first_whole: bool = False,
) -> Iterator[Window[P]]:
    """Yield files in lists that take bounded memory; `weigh` weighs their paths.

    The first list is short, unless it is to be as long as others.
    """
    window: list[Wanted[P]] = []
    is_many = False
    weight, most = 0, _WINDOW_BYTES if is_first_whole else _FIRST_WINDOW_BYTES
    for file in files:
        window.append(file)
        weight += FILE_WEIGHT + weigh(file.path)
        if file.size >= block_size:
            weight += min(file.size, LARGE_BYTES) // block_size * _BLOCK_WEIGHT
        if weight >= most:
            yield Window(window, ends_many=False)
            is_many = True
            window, weight, most = [], 0, _WINDOW_BYTES
    if window:
        yield Window(window, is_many or weight >= _FIRST_WINDOW_BYTES)
