"""File content: where its blocks lie, and reading runs of them at once."""

from __future__ import annotations

import os
import sys
from array import array
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cache import kept_property
from s3archivefs.device import decoded, prefetch_of, read_exactly
from s3archivefs.errors import CorruptImageError, LimitExceededError
from s3archivefs.forks import renew_after_fork
from s3archivefs.format import ABSENT_32, BLOCK_SIZE_MAX, DATA_BLOCK_STORED, Superblock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.compression import Codec
    from s3archivefs.device import BlockDevice
    from s3archivefs.inode import Inode, InodeTable
    from s3archivefs.limits import Limits
    from s3archivefs.tables import FragmentTable

__all__ = ["Content", "DataReader", "joined"]

_SIZE_MASK = DATA_BLOCK_STORED - 1
_RUN_BYTES = 4 << 20
"""Content of one run, in bytes: what is read at once and decompressed in parallel; it bounds
memory.
"""
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
        self._hint = prefetch_of(device)
        self._codec = codec
        self._cache = cache
        self._fragments = fragments
        self._limits = limits
        self.block_size = superblock.block_size
        self._end = superblock.bytes_used

    @property
    def can_prefetch(self) -> bool:
        """Whether the device takes hints."""
        return self._hint is not None

    def prefetch(self, position: int, length: int) -> int:
        """Tell the device that these bytes of the image will be wanted soon; returns how many of
        them, from the first on, are settled.
        """
        taken = None
        if self._hint is not None and _DATA_START <= position < position + length <= self._end:
            taken = self._hint([(position, length)])
        return length if taken is None else taken

    def block(self, stored: _Stored) -> bytes:
        """One decoded data block, kept for the next read of another part of it."""
        return self._cache.get(
            stored, lambda: self._decoded(stored, self._read(stored.position, stored.size))
        )

    def kept(self, stored: _Stored) -> bytes | None:
        """The decoded block if an earlier read of a part of it kept it."""
        return self._cache.peek(stored)

    def keep(self, stored: _Stored, content: bytes) -> None:
        """Keep a decoded block of which only a part was wanted: the next read wants the rest."""
        self._cache.put(stored, content)

    def blocks(self, run: list[_Stored]) -> Iterator[bytes]:
        """The decoded blocks of a run that lies in one piece: read at once, decompressed in
        parallel.
        """
        if not run:
            return iter(())
        start = run[0].position
        raw = memoryview(self._read(start, run[-1].position + run[-1].size - start))

        def decode(stored: _Stored) -> bytes:
            at = stored.position - start
            return self._decoded(stored, raw[at : at + stored.size])

        return _decoders.map(decode, run)

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

    def _read(self, position: int, length: int) -> bytes:
        if not _DATA_START <= position <= self._end - length:
            raise CorruptImageError(
                f"data has the bytes {position} to {position + length} of the image, whose data"
                f" lies from {_DATA_START} to {self._end}",
                position,
            )
        return read_exactly(self._device, position, length, "file data")

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

    def __init__(self, inode: Inode, inodes: InodeTable, reader: DataReader) -> None:
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

    @property
    def can_prefetch(self) -> bool:
        """Whether the device takes hints."""
        return self._reader.can_prefetch

    def left_of_block(self, position: int) -> int:
        """Bytes from a position of the content to where the next block begins."""
        return self._reader.block_size - position % self._reader.block_size

    def prefetch(self, start: int, stop: int) -> int:
        """Tell the device that the bytes [start, stop) of the content will be wanted soon; of the
        tail that lies in a fragment it learns nothing. Returns the end of what it takes up.
        """
        size = self._reader.block_size
        first, end = start // size, min(-(-stop // size), self._block_count)
        if first < end:
            begin = self._offsets[first]
            length = self._offsets[end - 1] + (self._words[end - 1] & _SIZE_MASK) - begin
            taken = self._reader.prefetch(self._start + begin, length)
            if taken < length:
                return max(start, (bisect_right(self._offsets, begin + taken, first) - 1) * size)
        return stop

    def pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        """The bytes [start, stop) of the content, in order, as pieces of at most a block each.

        At most one run of blocks is in memory at a time.
        """
        size = self._reader.block_size
        blocks_end = min(stop, self._block_count * size)
        if start < blocks_end:
            yield from self._block_pieces(start, blocks_end)
        if stop > blocks_end:
            skip = max(0, start - self._block_count * size)
            length = stop - max(start, self._block_count * size)
            yield self._reader.fragment(self._fragment, self._fragment_offset + skip, length)

    def read(self) -> bytes:
        """The whole content."""
        return joined(self.pieces(0, self.size))

    def _block_pieces(self, start: int, stop: int) -> Iterator[bytes | memoryview]:
        size = self._reader.block_size
        first, end = start // size, -(-stop // size)
        if end - first == 1 and self._words[first]:
            block = self._reader.block(self._stored(first))
            if stop - start == len(block):
                yield block
            else:
                yield memoryview(block)[start - first * size : stop - first * size]
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
        contents = self._reader.blocks([block for block in blocks if block.word])
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


# ---- Parallel decompression: the codecs release the GIL ------------------------------------------


class _Decoders:
    """`map` on all processors where there is more than one."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        """Made on first use: most programs read small files."""
        renew_after_fork(self, _Decoders._renew)

    def map(self, decode: Callable[[_Stored], bytes], run: list[_Stored]) -> Iterator[bytes]:
        """The decoded blocks: a share of the run for each processor, since handing over a block of
        128 KiB costs half of what decoding it does.
        """
        workers = os.cpu_count() or 1
        if len(run) == 1 or workers == 1:
            return map(decode, run)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(workers, thread_name_prefix="s3archivefs-decode")
        share = -(-len(run) // workers)
        shares = [run[first : first + share] for first in range(0, len(run), share)]
        return chain.from_iterable(self._pool.map(lambda part: [*map(decode, part)], shares))

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._pool = None  # whose threads the child has not


_decoders = _Decoders()
