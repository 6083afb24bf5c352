"""Data blocks and fragment blocks: where contents go.

A file smaller than a block goes into the fragment under way, in the order in which files come: so
files of one directory share fragments, which is what serves reading in S3. The blocks of one file
are adjacent, and a fragment block never lies between them.

Format: "Data and Fragment Blocks", "Fragment Table".
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.format import ABSENT_32, FragmentEntry
from s3archivefs.writer.contents import KnownContents
from s3archivefs.writer.entries import UnfitError
from s3archivefs.writer.inode_records import Placement
from s3archivefs.writer.ordered_blocks import OrderedBlocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.parallel import Workers
    from s3archivefs.writer.entries import Content
    from s3archivefs.writer.kept_contents import KeptContents
    from s3archivefs.writer.metadata import Positions
    from s3archivefs.writer.options import PackOptions

__all__ = ["DataWriter", "Stored"]

_PLACED = 1 << 63
"""Bit of a known content's number, set where the rest is an index of placements."""


class Stored(NamedTuple):
    """What became of a file's content."""

    placement: Placement
    digest: bytes
    """Its SHA-256; empty where nothing asked for it."""
    duplicate: bool
    """Whether the image held it already."""


class _Blocks:
    """The blocks of a file that are under way."""

    __slots__ = ("digest", "fragment", "number", "placed", "size", "sizes", "sparse", "start")

    def __init__(self, placed: Callable[[Stored], None]) -> None:
        self.placed = placed
        self.size = 0
        self.sparse = 0
        self.start = -1
        self.sizes = bytearray()
        self.fragment = (ABSENT_32, 0)
        self.digest = b""
        self.number = -1  # index of its placement among those of known contents

    def add(self, start: int, word: int) -> None:
        """Note a block at `start` of the image, and the word that tells its size.

        A hole's word is 0, and its start that of the block behind it.
        """
        if self.start < 0:
            self.start = start
        self.sizes += word.to_bytes(4, "little")


