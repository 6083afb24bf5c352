"""The data blocks and fragment blocks of one image, read and decoded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.device import readahead_of
from s3archivefs.device_reads import decoded, read_exactly
from s3archivefs.errors import CorruptImageError, LimitExceededError
from s3archivefs.format import DATA_BLOCK_STORED, Superblock
from s3archivefs.parallel import map_parallel

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.compression import Codec
    from s3archivefs.device import BlockDevice, ReadAhead
    from s3archivefs.limits import Limits
    from s3archivefs.tables import FragmentTable

__all__ = ["SIZE_MASK", "DataReader", "StoredBlock"]

SIZE_MASK = DATA_BLOCK_STORED - 1
"""The bits of a block's size word that count its bytes."""
_DATA_START = Superblock.layout.size


class StoredBlock(NamedTuple):
    """A data block or fragment block as it lies in the image."""

    position: int
    word: int
    """Size word: bytes in the low 24 bits, DATA_BLOCK_STORED above."""
    due: int
    """Bytes that the block must decode to."""

    @property
    def size(self) -> int:
        """Bytes that the block takes in the image."""
        return self.word & SIZE_MASK


class DataReader:
    """A reader of one image's data blocks and fragments, which decodes them.

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
        """Return the device's readahead for one reader of these bytes, or None."""
        if not _DATA_START <= position < position + length <= self._end:
            return None
        return readahead_of(self._device, position, length)

    def block(self, stored: StoredBlock, ahead: ReadAhead | None) -> bytes:
        """Return one decoded data block, and cache it for the next read of it."""
        return self._cache.get(
            stored, lambda: self._decoded(stored, self._read(stored.position, stored.size, ahead))
        )

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
        raw = memoryview(self._read(start, run[-1].position + run[-1].size - start, ahead))

        def decode(stored: StoredBlock) -> bytes:
            at = stored.position - start
            return self._decoded(stored, raw[at : at + stored.size])

        if len(run) * self.block_size < self._codec.parallel_bytes:
            return map(decode, run)
        return map_parallel(decode, run)

    def fragment(self, index: int, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset` of a decoded fragment block."""
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
        size = word & SIZE_MASK
        self._check_word(word, start)
        if not size:
            raise CorruptImageError("a fragment block is empty", start)
        raw = self._read(start, size)
        if word & DATA_BLOCK_STORED:
            return raw
        what = "a fragment block"
        decode = partial(self._codec.decode, limit=self.block_size, what=what, offset=start)
        return decoded(self._device, start, raw, what, decode)

    def _decoded(self, stored: StoredBlock, raw: bytes | memoryview) -> bytes:
        decode = partial(self._decode, stored)
        return decoded(self._device, stored.position, raw, "a data block", decode)

    def _decode(self, stored: StoredBlock, raw: bytes | memoryview) -> bytes:
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
