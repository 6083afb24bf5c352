"""Listings: runs of entries behind headers, and an index into long ones.

Format: "Directory Table", "Directory Index".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.format import (
    METADATA_BLOCK_SIZE,
    RUN_MAX,
    DirectoryEntry,
    DirectoryHeader,
    DirectoryIndex,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "INDEX_MAX",
    "IndexEntry",
    "Listing",
    "ListingEntry",
    "StoredListing",
    "index_records",
    "thinned",
]

INDEX_MAX = (1 << 16) - 1
"""Entries of an index, at most: what a directory's inode can count."""

_DELTA_MAX = (1 << 15) - 1
_HEADER = DirectoryHeader.layout.size
_pack_entry = DirectoryEntry.layout.pack
_pack_header = DirectoryHeader.layout.pack


class ListingEntry(NamedTuple):
    """A name, and the inode that it leads to."""

    name: bytes
    block: int
    """Start of the inode's metadata block, in bytes from the start of the inode table."""
    offset: int
    """Bytes from the start of the decoded block."""
    number: int
    """The inode's number."""
    kind: int
    """A basic InodeType."""


class IndexEntry(NamedTuple):
    """A header in a long listing."""

    offset: int
    """Bytes from the start of the listing."""
    name: bytes
    """The first name behind the header."""


class StoredListing(NamedTuple):
    """A listing that has its place in the directory table."""

    place: int
    """As MetadataTable.append returns it."""
    size: int
    """Bytes."""
    headers: list[IndexEntry]
    """Those that the index leads to."""


class Listing:
    """The listing of a directory, from its entries in the order of their names.

    A header is written for each metadata block of inodes, each 256 entries, wherever inode numbers
    are too far apart, and each 8 KiB of the listing: the last are what the index leads to.
    """

    def __init__(self, entries: Iterable[ListingEntry]) -> None:
        self._chunks: list[bytes] = []
        self.size = 0
        """Bytes of the listing."""
        self.index: list[IndexEntry] = []
        """Headers that stand in other 8 KiB of the listing than those before them."""
        self._add(entries)

    @property
    def content(self) -> bytes:
        """The listing as it is stored; empty for an empty directory."""
        return b"".join(self._chunks)

    def _add(self, entries: Iterable[ListingEntry]) -> None:
        run: list[bytes] = []
        run_block = run_number = 0
        run_end = 0  # bytes of the listing when the run is written
        indexed = 0  # start of the listing's last header with an index entry, or of the listing
        for name, block, offset, number, kind in entries:
            length = 8 + len(name)
            delta = number - run_number
            if (
                not run
                or block != run_block
                or len(run) == RUN_MAX
                or not -_DELTA_MAX <= delta <= _DELTA_MAX
                or run_end + length - indexed > METADATA_BLOCK_SIZE
            ):
                if run:
                    self._write(run, run_block, run_number)
                run, run_block, run_number, delta = [], block, number, 0
                if self.size and self.size + _HEADER + length - indexed > METADATA_BLOCK_SIZE:
                    indexed = self.size
                    self.index.append(IndexEntry(indexed, name))
                run_end = self.size + _HEADER
            run.append(_pack_entry(offset, delta, kind, len(name) - 1) + name)
            run_end += length
        if run:
            self._write(run, run_block, run_number)

    def _write(self, run: list[bytes], block: int, number: int) -> None:
        chunk = _pack_header(len(run) - 1, block, number) + b"".join(run)
        self._chunks.append(chunk)
        self.size += len(chunk)


def thinned(index: list[IndexEntry]) -> list[IndexEntry]:
    """Return no more entries of an index than an inode counts.

    That of a listing of 512 MB has more; every second is left then, or fewer.
    """
    step = -(-len(index) // INDEX_MAX) or 1
    return index[step - 1 :: step]


def index_records(index: Iterable[tuple[IndexEntry, int]]) -> bytes:
    """Return an index as it is stored, of entries and starts of their metadata blocks."""
    return b"".join(
        DirectoryIndex.layout.pack(entry.offset, block, len(entry.name) - 1) + entry.name
        for entry, block in index
    )
