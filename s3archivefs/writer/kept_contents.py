"""The contents that an image holds already, found for files that are added.

Contents are compared as a whole, by SHA-256: neither a size nor a stored checksum, which anybody
can set, makes two files one.

Small files are known by what shares their fragment block: one that is read tells all their digests.
Of others, the first block tells which may be equal: these are read whole, once. So what is read is
in proportion to what is added. A million files take 24 MB, and 64 MB while they are sorted.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from s3archivefs.checksums import CHECKSUM, checksum_from
from s3archivefs.content import Content
from s3archivefs.errors import SquashfsError
from s3archivefs.format import ABSENT_32
from s3archivefs.writer.contents import KnownContents
from s3archivefs.writer.inode_records import Placement

if TYPE_CHECKING:
    from s3archivefs.inode import Inode
    from s3archivefs.readers import Readers

__all__ = ["ClaimedContents", "KeptContents", "ReadContents"]

_FIRST_READ = 1000
"""Blocks that are read whatever is added."""
_READ_EACH = 2
"""Blocks that are read besides for each file that is added."""
_ALIKE = 8
"""Files that are read whole for one that is added, at most."""
_FIELD = (1 << 20) - 1
"""Most of an offset in a fragment block, and of a size there."""
_FRAGMENTS = 1 << 24
"""Fragments of which contents are known, at most: 2 TB in blocks of 128 KiB."""


class KeptContents(Protocol):
    """Finds contents among the files of an image."""

    def note(self, inode: Inode) -> None:
        """Take a file of the image."""

    def may_hold(self, start: bytes, size: int, *, is_at_hand: bool) -> bool:
        """Return whether a file of that size and first block may be there.

        If so, the content that is sought is read twice: `is_at_hand` says that this costs little.
        """

    def find(self, digest: bytes, start: bytes, size: int) -> Placement | None:
        """Return where the content of a digest lies. `start` is that of its first block."""


class ReadContents:
    """Finds contents by reading what may hold them.

    It is for a local image, where that costs little.
    """

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._block_size = readers.data.block_size
        self._asked = self._read = 0
        self._small = array("Q")
        """Of each file in a fragment block: fragment, offset, size. They take 24, 20, 20 bits."""
        self._fragments_by_size = array("Q")
        self._seen = bytearray()
        """Of each fragment, whether it was read."""
        self._digests = KnownContents()
        self._large = array("Q")
        """The references of all other files."""
        self._large_sizes = array("Q")
        self._order = array("I")
        """Their indexes by size."""
        self._starts: dict[tuple[int, bytes], list[int]] = {}
        """References by size and digest of the first block, of files not yet read whole."""
        self._whole = KnownContents()
        """References of files that were read whole."""
        self._next: dict[int, int] = {}
        """The next place to read of a size."""
        self._is_sorted = False

    def note(self, inode: Inode) -> None:
        """Take a file of the image."""
        file = inode.file
        size, fragment, offset = file.size, file.fragment_index, file.fragment_offset
        if fragment != ABSENT_32 and size < self._block_size:
            if size and fragment < _FRAGMENTS and offset <= _FIELD:
                self._small.append(fragment << 40 | offset << 20 | size)
        elif size:
            self._large.append(inode.reference)
            self._large_sizes.append(size)

    def may_hold(self, start: bytes, size: int, *, is_at_hand: bool) -> bool:  # noqa: ARG002 -- of KeptContents
        """Return whether a file of that size and first block is there."""
        self._sort()
        self._asked += 1
        return self._has_start(start, size)

    def find(self, digest: bytes, start: bytes, size: int) -> Placement | None:
        """Return where the content of a digest lies. `start` is that of its first block."""
        self._sort()
        if size < self._block_size:
            self._asked += 1  # nobody asked whether it may be there
            while (number := self._digests.get(digest)) is None:
                if not self._read_fragment(size):
                    break
            else:
                return Placement(size, 0, b"", number >> 32, number & ABSENT_32)
        reference = self._whole.get(digest)
        if reference is None:
            reference = self._read_alike(digest, start, size)
        return None if reference is None else _placement_at(self._readers, reference)

    # ---- Reading ---------------------------------------------------------------------------------

    def _has_start(self, start: bytes, size: int) -> bool:
        while (size, start) not in self._starts:
            if not self._read_start(size):
                return False
        return True

    def _read_alike(self, digest: bytes, start: bytes, size: int) -> int | None:
        """Read whole files of that size and first block; return that of the digest."""
        for _ in range(_ALIKE):
            while not (alike := self._starts.get((size, start))):
                if not self._read_start(size):
                    return None
            reference = alike.pop()
            found = _digest_at(self._readers, reference)
            if found and self._whole.get(found) is None:
                self._whole.add(found, reference)
            if found == digest:
                return reference
        return None

    def _may_read(self) -> bool:
        return self._read < _FIRST_READ + _READ_EACH * self._asked

    def _read_fragment(self, size: int) -> bool:
        """Note what is in the next fragment block that has a file of that size.

        Return False if there is none, or too much was read.
        """
        keys = self._fragments_by_size
        place = self._next.get(size, -1)
        if place < 0:
            place = bisect_left(keys, size << 32)
        while place < len(keys) and keys[place] >> 32 == size:
            fragment = keys[place] & ABSENT_32
            if not self._seen[fragment]:
                if not self._may_read():
                    break
                self._seen[fragment] = True
                self._read += 1
                self._next[size] = place + 1
                with suppress(SquashfsError):  # what is damaged is no file's content
                    self._note_fragment(fragment)
                return True
            place += 1
        self._next[size] = place
        return False

    def _note_fragment(self, fragment: int) -> None:
        data, keys = self._readers.data, self._small
        content = data.block(data.fragment_block(fragment), None)
        place = bisect_left(keys, fragment << 40)
        while place < len(keys) and keys[place] >> 40 == fragment:
            offset, size = keys[place] >> 20 & _FIELD, keys[place] & _FIELD
            place += 1
            digest = hashlib.sha256(content[offset : offset + size]).digest()
            if offset + size <= len(content) and self._digests.get(digest) is None:
                self._digests.add(digest, fragment << 32 | offset)

    def _read_start(self, size: int) -> bool:
        """Read the start of the next file of that size; return False for none."""
        order, sizes = self._order, self._large_sizes
        place = self._next.get(-size, -1)
        if place < 0:
            place = bisect_left(order, size, key=sizes.__getitem__)
        if place == len(order) or sizes[order[place]] != size or not self._may_read():
            return False
        self._next[-size] = place + 1
        self._read += 1
        reference = self._large[order[place]]
        with suppress(SquashfsError):
            content = _content_at(self._readers, reference)
            start = content.part(0, min(size, self._block_size))
            key = size, hashlib.sha256(start).digest()
            self._starts.setdefault(key, []).append(reference)
        return True

    def _sort(self) -> None:
        if self._is_sorted:
            return
        self._is_sorted = True
        self._small = array("Q", sorted(self._small))
        by_size = sorted((key & _FIELD) << 32 | key >> 40 for key in self._small)
        self._fragments_by_size = array("Q", by_size)
        if self._small:
            self._seen = bytearray((self._small[-1] >> 40) + 1)
        order = sorted(range(len(self._large)), key=self._large_sizes.__getitem__)
        self._order = array("I", order)


class ClaimedContents:
    """Finds contents by stored checksums, and reads only files of which that spares much.

    It is for an image in a store: a file that turns out to be another was fetched in vain.
    """

    def __init__(self, readers: Readers, least: int) -> None:
        """Read files that take `least` bytes in the image."""
        self._readers = readers
        self._least = least
        self._claims = KnownContents()
        self._references = array("Q")
        self._sizes: set[int] = set()
        self._refuted: set[bytes] = set()

    def note(self, inode: Inode) -> None:
        """Take a file of the image."""
        readers = self._readers
        if inode.file.size < self._least or readers.xattrs is None:
            return
        index = readers.inodes.xattr_index(inode)
        value = None if index is None else readers.xattrs.value(index, CHECKSUM)
        digest = None if value is None else checksum_from(value)
        if (
            digest is None
            or Content(inode, readers.inodes, readers.data).storage.size < self._least
        ):
            return
        if self._claims.get(digest) is None:
            self._claims.add(digest, len(self._references))
            self._references.append(inode.reference)
            self._sizes.add(inode.file.size)

    def may_hold(self, start: bytes, size: int, *, is_at_hand: bool) -> bool:  # noqa: ARG002 -- likewise
        """Return whether a file of that size has a checksum.

        A size says little, so what costs much to read twice is not looked for.
        """
        return is_at_hand and size in self._sizes

    def find(self, digest: bytes, start: bytes, size: int) -> Placement | None:  # noqa: ARG002
        """Return where the content of a digest lies."""
        if size not in self._sizes or digest in self._refuted:
            return None
        number = self._claims.get(digest)
        if number is None:
            return None
        reference = self._references[number]
        if _digest_at(self._readers, reference) != digest:
            self._refuted.add(digest)
            return None
        return _placement_at(self._readers, reference)


def _content_at(readers: Readers, reference: int) -> Content:
    return Content(readers.inodes.inode(reference), readers.inodes, readers.data)


def _digest_at(readers: Readers, reference: int) -> bytes:
    """Return the digest of a file's content; none of one that is damaged."""
    digest = hashlib.sha256()
    try:
        content = _content_at(readers, reference)
        for piece in content.pieces(0, content.size):
            digest.update(piece)
    except SquashfsError:
        return b""
    return digest.digest()


def _placement_at(readers: Readers, reference: int) -> Placement:
    """Return where a file's content lies, as its inode says."""
    inode = readers.inodes.inode(reference)
    file = inode.file
    size = readers.data.block_size
    has_tail = file.fragment_index != ABSENT_32
    count = file.size // size if has_tail else -(-file.size // size)
    sizes = readers.inodes.tail(inode, 4 * count, "block list").take(4 * count) if count else b""
    return Placement(
        file.size,
        file.blocks_start,
        sizes,
        file.fragment_index,
        file.fragment_offset if has_tail else 0,
        getattr(file, "sparse", 0),
    )
