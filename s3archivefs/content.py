"""The content of one file: where its blocks lie, and reading runs of them at once."""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING

from s3archivefs.cache import kept_property
from s3archivefs.data import SIZE_MASK, StoredBlock
from s3archivefs.errors import FormatError
from s3archivefs.format import ABSENT_32, BLOCK_SIZE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.data import DataReader
    from s3archivefs.device import ReadAhead
    from s3archivefs.inode import Inode, InodeTable

__all__ = ["Content", "joined"]

_RUN_BYTES = 4 << 20
"""Bytes of content of one run, read at once and decompressed in parallel; it bounds memory."""
_ZEROS = memoryview(bytes(BLOCK_SIZE_MAX))
_WORD = 4


class Content:
    """The content of one regular file: random access, in whole blocks underneath.

    Format: "File Inodes", "Data and Fragment Blocks".
    """

    def __init__(
        self,
        inode: Inode,
        inodes: InodeTable,
        reader: DataReader,
        read_anew: Callable[[], tuple[Inode, InodeTable, DataReader] | None] = lambda: None,
    ) -> None:
        self._read_anew = read_anew
        """Where what the content is read by makes no sense: the same, read once more, or None."""
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

    def left_of_block(self, position: int) -> int:
        """Bytes from a position of the content to where the next block begins."""
        return self._reader.block_size - position % self._reader.block_size

    def will_read(self, start: int, stop: int) -> None:
        """Say that the bytes [start, stop) of the content will be read next, in order; of the tail
        that lies in a fragment nothing is fetched ahead.
        """
        self._announced = start, stop

    def close(self) -> None:
        """Let go of what was fetched ahead; nothing is from now on."""
        self._may_read_ahead = False
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def _reading(self) -> ReadAhead | None:
        """What fetches ahead of this reader, of a file of several blocks."""
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
        """Position and length of blocks in the image, in bytes."""
        begin = self._offsets[first]
        length = self._offsets[end - 1] + (self._words[end - 1] & SIZE_MASK) - begin
        return self._start + begin, length

    def pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """The bytes [start, stop) of the content, in order, as pieces of at most a block each, with
        at most one run of blocks in memory at a time.
        """
        try:
            for piece in self._pieces(start, stop):
                start += len(piece)
                yield piece
        except FormatError:
            found = self._read_anew()
            if found is None or found[0].file.size != self.size:
                raise
            self.close()
            for kept in ("_words", "_offsets"):
                vars(self).pop(kept, None)
            self._begin(*found)
            yield from self._pieces(start, stop)

    def _pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        size = self._reader.block_size
        blocks_end = min(stop, self._block_count * size)
        if start < blocks_end:
            yield from self._block_pieces(start, blocks_end)
        if stop > blocks_end:
            yield self._tail(max(start, self._block_count * size), stop)

    def part(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop) of the content: a slice, where they lie in one block."""
        if start >= stop:
            return b""
        size = self._reader.block_size
        number, at = divmod(start, size)
        if number >= self._block_count:
            return self._tail(start, stop)
        if stop <= (number + 1) * size and self._words[number]:
            block = self._reader.block(self._stored(number), self._reading())
            return block[at : at + stop - start]
        return joined(self.pieces(start, stop))

    def read(self) -> bytes:
        """The whole content, and close."""
        self.will_read(0, self.size)
        try:
            return joined(self.pieces(0, self.size))
        finally:
            self.close()

    def _tail(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop) of the content, behind its blocks."""
        offset = self._fragment_offset + start - self._block_count * self._reader.block_size
        return self._reader.fragment(self._fragment, offset, stop - start)

    def _block_pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        size = self._reader.block_size
        first, end = start // size, -(-stop // size)
        if end - first == 1 and self._words[first]:
            yield self.part(start, stop)
            return
        # Only the first block can have been kept by the read before this one.
        kept = self._reader.kept(self._stored(first)) if self._words[first] else None
        if kept is not None:
            yield memoryview(kept)[start - first * size :]
            first += 1
        blocks_at_once = _RUN_BYTES // size
        for begin in range(first, end, blocks_at_once):
            run = range(begin, min(begin + blocks_at_once, end))
            yield from self._run_pieces(run, start, stop)

    def _run_pieces(self, run: range, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """The parts inside [start, stop) of consecutive blocks, which lie one behind the other in
        the image; a hole lies nowhere and parts none of them.
        """
        blocks = [self._stored(number) for number in run]
        present = [block for block in blocks if block.word]
        contents = self._reader.blocks(present, self._reading())
        for number, block in zip(run, blocks, strict=True):
            content = next(contents) if block.word else _ZEROS[: block.due]
            begin = number * self._reader.block_size
            if start <= begin and begin + block.due <= stop:
                yield content
                continue
            if isinstance(content, bytes):
                self._reader.keep(block, content)
            yield memoryview(content)[max(0, start - begin) : stop - begin]

    def _stored(self, number: int) -> StoredBlock:
        size = self._reader.block_size
        due = min(size, self.size - number * size)
        return StoredBlock(self._start + self._offsets[number], self._words[number], due)

    @kept_property
    def _words(self) -> array[int]:
        """The block list, a size word a block; read whole, as the position of a block is the sum of
        those before.
        """
        words = array("I")
        left = self._block_count * _WORD
        cursor = self._inodes.tail(self._inode, left, "block list")
        self._reader.check_list_size(left)
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
        self._reader.check_words(words, self._inode.tail[0])
        return words

    @kept_property
    def _offsets(self) -> array[int]:
        """Where each block starts, in bytes behind the file's first one; a hole takes no bytes."""
        return array("Q", accumulate((word & SIZE_MASK for word in self._words[:-1]), initial=0))


def joined(pieces: Iterable[bytes | memoryview]) -> bytes:
    """The pieces as one; a single one without a copy."""
    parts = list(pieces)
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)
