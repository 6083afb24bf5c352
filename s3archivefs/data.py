"""File content: where its blocks lie, and reading runs of them at once."""

from __future__ import annotations

import sys
from array import array
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cache import kept_property
from s3archivefs.device import readahead_of
from s3archivefs.device_reads import decoded, read_exactly
from s3archivefs.errors import CorruptImageError, FormatError, LimitExceededError
from s3archivefs.format import ABSENT_32, BLOCK_SIZE_MAX, DATA_BLOCK_STORED, Superblock
from s3archivefs.parallel import map_parallel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.compression import Codec
    from s3archivefs.device import BlockDevice, ReadAhead
    from s3archivefs.inode import Inode, InodeTable
    from s3archivefs.limits import Limits
    from s3archivefs.tables import FragmentTable

__all__ = ["Content", "DataReader", "joined"]

_SIZE_MASK = DATA_BLOCK_STORED - 1
_RUN_BYTES = 4 << 20
"""Bytes of content of one run, read at once and decompressed in parallel; it bounds memory."""
_DATA_START = Superblock.layout.size
_ZEROS = memoryview(bytes(BLOCK_SIZE_MAX))
_WORD = 4


class _Stored(NamedTuple):
    """A data block or fragment block as it lies in the image."""

    position: int
    word: int
    """Its size word: the low 24 bits count its bytes, bit 24 says it is not compressed."""
    due: int
    """Bytes it must decode to."""

    @property
    def size(self) -> int:
        return self.word & _SIZE_MASK


class DataReader:
    """Reads and decodes data blocks and fragments of one image.

    Format: "Data and Fragment Blocks".
    """

    def __init__(
        self,
        device: BlockDevice,
        codec: Codec,
        cache: WeightedCache[bytes],
        fragments: FragmentTable,
        superblock: Superblock,
        *,
        limits: Limits,
    ) -> None:
        self._device = device
        self._codec = codec
        self._cache = cache
        self._fragments = fragments
        self._limits = limits
        self.block_size = superblock.block_size
        self._end = superblock.bytes_used

    def readahead(self, position: int, length: int) -> ReadAhead | None:
        """What fetches ahead of one reader of these bytes of the image, if the device can."""
        if not _DATA_START <= position < position + length <= self._end:
            return None
        return readahead_of(self._device, position, length)

    def block(self, stored: _Stored, ahead: ReadAhead | None) -> bytes:
        """One decoded data block, kept for the next read of another part of it."""
        return self._cache.get(
            stored, lambda: self._decoded(stored, self._read(stored.position, stored.size, ahead))
        )

    def kept(self, stored: _Stored) -> bytes | None:
        """The decoded block if an earlier read of a part of it kept it."""
        return self._cache.peek(stored)

    def keep(self, stored: _Stored, content: bytes) -> None:
        """Keep a decoded block of which only a part was wanted: the next read wants the rest."""
        self._cache.put(stored, content)

    def blocks(self, run: list[_Stored], ahead: ReadAhead | None) -> Iterator[bytes]:
        """The decoded blocks of a run that lies in one piece: read at once, decompressed in
        parallel.
        """
        if not run:
            return iter(())
        start = run[0].position
        raw = memoryview(self._read(start, run[-1].position + run[-1].size - start, ahead))

        def decode(stored: _Stored) -> bytes:
            at = stored.position - start
            return self._decoded(stored, raw[at : at + stored.size])

        return map_parallel(decode, run)

    def fragment(self, index: int, offset: int, length: int) -> bytes:
        """`length` bytes at `offset` of a decoded fragment block."""
        entry = self._fragments[index]
        content = self._cache.get(
            (entry.start, entry.size), lambda: self._load_fragment(entry.start, entry.size)
        )
        if offset + length > len(content):
            raise CorruptImageError(
                f"a file's tail ends at byte {offset + length} of fragment {index}, "
                f"which holds {len(content)}",
                entry.start,
            )
        return content[offset : offset + length]

    def _load_fragment(self, start: int, word: int) -> bytes:
        size = word & _SIZE_MASK
        self._check_word(word, start)
        if not size:
            raise CorruptImageError("a fragment block is empty", start)
        raw = self._read(start, size)
        if word & DATA_BLOCK_STORED:
            return raw
        what = "a fragment block"
        decode = partial(self._codec.decode, limit=self.block_size, what=what, offset=start)
        return decoded(self._device, start, raw, what, decode)

    def _decoded(self, stored: _Stored, raw: bytes | memoryview) -> bytes:
        decode = partial(self._decode, stored)
        return decoded(self._device, stored.position, raw, "a data block", decode)

    def _decode(self, stored: _Stored, raw: bytes | memoryview) -> bytes:
        if stored.word & DATA_BLOCK_STORED:
            content = bytes(raw)
        else:
            content = self._codec.decode(raw, stored.due, "a data block", stored.position)
        if len(content) != stored.due:
            raise CorruptImageError(
                f"a data block holds {len(content)} bytes instead of {stored.due}", stored.position
            )
        return content

    def _read(self, position: int, length: int, ahead: ReadAhead | None = None) -> bytes:
        if not _DATA_START <= position <= self._end - length:
            raise CorruptImageError(
                f"data has the bytes {position} to {position + length} of the image, whose data"
                f" lies from {_DATA_START} to {self._end}",
                position,
            )
        return read_exactly(ahead or self._device, position, length, "file data")

    def _check_word(self, word: int, position: int) -> None:
        if word >= DATA_BLOCK_STORED << 1 or word & _SIZE_MASK > self.block_size:
            raise CorruptImageError(
                f"a block's size word is {word:#x}, more than a block of {self.block_size} bytes",
                position,
            )

    def check_list_size(self, size: int) -> None:
        """Refuse a block list of more bytes than the limits allow."""
        if size > self._limits.block_list_bytes:
            raise LimitExceededError("block_list_bytes", size, self._limits.block_list_bytes)

    def check_words(self, words: array[int], position: int) -> None:
        """Refuse a block list with sizes that no block has."""
        for word in set(words):
            self._check_word(word, position)


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
        length = self._offsets[end - 1] + (self._words[end - 1] & _SIZE_MASK) - begin
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

    def _stored(self, number: int) -> _Stored:
        size = self._reader.block_size
        due = min(size, self.size - number * size)
        return _Stored(self._start + self._offsets[number], self._words[number], due)

    @kept_property
    def _words(self) -> array[int]:
        """The block list, a size word a block; read whole, as the position of a block is the sum of
        those before.
        """
        words = array("I")
        left = self._block_count * _WORD
        cursor = self._inodes.tail(self._inode, left, "block list")
        self._reader.check_list_size(left)
        carried = b""
        while left:
            piece = cursor.take_some(left)
            left -= len(piece)
            carried += piece
            whole = len(carried) & ~(_WORD - 1)
            words.frombytes(carried[:whole])
            carried = carried[whole:]
        if sys.byteorder == "big":  # pragma: no cover -- on no machine that runs the tests
            words.byteswap()
        self._reader.check_words(words, self._inode.tail[0])
        return words

    @kept_property
    def _offsets(self) -> array[int]:
        """Where each block starts, in bytes behind the file's first one; a hole takes no bytes."""
        return array("Q", accumulate((word & _SIZE_MASK for word in self._words[:-1]), initial=0))


def joined(pieces: Iterable[bytes | memoryview]) -> bytes:
    """The pieces as one; a single one without a copy."""
    parts = list(pieces)
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)