class DataWriter:
    """Writes the contents of files to the image.

    `encode` compresses a block; None stores all as they are. `fragment_entries` are those of the
    fragments that the image has already.
    """

    def __init__(
        self,
        image: Positions,
        encode: Callable[[bytes], bytes] | None,
        workers: Workers,
        options: PackOptions,
        fragment_entries: bytes = b"",
    ) -> None:
        self._blocks = OrderedBlocks(image, encode, workers)
        self._block_size = options.block_size
        self._fragments = options.fragments
        self._tail_ends = options.fragments and options.tail_ends
        self._deduplicate = options.deduplicate
        self._checksums = options.checksums
        self._zeros = bytes(options.block_size)
        self._tails: list[bytes] = []
        """What the fragment under way holds."""
        self._fragment_length = 0
        self._known = KnownContents()
        self._starts: set[bytes] = set()
        """Digests of the first blocks of files that have some."""
        self._placements: list[Placement | None] = []
        self.kept: KeptContents | None = None
        """Finds contents that the image has from before, if it has some."""
        self.fragment_entries = bytearray(fragment_entries)
        """The fragment table: FragmentEntry records."""
        self._fragment_count = len(fragment_entries) // FragmentEntry.layout.size

    def store(
        self,
        content: Content,
        placed: Callable[[Stored], None],
        reopen: Callable[[], Content] | None = None,
        *,
        size: int | None = None,
        is_alone: bool = False,
        is_at_hand: bool = False,
    ) -> tuple[int, Stored | None]:
        """Store a file, of `size` bytes if that is known.

        Return its length, and what became of it.

        That is None where its blocks have no places yet: `placed` is called with it once they do. A
        content that can be opened again is compared as a whole with those of the same first block,
        before it is stored; `is_at_hand` says that this costs little. One that `is_alone`, as no
        other has its length, is compared with none.
        """
        first = self._block(content)
        compared = self._deduplicate and not is_alone
        digest = hashlib.sha256(first) if compared or self._checksums else None
        if len(first) < self._block_size:
            return self._store_small(first, digest, placed, compared=compared)
        if digest is not None and compared:
            start = digest.digest()
            if reopen is not None and self._may_hold(start, size, is_at_hand=is_at_hand):
                length = len(first) + self._hash(digest, content)
                known = self._found(digest.digest(), start, length)
                if known is not None:
                    return length, Stored(known, digest.digest(), duplicate=True)
                with closing(reopen()) as again:
                    first = self._block(again)
                    digest = hashlib.sha256(first)
                    return self._store_blocks(first, digest, again, placed, compared=True)
            self._starts.add(start)
        return self._store_blocks(first, digest, content, placed, compared=compared)

    def settle(self) -> None:
        """Write all blocks that are under way but for the fragment that is not full."""
        self._blocks.settle()

    def finish(self) -> None:
        """Write what is left."""
        self._end_fragment()
        self.settle()

    # ---- Files -----------------------------------------------------------------------------------

    def _store_small(
        self,
        content: bytes,
        hashed: hashlib._Hash | None,
        placed: Callable[[Stored], None],
        *,
        compared: bool,
    ) -> tuple[int, Stored | None]:
        """Store a file smaller than a block."""
        length = len(content)
        digest = b"" if hashed is None else hashed.digest()
        if not content:
            return 0, Stored(Placement(0), digest, duplicate=False)
        if compared and (known := self._found(digest, digest, length)) is not None:
            return length, Stored(known, digest, duplicate=True)
        if not self._fragments:
            return self._store_blocks(content, hashed, None, placed, compared=compared)
        index, offset = self._add_to_fragment(content)
        if compared:
            self._known.add(digest, index << 32 | offset)
        placement = Placement(length, 0, b"", index, offset)
        return length, Stored(placement, digest, duplicate=False)

    def _store_blocks(
        self,
        block: bytes,
        digest: hashlib._Hash | None,
        content: Content | None,
        placed: Callable[[Stored], None],
        *,
        compared: bool,
    ) -> tuple[int, None]:
        """Store a file as blocks, from its first one on. That is in the digest already."""
        file = _Blocks(placed)
        while block:
            file.size += len(block)
            if len(block) < self._block_size and self._tail_ends:
                file.fragment = self._add_to_fragment(block)
                break
            if block == self._zeros[: len(block)]:
                file.sparse += len(block)
                self._blocks.add(None, file.add)
            else:
                self._blocks.add(block, file.add)
            block = self._block(content) if content is not None else b""
            if digest is not None:
                digest.update(block)
        if digest is not None:
            file.digest = digest.digest()
        if compared and self._known.get(file.digest) is None:
            file.number = len(self._placements)
            self._placements.append(None)
            self._known.add(file.digest, _PLACED | file.number)
        self._blocks.add(None, partial(self._end_file, file))
        return file.size, None

    def _may_hold(self, start: bytes, size: int | None, *, is_at_hand: bool) -> bool:
        """Return whether a content whose first block has that digest may be known."""
        if start in self._starts:
            return True
        kept = self.kept
        return (
            kept is not None
            and size is not None
            and kept.may_hold(start, size, is_at_hand=is_at_hand)
        )

    def _found(self, digest: bytes, start: bytes, length: int) -> Placement | None:
        """Return where a content lies if it is known."""
        known = self._known.get(digest)
        if known is not None:
            return self._placement(known, length)
        placement = None if self.kept is None else self.kept.find(digest, start, length)
        if placement is not None:
            self._known.add(digest, _PLACED | len(self._placements))
            self._placements.append(placement)
        return placement

    def _placement(self, number: int, length: int) -> Placement:
        """Return where a known content lies."""
        if not number & _PLACED:
            return Placement(length, 0, b"", number >> 32, number & ABSENT_32)
        index = number & ~_PLACED
        while (placement := self._placements[index]) is None:
            self._blocks.write_next()
        return placement

    def _hash(self, digest: hashlib._Hash, content: Content) -> int:
        """Hash what is left of a content; return its length."""
        length = 0
        while block := self._block(content):
            digest.update(block)
            length += len(block)
        return length

    def _block(self, content: Content) -> bytes:
        """Read a block; less than one at the end of the content."""
        try:
            block = content.read(self._block_size) or b""
            if not block or len(block) == self._block_size:
                return block
            while more := content.read(self._block_size - len(block)):
                block += more
        except OSError as error:
            raise UnfitError(f"cannot be read: {error.strerror or error}") from error
        return block

    # ---- Fragments -------------------------------------------------------------------------------

    def _add_to_fragment(self, tail: bytes) -> tuple[int, int]:
        """Return the number of the fragment that takes the tail, and the tail's offset there."""
        if self._fragment_length + len(tail) > self._block_size:
            self._end_fragment()
        offset = self._fragment_length
        self._tails.append(tail)
        self._fragment_length = offset + len(tail)
        return self._fragment_count, offset

    def _end_fragment(self) -> None:
        if self._tails:
            content = b"".join(self._tails)
            self._tails.clear()
            self._fragment_length = 0
            self._fragment_count += 1
            self._blocks.add(content, self._add_fragment_entry)

    def _add_fragment_entry(self, start: int, word: int) -> None:
        self.fragment_entries += FragmentEntry.layout.pack(start, word, 0)

    def _end_file(self, file: _Blocks, _start: int, _word: int) -> None:
        placement = Placement(file.size, file.start, bytes(file.sizes), *file.fragment, file.sparse)
        if file.number >= 0:
            self._placements[file.number] = placement
        file.placed(Stored(placement, file.digest, duplicate=False))
