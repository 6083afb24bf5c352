"""Tables of metadata blocks, compressed in parallel while records are added.

A place is where a record starts: metadata block number << 13 | offset in the block once decoded.
It becomes a reference once the blocks before it are compressed, since only then their lengths are
known.

Format: "Packing Metadata".
"""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.errors import PackingError
from s3archivefs.format import METADATA_BLOCK_SIZE, METADATA_BLOCK_STORED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.parallel import Work, Workers

__all__ = ["START_MAX", "MetadataTable", "Positions", "encoded_block", "write_lookup_table"]

_BLOCK_LOG = 13  # METADATA_BLOCK_SIZE is 1 << 13
_OFFSET_MASK = METADATA_BLOCK_SIZE - 1
START_MAX = (1 << 32) - 1
"""The last byte of a table at which a block can start, as references tell."""
_WAITING = 256
"""Blocks that may wait for their compression: 2 MiB."""
_BATCH = 16
"""Blocks that are handed over at once. Of single ones, that takes longer than lz4 does."""


def encoded_block(content: bytes, encode: Callable[[bytes], bytes] | None) -> bytes:
    """Return a metadata block as it is stored, with its header."""
    if encode is not None:
        compressed = encode(content)
        if len(compressed) < len(content):
            return len(compressed).to_bytes(2, "little") + compressed
    return (len(content) | METADATA_BLOCK_STORED).to_bytes(2, "little") + content


def _encoded_blocks(contents: list[bytes], encode: Callable[[bytes], bytes] | None) -> list[bytes]:
    return [encoded_block(content, encode) for content in contents]


class MetadataTable:
    """A table under way: records in order, in metadata blocks."""

    def __init__(self, encode: Callable[[bytes], bytes] | None, workers: Workers) -> None:
        self._encode = encode
        self._workers = workers
        self._raw = bytearray()
        """What no block was made of yet, less than a block between two calls."""
        self._batch: list[bytes] = []
        """Contents of blocks that are to be handed over."""
        self._waiting: list[Work[list[bytes]]] = []
        self.blocks: list[bytes] = []
        """The blocks in order, as they are stored."""
        self.starts = array("Q", [0])
        """Starts of the blocks and of what follows them, in bytes from the table's start."""
        self._begun = 0

    @property
    def place(self) -> int:
        """The place of the next record."""
        return self._begun << _BLOCK_LOG | len(self._raw)

    def append(self, record: bytes) -> int:
        """Add a record; return its place."""
        place = self._begun << _BLOCK_LOG | len(self._raw)
        self._raw += record
        if len(self._raw) >= METADATA_BLOCK_SIZE:
            self._make_blocks()
        return place

    def settle(self) -> None:
        """Wait until all places given out so far have references.

        Raises PackingError where some have none.
        """
        self._hand_over()
        for work in self._waiting:
            for block in work.result():
                if self.starts[-1] > START_MAX:
                    raise PackingError(
                        "the members' attributes and names take more than 4 GiB, which squashfs"
                        " holds: make several images"
                    )
                self.blocks.append(block)
                self.starts.append(self.starts[-1] + len(block))
        self._waiting.clear()

    def reference(self, place: int) -> int:
        """Return the reference of a place that is settled."""
        return self.starts[place >> _BLOCK_LOG] << 16 | place & _OFFSET_MASK

    def finish(self) -> None:
        """Make a last block of what is left."""
        if self._raw:
            self._begin(bytes(self._raw))
            self._raw.clear()
        self.settle()

    def contents(self, decode: Callable[[bytes], bytes]) -> Iterator[bytes]:
        """Yield what the blocks of a finished table hold."""
        for block in self.blocks:
            header, content = int.from_bytes(block[:2], "little"), block[2:]
            yield content if header & METADATA_BLOCK_STORED else decode(content)

    def _make_blocks(self) -> None:
        whole = len(self._raw) & ~_OFFSET_MASK
        view = bytes(self._raw[:whole])
        del self._raw[:whole]
        for start in range(0, whole, METADATA_BLOCK_SIZE):
            self._begin(view[start : start + METADATA_BLOCK_SIZE])
            if len(self._waiting) * _BATCH >= _WAITING:
                self.settle()

    def _begin(self, content: bytes) -> None:
        self._batch.append(content)
        self._begun += 1
        if len(self._batch) == _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._batch:
            encoded = partial(_encoded_blocks, self._batch, self._encode)
            self._waiting.append(self._workers.start(encoded))
            self._batch = []


class Positions:
    """The write position in the image, in bytes, for what is written through it."""

    def __init__(self, write: Callable[[bytes], None], position: int = 0) -> None:
        self._write = write
        self.position = position

    def write(self, content: bytes) -> int:
        """Append to the image; return where the content starts."""
        start = self.position
        self._write(content)
        self.position += len(content)
        return start

    def write_all(self, contents: Iterable[bytes]) -> int:
        """Append all to the image; return where they start."""
        start = self.position
        for content in contents:
            self.write(content)
        return start


def write_lookup_table(
    image: Positions, content: bytes, encode: Callable[[bytes], bytes] | None
) -> int:
    """Write a table of records of one size; return the start of its list.

    The list has the positions of the table's blocks.

    Format: "Storing Lookup Tables".
    """
    positions = [
        image.write(encoded_block(content[start : start + METADATA_BLOCK_SIZE], encode))
        for start in range(0, len(content), METADATA_BLOCK_SIZE)
    ]
    return image.write(b"".join(position.to_bytes(8, "little") for position in positions))
