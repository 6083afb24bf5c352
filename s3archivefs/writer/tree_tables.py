"""The inode and directory tables of a tree, from its deepest directories up.

A listing needs the places of its members' inodes, and a directory's inode that of its listing. So
directories are stored a level at a time, and their blocks compressed in parallel. The inodes of a
directory's members lie together, in the order of their names, as one listing reads them.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from s3archivefs.format import METADATA_BLOCK_SIZE, InodeType
from s3archivefs.writer.inode_records import (
    Listed,
    basic_type,
    directory_record,
    numbered,
    with_links,
)
from s3archivefs.writer.listings import Listing, ListingEntry, StoredListing, index_records, thinned
from s3archivefs.writer.metadata import MetadataTable
from s3archivefs.writer.tree import Directory, LinkedInode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.parallel import Workers
    from s3archivefs.writer.inode_records import Attributes
    from s3archivefs.writer.tree import Tree

__all__ = ["TreeTables"]

_BATCH = 1 << 16
"""Inodes whose metadata blocks are awaited together."""


class TreeTables:
    """The tables that hold a tree. Takes the tree apart.

    `undeclared` are the attributes of directories without an entry of their own.
    """

    def __init__(
        self,
        tree: Tree,
        undeclared: Attributes,
        encode: Callable[[bytes], bytes] | None,
        workers: Workers,
    ) -> None:
        self._undeclared = undeclared
        self.inodes = MetadataTable(encode, workers)
        self.directories = MetadataTable(encode, workers)
        levels = tree.levels()
        self._places = array("Q", bytes(8 * tree.inode_count))
        """The place of each inode, by its number less 1."""
        while levels:
            for batch in _batches(levels.pop()):
                self._store(batch)
        self.directories.settle()
        parent = tree.inode_count + 1  # as mksquashfs has it: the number of no inode
        place = self._append_directory(tree.root, parent)
        self.inodes.finish()
        self.directories.finish()
        self.root_reference = self.inodes.reference(place)

    def export_table(self) -> bytes:
        """Return the references of all inodes, in the order of their numbers.

        Format: "Export Table".
        """
        return array("Q", map(self.inodes.reference, self._places)).tobytes()

    def _store(self, batch: list[Directory]) -> None:
        """Store the inodes of the directories' members, then the directories' listings."""
        self.directories.settle()
        for directory in batch:
            self._store_members(directory)
        self.inodes.settle()
        for directory in batch:
            listing = Listing(self._entries(directory))
            place = self.directories.append(listing.content)
            directory.listing = StoredListing(place, listing.size, listing.index)
            directory.links = 2 + sum(
                type(child) is Directory for child in directory.children.values()
            )
            directory.children.clear()

    def _store_members(self, directory: Directory) -> None:
        append, places = self.inodes.append, self._places
        for number, child in _numbered_members(directory):
            if isinstance(child, bytes):
                places[number - 1] = append(numbered(child, number))
            elif isinstance(child, Directory):
                self._append_directory(child, directory.number)
            elif not child.is_stored:
                child.is_stored = True
                places[number - 1] = append(numbered(with_links(child.record, child.links), number))

    def _append_directory(self, directory: Directory, parent: int) -> int:
        """Store the inode of a directory whose listing is stored; return its place."""
        stored = directory.listing
        assert stored is not None  # noqa: S101 -- levels are stored from below
        index = [
            (entry, self._block_of_directories(stored.place + entry.offset))
            for entry in thinned(stored.headers)
        ]
        listed = Listed(
            self.directories.reference(stored.place), stored.size, len(index), index_records(index)
        )
        record = directory_record(
            directory.attributes or self._undeclared,
            listed,
            directory.links,
            directory.number,
            parent,
        )
        place = self._places[directory.number - 1] = self.inodes.append(record)
        return place

    def _block_of_directories(self, place: int) -> int:
        return self.directories.starts[place // METADATA_BLOCK_SIZE]

    def _entries(self, directory: Directory) -> Iterator[ListingEntry]:
        starts, places = self.inodes.starts, self._places
        names = iter(directory.children)
        for number, child in _numbered_members(directory):
            block, offset = divmod(places[number - 1], METADATA_BLOCK_SIZE)
            if isinstance(child, bytes):
                kind = basic_type(child)
            elif isinstance(child, Directory):
                kind = InodeType.DIRECTORY
            else:
                kind = basic_type(child.record)
            yield ListingEntry(next(names), starts[block], offset, number, kind)


def _numbered_members(
    directory: Directory,
) -> Iterator[tuple[int, bytes | Directory | LinkedInode]]:
    """Yield the members of a directory in the order of names, with their inode numbers."""
    number = directory.first
    for child in directory.children.values():
        if isinstance(child, LinkedInode) and child.number != number:
            yield child.number, child  # it has an earlier name
            continue
        assert child is not None  # noqa: S101 -- all contents have their places
        yield number, child
        number += 1


def _batches(level: list[Directory]) -> Iterator[list[Directory]]:
    batch: list[Directory] = []
    inodes = 0
    for directory in level:
        batch.append(directory)
        inodes += len(directory.children)
        if inodes >= _BATCH:
            yield batch
            batch, inodes = [], 0
    yield batch
