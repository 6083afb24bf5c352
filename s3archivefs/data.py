"""The data blocks and fragment blocks of one image, read and decoded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.cached_only import NotCachedError, may_wait
from s3archivefs.device import pread_at_hand, readahead_of
from s3archivefs.device_reads import decoded, read_exactly, read_stretch
from s3archivefs.errors import CorruptImageError, LimitExceededError, SquashfsError
from s3archivefs.format import DATA_BLOCK_STORED, Superblock
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.parallel import map_parallel

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.compression import Codec
    from s3archivefs.device import BlockDevice, ReadAhead
    from s3archivefs.limits import Limits
    from s3archivefs.tables import FragmentTable

__all__ = ["ANY_SIZE", "SIZE_MASK", "DataReader", "FragmentBlocks", "StoredBlock"]

SIZE_MASK = DATA_BLOCK_STORED - 1
"""The bits of a block's size word that count its bytes."""
ANY_SIZE = -1
"""The size due of a fragment block: any, up to the block size."""
_DATA_START = Superblock.layout.size
_QUICK_BLOCKS = 4
"""Blocks of which one is decoded while a thread would be handed it."""
_FRAGMENT_WEIGHT = 250  # bytes of memory that an entry takes with its place in a dict


class StoredBlock(NamedTuple):
    """A data block or fragment block as it lies in the image."""

    position: int
    word: int
    """Size word: bytes in the low 24 bits, DATA_BLOCK_STORED above."""
    due: int
    """Bytes that the block must decode to; ANY_SIZE for a fragment block."""

    @property
    def size(self) -> int:
        """Bytes that the block takes in the image."""
        return self.word & SIZE_MASK


class FragmentBlocks(dict[int, StoredBlock]):
    """Where fragment blocks lie, by number; a dict takes the least time.

    At most `capacity` bytes of memory keep entries of `table`.
    """

    def __init__(self, table: FragmentTable, capacity: int) -> None:
        super().__init__()
        self.table = table
        """The image's table of all of them."""
        self.latest = 0
        """The number that was found last."""
        self._most = capacity // _FRAGMENT_WEIGHT

    def keep(self, index: int, stored: StoredBlock) -> None:
        """Keep a block that is found to be within the image."""
        # Without a lock: threads that come at the same time each keep the same block.
        self[index] = stored
        if len(self) > self._most:
            super().clear()

    @property
    def weight(self) -> int:
        """Bytes of memory that all of it takes, roughly."""
        return len(self) * _FRAGMENT_WEIGHT

    def clear(self) -> None:
        """Forget all, and what was read of the table."""
        super().clear()
        self.table.clear()

    def in_doubt(self) -> list[tuple[int, int]]:
        """Return the range of the image that holds the entry used last."""
        return self.table.extents_of(self.latest) if self else []


