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
"""Bytes of content from which on a batch is complete. Many workers get shares of it."""
_SHARES_EACH = 4
"""Shares under way that each worker finds, at least, while content comes."""

_Placed: TypeAlias = "Callable[[int, int], None]"
_Encoded: TypeAlias = "tuple[bytes, list[int]]"


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
        self._share = min(_BATCH, _UNDER_WAY // (_SHARES_EACH * workers.count))
        """Bytes of content from which on a share is handed over."""
        self._blocks: list[bytes | None] = []
        """The next share."""
        self._share_length = 0
        """Its bytes."""
        self._works: list[Work[_Encoded]] = []
        """The shares of the next batch that are handed over."""
        self._placed: list[_Placed] = []
        """What to call of each of its blocks."""
        self._length = 0
        """Its bytes."""
        self._batches: deque[tuple[list[_Placed], int, list[Work[_Encoded]]]] = deque()
        """Those that are complete, with their bytes of content."""
        self._under_way = 0
        """Bytes of content in them."""

    def add(self, block: bytes | None, placed: _Placed) -> None:
        """Store a block, and others before it if they take too much memory.

        `placed` is called with the block's start in the image and its size word: now or later, and
        in order. It is called for None too, in its turn: with the next start, and 0. When, does not
        depend on the workers, since what an image holds may lie in that order.
        """
        self._blocks.append(block)
        self._placed.append(placed)
        if block is not None:
            self._length += len(block)
            self._share_length += len(block)
            if self._length >= _BATCH:
                self._complete()
                while self._under_way > _UNDER_WAY:
                    self.write_next()
            elif self._share_length >= self._share:
                self._hand_over()

    def write_next(self) -> None:
        """Write the next batch, as soon as it is compressed."""
        if not self._batches:
            self._complete()
        all_placed, length, works = self._batches.popleft()
        self._under_way -= length
        starts, words = [], []
        for work in works:
            content, own = work.result()
            position = self._image.write(content)
            for word in own:
                starts.append(position)
                position += word & ~DATA_BLOCK_STORED
            words += own
        for placed, start, word in zip(all_placed, starts, words, strict=True):
            placed(start, word)

    def settle(self) -> None:
        """Write all blocks."""
        while self._batches or self._placed:
            self.write_next()

    def _hand_over(self) -> None:
        """Hand the next share over."""
        self._works.append(self._workers.start(partial(_encoded, self._blocks, self._encode)))
        self._blocks, self._share_length = [], 0

    def _complete(self) -> None:
        """Complete the next batch."""
        if self._blocks:
            self._hand_over()
        self._batches.append((self._placed, self._length, self._works))
        self._under_way += self._length
        self._placed, self._length, self._works = [], 0, []


def _encoded(blocks: list[bytes | None], encode: Callable[[bytes], bytes] | None) -> _Encoded:
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
