"""The content of one file: its block list, and reads of adjacent blocks."""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

from s3archivefs.cache import kept_property
from s3archivefs.data import SIZE_MASK, StoredBlock
from s3archivefs.errors import FormatError
from s3archivefs.format import ABSENT_32, BLOCK_SIZE_MAX
from s3archivefs.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.data import DataReader
    from s3archivefs.device import ReadAhead
    from s3archivefs.inode import Inode, InodeTable

__all__ = ["ZEROS", "Content", "Storage", "block_list", "is_hole", "joined"]

_RUN_BYTES = 4 << 20
"""Bytes of content that are read at once and decompressed in parallel; bounds memory."""
ZEROS = memoryview(bytes(BLOCK_SIZE_MAX))
"""The content of a hole in a file, one block at a time."""
_WORD = 4  # bytes of a size word


class Storage(NamedTuple):
    """How the content of a file lies in the image.

    Format: "File Inodes".
    """

    blocks: int
    """Data blocks, without holes."""
    holes: int
    """Blocks of zeros, which take no place."""
    size: int
    """Bytes that the data blocks take in the image."""
    tail: int
    """Bytes of content in a fragment block, which other files share."""


class Content:
    """The content of one regular file: random access, over blocks that are read whole.

    Format: "File Inodes", "Data and Fragment Blocks".
    """

    def __init__(
        self,
        inode: Inode,
        inodes: InodeTable,
        reader: DataReader,
        reread: Callable[[], tuple[Inode, InodeTable, DataReader] | None] = lambda: None,
    ) -> None:
        self._reread = reread
        """Reads inode and readers again after a FormatError; None where that cannot help."""
        self._begin(inode, inodes, reader)

    def _begin(self, inode: Inode, inodes: InodeTable, reader: DataReader) -> None:
        self._inode = inode
        self._inodes = inodes
        self._reader = reader
        record = inode.file
        self.size: int = record.size
        self._start = record.blocks_start
        self._fragment = record.fragment_index
        self._fragment_offset = record.fragment_offset
        size = reader.block_size
        has_fragment = record.fragment_index != ABSENT_32
        self._block_count = self.size // size if has_fragment else -(-self.size // size)
        self._ahead: ReadAhead | None = None
        self._may_read_ahead = self._block_count > 1
        self._announced: tuple[int, int] | None = None

    @property
    def storage(self) -> Storage:
        """How the content lies in the image, as the block list says."""
        holes = self._words.count(0)
        size = sum(word & SIZE_MASK for word in self._words)
        tail = 0
        if self._fragment != ABSENT_32:
            tail = self.size - self._block_count * self._reader.block_size
        return Storage(self._block_count - holes, holes, size, tail)

    @property
    def block_count(self) -> int:
        """Number of blocks, without a tail that lies in a fragment."""
        return self._block_count

    def left_of_block(self, position: int) -> int:
        """Return the bytes from a position of the content to the end of its block."""
        return self._reader.block_size - position % self._reader.block_size

    def will_read(self, start: int, stop: int) -> None:
        """Announce that the next reads are of the bytes [start, stop), in order.

        A tail that lies in a fragment is not fetched ahead.
        """
        self._announced = start, stop

    def close(self) -> None:
        """Drop what was fetched ahead, and fetch nothing ahead from now on."""
        self._may_read_ahead = False
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def _reading(self) -> ReadAhead | None:
        """Return this reader's readahead, or None: a file of one block needs none."""
        if not self._may_read_ahead:
            return None
        if self._ahead is None:
            self._ahead = self._reader.readahead(*self._span(0, self._block_count))
            if self._ahead is None or not self._may_read_ahead:  # the latter: closed meanwhile
                self.close()
        announced, self._announced = self._announced, None
        if self._ahead is not None and announced is not None:
            start, stop = announced
            size = self._reader.block_size
            first, end = start // size, min(-(-stop // size), self._block_count)
            if first < end:
                self._ahead.will_read(*self._span(first, end))
        return self._ahead

    def _span(self, first: int, end: int) -> tuple[int, int]:
        """Return position and length of the blocks [first, end) in the image, in bytes."""
        begin = self._offsets[first]
        length = self._offsets[end - 1] + (self._words[end - 1] & SIZE_MASK) - begin
        return self._start + begin, length

    def pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """Yield the bytes [start, stop) of the content, in pieces within one block.

        At most one run of blocks is in memory at a time.
        """
        try:
            for piece in self._pieces(start, stop):
                start += len(piece)
                yield piece
        except FormatError:
            if not self._begin_again():
                raise
            yield from self._pieces(start, stop)

    def _begin_again(self) -> bool:
        """Read inode and readers again; return whether what they lead to may differ."""
        found = self._reread()
        if found is None or found[0].file.size != self.size:
            return False
        may_read_ahead = self._may_read_ahead
        self.close()
        for kept in ("_words", "_offsets"):
            vars(self).pop(kept, None)
        self._begin(*found)
        self._may_read_ahead = self._may_read_ahead and may_read_ahead  # what is closed stays so
        return True

    def _pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        size = self._reader.block_size
        blocks_end = min(stop, self._block_count * size)
        if start < blocks_end:
            yield from self._block_pieces(start, blocks_end)
        if stop > blocks_end:
            yield self._tail(max(start, self._block_count * size), stop)

    def part(self, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop) of the content; a block read in part is cached."""
        if start >= stop:
            return b""
        size = self._reader.block_size
        number, at = divmod(start, size)
        try:
            if number >= self._block_count:
                return self._tail(start, stop)
            if stop <= (number + 1) * size and self._words[number]:
                block = self._reader.block(self._stored(number), self._reading())
                return block[at : at + stop - start]
        except FormatError:
            if not self._begin_again():
                raise
            return joined(self._pieces(start, stop))
        return joined(self.pieces(start, stop))

    def read(self) -> bytes:
        """Return the whole content, and close."""
        self.will_read(0, self.size)
        try:
            return joined(self.pieces(0, self.size))
        finally:
            self.close()

    def _tail(self, start: int, stop: int) -> bytes:
        """Return the bytes [start, stop) of the content, all in its tail."""
        offset = self._fragment_offset + start - self._block_count * self._reader.block_size
        return self._reader.fragment(self._fragment, offset, stop - start)

    def _block_pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        size = self._reader.block_size
        first, end = start // size, -(-stop // size)
        if end - first == 1 and self._words[first]:
            block = self._reader.block(self._stored(first), self._reading())
            yield block[start - first * size : stop - first * size]
            return
        # Of these blocks, the read before this one can have cached only the first.
        kept = self._reader.kept(self._stored(first)) if self._words[first] else None
        if kept is not None:
            yield memoryview(kept)[start - first * size :]
            first += 1
        blocks_at_once = _RUN_BYTES // size
        for begin in range(first, end, blocks_at_once):
            run = range(begin, min(begin + blocks_at_once, end))
            yield from self._run_pieces(run, start, stop)

    def _run_pieces(self, run: range, start: int, stop: int) -> list[bytes | memoryview]:
        """Return the parts inside [start, stop) of consecutive blocks of the file.

        The blocks follow each other in the image without a gap; a hole takes no bytes there.
        """
        blocks = [self._stored(number) for number in run]
        present = [block for block in blocks if block.word]
        contents = self._reader.blocks(present, self._reading())
        pieces: list[bytes | memoryview] = []
        for number, block in zip(run, blocks, strict=True):
            content = next(contents) if block.word else ZEROS[: block.due]
            begin = number * self._reader.block_size
            if start <= begin and begin + block.due <= stop:
                pieces.append(content)
                continue
            if isinstance(content, bytes):
                self._reader.keep(block, content)
            pieces.append(memoryview(content)[max(0, start - begin) : stop - begin])
        return pieces

    def _stored(self, number: int) -> StoredBlock:
        size = self._reader.block_size
        due = min(size, self.size - number * size)
        return StoredBlock(self._start + self._offsets[number], self._words[number], due)

    @kept_property
    def _words(self) -> array[int]:
        """The block list: one size word per block."""
        return block_list(self._inode, self._block_count, self._inodes, self._reader)

    @kept_property
    def _offsets(self) -> array[int]:
        """Start of each block, in bytes from the first block; holes take none."""
        return array("Q", accumulate((word & SIZE_MASK for word in self._words[:-1]), initial=0))


def block_list(inode: Inode, count: int, inodes: InodeTable, reader: DataReader) -> array[int]:
    """Return the block list of a file of `count` blocks: one size word per block.

    It is read whole, since a block starts at the sum of the sizes before it.
    """
    words = array("I")
    left = count * _WORD
    cursor = inodes.tail(inode, left, "block list")
    reader.check_list_size(left)
    rest = b""
    while left:
        piece = cursor.take_some(left)
        left -= len(piece)
        rest += piece
        whole = len(rest) & ~(_WORD - 1)
        words.frombytes(rest[:whole])
        rest = rest[whole:]
    if sys.byteorder == "big":  # pragma: no cover -- on no machine that runs the tests
        words.byteswap()
    reader.check_words(words, inode.tail[0])
    return words


def is_hole(piece: bytes | memoryview) -> bool:
    """Return whether a piece stands for a hole, of which the image stores no byte."""
    return isinstance(piece, memoryview) and piece.obj is ZEROS.obj


def joined(pieces: Iterable[bytes | memoryview]) -> bytes:
    """Join pieces; a single one of type bytes is not copied."""
    parts = list(pieces)
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)