class DataReader:
    """A reader of one image's data blocks and fragments, which decodes them.

    Format: "Data and Fragment Blocks".
    """

    def __init__(
        self,
        device: BlockDevice,
        codec: Codec,
        cache: WeightedCache[bytes],
        fragments: FragmentBlocks,
        superblock: Superblock,
        *,
        limits: Limits,
    ) -> None:
        self._device = device
        self._codec = codec
        self._cache = cache
        self.fragments = fragments
        """Where the fragment blocks lie."""
        self._limits = limits
        self.block_size = superblock.block_size
        self._data_end = superblock.inode_table_start
        self._end = superblock.bytes_used

    def readahead(self, position: int, length: int) -> ReadAhead | None:
        """Return the device's readahead for one reader of these bytes, or None."""
        if not _DATA_START <= position < position + length <= self._end:
            return None
        return readahead_of(self._device, position, length)

    def readahead_of_all(self) -> ReadAhead | None:
        """Return the device's readahead for all blocks, which begins to fetch them, or None."""
        return self.readahead_once(_DATA_START, self._data_end)

    def readahead_once(self, start: int, stop: int) -> ReadAhead | None:
        """Return likewise one for the bytes [start, stop), which are read once and in order."""
        ahead = self.readahead(start, stop - start)
        if ahead is not None:
            getattr(ahead, "will_read_once", ahead.will_read)(start, stop - start)
        return ahead

    @property
    def has_readahead(self) -> bool:
        """Whether the device has readahead, as one has that is slow to begin a read."""
        ahead = self.readahead(_DATA_START, 1)
        if ahead is not None:
            ahead.close()
        return ahead is not None

    def block(self, stored: StoredBlock, ahead: ReadAhead | None) -> bytes:
        """Return one decoded data block, and cache it for the next read of it."""
        content = self._cache.peek(stored)
        if content is None:
            content = self._loaded(stored, ahead)
        return content

    def _loaded(self, stored: StoredBlock, ahead: ReadAhead | None = None) -> bytes:
        if not may_wait():
            return self._at_hand(stored)
        return self._cache.get(
            stored, lambda: self._decoded(stored, self.read(stored.position, stored.size, ahead))
        )

    def _at_hand(self, stored: StoredBlock) -> bytes:
        """Return a decoded block without waiting, and cache it; else raise NotCachedError.

        Its bytes are at hand, and to decode them takes no longer than to have a thread do it.
        """
        self.check_range(stored.position, stored.size)
        if _QUICK_BLOCKS * self.block_size > self._codec.parallel_bytes:
            raise NotCachedError
        raw = pread_at_hand(self._device, stored.position, stored.size)
        if raw is None or len(raw) != stored.size:
            raise NotCachedError
        try:
            content = self.decode(stored, raw)
        except SquashfsError:  # the device may have a damaged copy, and another read may help
            raise NotCachedError from None
        self._cache.put(stored, content)
        return content

    def kept(self, stored: StoredBlock) -> bytes | None:
        """Return the decoded block if it is cached."""
        return self._cache.peek(stored)

    def keep(self, stored: StoredBlock, content: bytes) -> None:
        """Cache a block that was read in part, for a read of the rest."""
        self._cache.put(stored, content)

    def blocks(self, run: list[StoredBlock], ahead: ReadAhead | None) -> Iterator[bytes]:
        """Read adjacent blocks at once, decode them in parallel and return them in order."""
        if not run:
            return iter(())
        start = run[0].position
        length = run[-1].position + run[-1].size - start
        self.check_range(start, length)
        raw = read_stretch(ahead or self._device, start, length, "file data")

        def decode(stored: StoredBlock) -> bytes:
            at = stored.position - start
            return self._decoded(stored, raw.part(at, at + stored.size))

        if len(run) * self.block_size < self._codec.parallel_bytes:
            return map(decode, run)
        return map_parallel(decode, run)

    def fragment(self, index: int, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset` of a decoded fragment block."""
        stored = self.fragment_block(index)
        content = self._cache.peek(stored)
        if content is None:
            content = self._loaded(stored)
        if offset + length > len(content):
            raise CorruptImageError(
                f"a file's tail ends at byte {offset + length} of fragment {index}, "
                f"which holds {len(content)}",
                stored.position,
            )
        return content[offset : offset + length]

    def fragment_block(self, index: int) -> StoredBlock:
        """Return a fragment block as it lies in the image, within the image's data."""
        stored = self.fragments.get(index)
        if stored is None:
            entry = self.fragments.table[index]
            stored = self.know_fragment_block(index, entry.start, entry.size)
        self.fragments.latest = index
        return stored

    def tail_alone(self, fragment: StoredBlock, offset: int, length: int) -> StoredBlock | None:
        """Return one file's tail in a fragment block, as a block.

        Return None where the fragment block is compressed, cached, or too short.
        """
        is_plain = fragment.word & DATA_BLOCK_STORED and self.kept(fragment) is None
        if not is_plain or not 0 < length <= fragment.size - offset:
            return None
        return StoredBlock(fragment.position + offset, DATA_BLOCK_STORED | length, length)

    def know_fragment_block(self, index: int, position: int, word: int) -> StoredBlock:
        """Keep where a fragment block lies within the image's data, and return that."""
        stored = StoredBlock(position, word, ANY_SIZE)
        self._check_word(word, position)
        if not stored.size:
            raise CorruptImageError("a fragment block is empty", position)
        self.check_range(position, stored.size)
        self.fragments.keep(index, stored)
        return stored

    def _decoded(self, stored: StoredBlock, raw: bytes | memoryview) -> bytes:
        decode = partial(self.decode, stored)
        return decoded(self._device, stored.position, raw, _what(stored), decode)

    def decode(self, stored: StoredBlock, raw: bytes | memoryview) -> bytes:
        """Return the content of a block or fragment block, of its bytes in the image."""
        due = stored.due
        if stored.word & DATA_BLOCK_STORED:
            content = bytes(raw)
        else:
            limit = self.block_size if due == ANY_SIZE else due
            content = self._codec.decode(raw, limit, _what(stored), stored.position)
        if due not in {ANY_SIZE, len(content)}:
            raise CorruptImageError(
                f"a data block holds {len(content)} bytes instead of {due}", stored.position
            )
        return content

    def read(
        self, position: int, length: int, ahead: ReadAhead | None = None, *, among: int = 0
    ) -> bytes:
        """Return bytes of the image's data, read through `ahead` if given.

        `among` is of how many bytes they are part that are asked for in random order, if they are.
        Raises CorruptImageError where they lie outside the image's data.
        """
        self.check_range(position, length)
        return read_exactly(ahead or self._device, position, length, "file data", among)

    def check_range(self, position: int, length: int) -> None:
        """Refuse bytes that lie outside the image's data."""
        if not _DATA_START <= position <= self._end - length:
            raise CorruptImageError(
                f"data has the bytes {position} to {position + length} of the image, whose data"
                f" lies from {_DATA_START} to {self._end}",
                position,
            )

    def _check_word(self, word: int, position: int) -> None:
        if word >= DATA_BLOCK_STORED << 1 or word & SIZE_MASK > self.block_size:
            raise CorruptImageError(
                f"a block's size word is {word:#x}, more than a block of {self.block_size} bytes",
                position,
            )

    def check_list_size(self, size: int) -> None:
        """Refuse a block list of more bytes than the limits allow."""
        if size > self._limits.block_list_bytes:
            raise LimitExceededError("block_list_bytes", size, self._limits.block_list_bytes)

    def check_words(self, words: array[int], position: int) -> None:
        """Refuse a block list with size words that no block can have."""
        for word in set(words):
            self._check_word(word, position)


def _what(stored: StoredBlock) -> str:
    return "a fragment block" if stored.due == ANY_SIZE else "a data block"
