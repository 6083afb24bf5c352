"""Blocks compressed in parallel, a batch at a time, and written in order.

At each hand-over threads wait for one another: of single blocks, that takes longer than lz4 does.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from s3archivefs.format import DATA_BLOCK_STORED

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.parallel import Work, Workers
    from s3archivefs.writer.metadata import Positions

__all__ = ["OrderedBlocks"]

_UNDER_WAY = 32 << 20
"""Bytes of content that may wait for compression or for their turn to be written."""
_BATCH = 1 << 20
"""Bytes of content from which on a batch is handed over; fewer to many workers."""
_BATCHES_EACH = 4
"""Batches under way that each worker finds, at least, while content comes."""

_Placed: TypeAlias = "Callable[[int, int], None]"


class OrderedBlocks:
    """The blocks of an image under way.

    `encode` compresses a block; None stores all as they are.
    """

    def __init__(
        self, image: Positions, encode: Callable[[bytes], bytes] | None, workers: Workers
    ) -> None:
        self._image = image
        self._encode = encode
        self._workers = workers
        self._batch = min(_BATCH, _UNDER_WAY // (_BATCHES_EACH * workers.count))
        self._blocks: list[bytes | None] = []
        """The next batch."""
        self._placed: list[_Placed] = []
        """What to call of each of its blocks."""
        self._length = 0
        """Its bytes."""
        self._batches: deque[tuple[list[_Placed], int, Work[tuple[bytes, list[int]]]]] = deque()
        """Those handed over, with their bytes of content."""
        self._under_way = 0
        """Bytes of content in them."""

    def add(self, block: bytes | None, placed: _Placed) -> None:
        """Store a block, and others before it if they take too much memory.

        `placed` is called with the block's start in the image and its size word: now or later, and
        in order. It is called for None too, in its turn: with the next start, and 0.
        """
        self._blocks.append(block)
        self._placed.append(placed)
        if block is not None:
            self._length += len(block)
            if self._length >= self._batch:
                self._hand_over()
                while self._under_way > _UNDER_WAY:
                    self.write_next()

    def write_next(self) -> None:
        """Write the next batch, as soon as it is compressed."""
        if not self._batches:
            self._hand_over()
        all_placed, length, work = self._batches.popleft()
        content, words = work.result()
        self._under_way -= length
        position = self._image.write(content)
        for placed, word in zip(all_placed, words, strict=True):
            placed(position, word)
            position += word & ~DATA_BLOCK_STORED

    def settle(self) -> None:
        """Write all blocks."""
        while self._batches or self._blocks:
            self.write_next()

    def _hand_over(self) -> None:
        work = self._workers.start(partial(_encoded, self._blocks, self._encode))
        self._batches.append((self._placed, self._length, work))
        self._under_way += self._length
        self._blocks, self._placed, self._length = [], [], 0


def _encoded(
    blocks: list[bytes | None], encode: Callable[[bytes], bytes] | None
) -> tuple[bytes, list[int]]:
    """Return blocks as they are stored, joined, and the words of their sizes."""
    stored, words = [], []
    for block in blocks:
        if block is None:
            words.append(0)
            continue
        compressed = block if encode is None else encode(block)
        if len(compressed) < len(block):
            stored.append(compressed)
            words.append(len(compressed))
        else:
            stored.append(block)
            words.append(len(block) | DATA_BLOCK_STORED)
    return b"".join(stored), words
