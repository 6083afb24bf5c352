"""Metadata blocks, read inside one table's extent.

Each holds up to 8 KiB of decoded inodes, listings or table entries.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.device_reads import read_decoded
from s3archivefs.errors import CorruptImageError
from s3archivefs.format import METADATA_BLOCK_SIZE, METADATA_BLOCK_STORED
from s3archivefs.named_tuples import NamedTuple

if TYPE_CHECKING:
    from s3archivefs.cache import WeightedCache
    from s3archivefs.compression import Codec
    from s3archivefs.device import BlockDevice
    from s3archivefs.superblock import Extent

__all__ = ["HEADER_SIZE", "Block", "MetadataCursor", "MetadataReader", "split_reference"]

HEADER_SIZE = 2
_BLOCK_WEIGHT = 300  # bytes of memory that a cached block takes besides its content, roughly


class Block(NamedTuple):
    """One decoded metadata block."""

    data: bytes
    end: int
    """Start of the next block, in bytes from the start of the image."""

    @property
    def weight(self) -> int:
        """Bytes of memory that the block takes, roughly."""
        return len(self.data) + _BLOCK_WEIGHT


def split_reference(reference: int) -> tuple[int, int]:
    """Return the metadata block of a reference, and the offset in the decoded block.

    The block's position is in bytes from the start of its table.
    """
    return reference >> 16, reference & 0xFFFF


class MetadataReader:
    """A reader of one table's metadata blocks, which cannot leave the table's extent.

    Format: "Packing Metadata".
    """

    def __init__(
        self,
        device: BlockDevice,
        codec: Codec,
        cache: WeightedCache[Block],
        extent: Extent,
        name: str,
    ) -> None:
        self._device = device
        self._codec = codec
        self._cache = cache
        self.extent = extent
        self.name = name
        self._what = f"a metadata block of the {name} table"

    def block(self, position: int) -> Block:
        """Return the metadata block at `position`, in bytes from the start of the image."""
        if not self.extent.start <= position <= self.extent.end - HEADER_SIZE:
            raise CorruptImageError(
                f"{self._what} lies outside the table's bytes {self.extent.start} to"
                f" {self.extent.end}",
                position,
            )
        block = self._cache.peek(position)
        if block is None:
            block = self._cache.get(position, partial(self._load, position))
        return block

    def capacity(self, position: int) -> int:
        """Return the most decoded bytes that the table can hold from a block's `position` on.

        The smallest block has a header and one byte; the largest content has 8 KiB.
        """
        return (self.extent.end - position) // (HEADER_SIZE + 1) * METADATA_BLOCK_SIZE

    def cursor(self, position: int, offset: int) -> MetadataCursor:
        """Return a cursor at `offset` of the decoded block at `position`."""
        if offset >= METADATA_BLOCK_SIZE:
            raise CorruptImageError(
                f"offset {offset} of the {self.name} table lies outside its metadata block",
                position,
            )
        return MetadataCursor(self, position, offset)

    def _load(self, position: int) -> Block:
        # One read for header and content: most blocks take less than the 8 KiB that they may.
        length = min(HEADER_SIZE + METADATA_BLOCK_SIZE, self.extent.end - position)
        decode = partial(self._decode, position)
        return read_decoded(self._device, position, length, self._what, decode)

    def _decode(self, position: int, raw: bytes) -> Block:
        """Return the block at `position`, decoded from the bytes `raw` that start there."""
        what, end = self._what, self.extent.end
        header = int.from_bytes(raw[:HEADER_SIZE], "little")
        size = header & ~METADATA_BLOCK_STORED
        if not 0 < size <= METADATA_BLOCK_SIZE:
            raise CorruptImageError(f"{what} has a size of {size} bytes", position)
        if HEADER_SIZE + size > len(raw):
            raise CorruptImageError(
                f"{what} has {size} bytes and runs past the table's end at byte {end}", position
            )
        data = raw[HEADER_SIZE : HEADER_SIZE + size]
        if not header & METADATA_BLOCK_STORED:
            data = self._codec.decode(data, METADATA_BLOCK_SIZE, what, position)
            if not data:
                raise CorruptImageError(f"{what} is empty", position)
        return Block(data, position + HEADER_SIZE + size)


class MetadataCursor:
    """A place in a table, which moves from block to block as bytes are taken."""

    __slots__ = ("_end", "_offset", "_position", "_reader", "_start")

    def __init__(self, reader: MetadataReader, position: int, offset: int) -> None:
        self._reader = reader
        self._start = self._end = position
        self._position = position
        self._offset = offset

    @property
    def extent(self) -> tuple[int, int]:
        """Start and end of the bytes of the image that hold what was taken."""
        return self._start, self._end

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        pieces = []
        while length > 0:
            piece = self.take_some(length)
            pieces.append(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def skip(self, length: int) -> None:
        """Skip the next `length` bytes."""
        while length > 0:
            length -= len(self.take_some(length))

    def take_some(self, length: int) -> bytes:
        """Return the next bytes of one block, at least one and at most `length`."""
        data, end = self._reader.block(self._position)
        if self._offset >= len(data):
            # A reference points into its block. Only a full block may be followed by another, since
            # look-ups count on 8 KiB each.
            if self._offset != METADATA_BLOCK_SIZE:
                raise CorruptImageError(
                    f"offset {self._offset} lies outside a metadata block of the "
                    f"{self._reader.name} table, which holds {len(data)} bytes",
                    self._position,
                )
            self._position, self._offset = end, 0
            data, end = self._reader.block(self._position)
        piece = data[self._offset : self._offset + length]
        self._offset += len(piece)
        self._end = end
        return piece

    @property
    def place(self) -> tuple[int, int]:
        """Block position and offset of the next byte, as `MetadataReader.cursor` takes them."""
        if self._offset < METADATA_BLOCK_SIZE:
            return self._position, self._offset
        return self._reader.block(self._position).end, 0
