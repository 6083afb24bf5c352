"""Files in the order of the disk, in batches to read and decode at once."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from s3archivefs.content import ZEROS, block_list, joined
from s3archivefs.data import ANY_SIZE, SIZE_MASK, StoredBlock
from s3archivefs.errors import SquashfsError
from s3archivefs.format import ABSENT_32
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.wanted import FILE_WEIGHT, LARGE_BYTES, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.data import DataReader
    from s3archivefs.inode import InodeTable

__all__ = ["Batch", "Planner", "Run", "SharedBlock"]

P = TypeVar("P")

_BATCH_BYTES = 4 << 20
"""Bytes of a full batch: its content, and what is read for it.

Handing a batch to another thread takes a hundredth of what decoding it does.
"""
_FRAGMENTS_BYTES = 8 << 20  # of fragment blocks kept for later batches, two at least
_SPARE_BYTES = 1 << 20  # read in vain by one batch, at most
_SCATTERED_LEAST = 8  # files that lie apart, before their order is taken for a random one


class SharedBlock:
    """A block to be decoded once for all files that have it."""

    __slots__ = ("content", "is_planned", "stored")

    def __init__(self, stored: StoredBlock, content: bytes | None = None) -> None:
        self.stored = stored
        self.content = content
        """None as long as it is not decoded, and where it cannot be."""
        self.is_planned = content is not None
        """Whether a batch decodes it, this one or one before it."""


class Run(NamedTuple):
    """A range of the image that is read at once."""

    start: int
    end: int
    blocks: list[SharedBlock]
    """The blocks to decode within the range."""


class Batch(Generic[P]):
    """Some files, and the blocks that hold their contents."""

    def __init__(self) -> None:
        self.files: list[Wanted[P]] = []
        self.missing: list[SharedBlock] = []
        """The blocks to read and decode."""
        self.weight = 0
        """Bytes of memory that the batch takes, roughly."""
        self.end = 0
        """End of the last block, in bytes from the start of the image."""
        self.last_fragment: StoredBlock | None = None
        """The fragment block that was wanted last: files beside each other share one."""
        self._blocks: dict[StoredBlock, SharedBlock] = {}
        self._last: tuple[int, bytes | None] = (-1, None)

    def add(self, stored: StoredBlock, shared: SharedBlock, weight: int) -> None:
        """Add a block that a file of the batch has."""
        self._blocks[stored] = shared
        if not shared.is_planned:
            shared.is_planned = True
            self.missing.append(shared)
            self.weight += stored.size
            self.end = max(self.end, stored.position + stored.size)
        self.weight += weight

    def __contains__(self, stored: StoredBlock) -> bool:
        return stored in self._blocks

    def decoded(self, stored: StoredBlock) -> bytes | None:
        """Return the content of one of its blocks, or None if that is not decoded."""
        return self._blocks[stored].content

    def runs(self, gap: int) -> list[Run]:
        """Return what to read for the batch, across gaps of at most so many bytes."""
        runs: list[Run] = []
        blocks: list[SharedBlock] = []
        start = end = 0
        spare = _SPARE_BYTES
        for shared in sorted(self.missing, key=_position):
            stored = shared.stored
            beyond = stored.position - end
            if blocks and beyond <= min(gap, spare):
                spare -= max(0, beyond)
            else:
                if blocks:
                    runs.append(Run(start, end, blocks))
                start, end, blocks = stored.position, 0, []
            end = max(end, stored.position + stored.size)
            blocks.append(shared)
        if blocks:
            runs.append(Run(start, end, blocks))
        return runs

    def content(self, file: Wanted[P]) -> bytes | None:
        """Return the content of a file once the batch is decoded.

        Return None for one that is in no batch, or whose blocks do not decode to what is due: to
        read it by itself says why.
        """
        if file.blocks is None:
            return None
        reference = file.reference
        if reference != self._last[0]:  # else it is a hard link, or wanted twice
            pieces = self.pieces(file)
            self._last = reference, None if pieces is None else joined(pieces)
        return self._last[1]

    def pieces(self, file: Wanted[P]) -> list[bytes | memoryview] | None:
        """Return likewise the pieces of the content, those of `content.is_hole` among them."""
        if file.blocks is None:
            return None
        pieces: list[bytes | memoryview] = []
        left = file.size
        for stored in file.blocks:
            piece = self._blocks[stored].content if stored.word else ZEROS[: stored.due]
            if piece is None:
                return None
            pieces.append(piece)
            left -= stored.due
        if file.fragment is not None:
            fragment = self._blocks[file.fragment].content
            end = file.fragment_offset + left
            if fragment is None or end > len(fragment):
                return None
            pieces.append(fragment[file.fragment_offset : end])
        return pieces


class Planner(Generic[P]):
    """Finds out where contents lie, and cuts files into batches.

    A file that has more than `large_bytes`, or whose place in the image is not sound, is in the
    order of the others, but in no batch.
    """

    def __init__(
        self, inodes: InodeTable, data: DataReader, large_bytes: int, *, divides: bool = False
    ) -> None:
        self._inodes = inodes
        self._divides = divides
        self._data = data
        self.is_scattered = False
        """Whether the files of the latest batch lie apart, as those of a random order."""
        self._large_bytes = min(large_bytes, LARGE_BYTES)
        self._fragments: OrderedDict[StoredBlock, SharedBlock] = OrderedDict()
        self._fragments_max = max(2, _FRAGMENTS_BYTES // data.block_size)

    def batches(self, files: list[Wanted[P]], gap: int | None) -> Iterator[Batch[P]]:
        """Yield batches of the files, in the order of the disk.

        No batch spans a gap of more than so many bytes, if given.
        """
        for file in files:
            self._locate(file)
        files.sort(key=_start)
        self.is_scattered = gap is not None and _are_apart(files, gap)
        batch: Batch[P] = Batch()
        last = -1
        for file in files:
            # Files that begin with the same block share that, or a fragment.
            is_full = batch.weight >= _BATCH_BYTES * (1 + (file.position == last))
            if is_full or (gap is not None and 0 < batch.end < file.position - gap):
                yield batch
                batch = Batch()
            last = file.position
            self._add(file, batch)
        if batch.files:
            yield batch

    def _locate(self, file: Wanted[P]) -> None:
        """Find out where the content of a file lies."""
        if file.reference < 0 or file.size > self._large_bytes:
            return
        block_size = self._data.block_size
        has_fragment = file.fragment_index != ABSENT_32
        count = file.size // block_size if has_fragment else -(-file.size // block_size)
        try:
            blocks = self._blocks(file, count) if count else ()
            if has_fragment:
                fragment = self._data.fragment_block(file.fragment_index)
                file.fragment = fragment
                if self._divides:
                    fragment = self._take_tail(file, fragment, file.size - count * block_size)
                if not count:
                    file.position = fragment.position
        except (SquashfsError, OSError):  # raised to the reader of the file
            return
        file.blocks = blocks

    def _take_tail(self, file: Wanted[P], fragment: StoredBlock, length: int) -> StoredBlock:
        """Return the block of a file's tail: its own, if it is not compressed."""
        tail = self._data.tail_alone(fragment, file.fragment_offset, length)
        if tail is None:
            return fragment
        file.fragment, file.fragment_offset = tail, 0
        return tail

    def _blocks(self, file: Wanted[P], count: int) -> list[StoredBlock]:
        blocks = []
        start = position = file.position
        left = file.size
        words = file.words
        if words is None or len(words) != count:
            inode = self._inodes.inode(file.reference)
            words = block_list(inode, count, self._inodes, self._data)
        for word in words:
            due = min(left, self._data.block_size)
            blocks.append(StoredBlock(position, word, due))
            position += word & SIZE_MASK
            left -= due
        if position > start:
            self._data.check_range(start, position - start)
        return blocks

    def _add(self, file: Wanted[P], batch: Batch[P]) -> None:
        batch.files.append(file)
        batch.weight += FILE_WEIGHT
        if file.blocks is None:
            return
        batch.weight += file.size
        for stored in file.blocks:
            if stored.word and stored not in batch:
                batch.add(stored, SharedBlock(stored), 0)
        fragment = file.fragment
        if fragment is not None and fragment is not batch.last_fragment:
            batch.last_fragment = fragment
            if fragment not in batch:
                weight = self._data.block_size if fragment.due == ANY_SIZE else 0
                batch.add(fragment, self._fragment(fragment), weight)

    def _fragment(self, stored: StoredBlock) -> SharedBlock:
        """Return a fragment block, which one of the last batches may have too."""
        shared = self._fragments.get(stored)
        if shared is None:
            shared = self._fragments[stored] = SharedBlock(stored, self._data.kept(stored))
            if len(self._fragments) > self._fragments_max:
                self._fragments.popitem(last=False)
        else:
            self._fragments.move_to_end(stored)
        return shared


_start = attrgetter("position")


def _are_apart(files: list[Wanted[P]], gap: int) -> bool:
    """Return whether most files, in the order of the disk, lie apart."""
    apart = sum(b.position - a.position > a.size + gap for a, b in pairwise(files))
    return apart >= max(_SCATTERED_LEAST, len(files) // 2)


def _position(shared: SharedBlock) -> int:
    return shared.stored.position
