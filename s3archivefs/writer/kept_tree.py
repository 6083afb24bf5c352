"""The tree of an image, as the writer has members.

Inodes stay the records that they are, but for indexes of owners and of sets of attributes: the
tables that these count in are written anew.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from s3archivefs.checksums import CHECKSUM
from s3archivefs.data import SIZE_MASK
from s3archivefs.errors import CorruptImageError, PackingError
from s3archivefs.format import (
    ABSENT_32,
    BasicFile,
    ExtendedFile,
    ExtendedSymlink,
    FragmentEntry,
)
from s3archivefs.inode import FileKind
from s3archivefs.limits import Limits
from s3archivefs.metadata import split_reference
from s3archivefs.readers import open_readers
from s3archivefs.writer.inode_records import KEPT, Attributes, marked, owned, with_xattrs
from s3archivefs.writer.kept_contents import ClaimedContents, ReadContents
from s3archivefs.writer.tree import Directory, LinkedInode

if TYPE_CHECKING:
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Inode, Stat
    from s3archivefs.writer.ids import IdTable
    from s3archivefs.writer.kept_contents import KeptContents
    from s3archivefs.writer.tree import Tree
    from s3archivefs.writer.xattrs import XattrTable

__all__ = ["KeptTree"]


class KeptTree:
    """The members of an image, and its fragments.

    Raises PackingError where data does not lie before the tables.
    """

    def __init__(self, image: SquashFS) -> None:
        self._superblock = image.superblock
        self._readers = open_readers(image.device, image.superblock, Limits())
        self._data_end = image.superblock.inode_table_start
        self.fragment_entries = self._readers.fragments.table.records()
        """The fragment table: FragmentEntry records."""
        self._contents: KeptContents | None = None
        self._sets: dict[int, int] = {}
        """New indexes of sets of attributes, by old ones."""
        for start, word, _ in FragmentEntry.layout.iter_unpack(self.fragment_entries):
            self._check_place(start, word & SIZE_MASK)

    def contents(self, claimed: int | None) -> KeptContents:
        """Return what finds contents among those of the image; `read_into` tells it of all.

        With `claimed`, it reads only files with checksums that take so many bytes.
        """
        self._contents = (
            ReadContents(self._readers)
            if claimed is None
            else ClaimedContents(self._readers, claimed)
        )
        return self._contents

    def read_into(self, tree: Tree, ids: IdTable, xattrs: XattrTable) -> None:
        """Make all members those of an empty tree, and note what their records name."""
        readers = self._readers
        tree.has_losses = True  # the image's fragments may be of files that it lost earlier, and
        # its newest time is found with them
        root = readers.root(self._superblock.root_inode).inode
        tree.declare(b"", self._attributes(root, ids, xattrs))
        seen = {root.reference}
        linked: dict[int, LinkedInode] = {}
        pending = [(tree.root, root)]
        while pending:
            above, inode = pending.pop()
            for run in readers.directory(inode).runs():
                for entry in run.entries():
                    found = readers.entry_inode(entry)
                    if found.kind is FileKind.DIRECTORY:
                        if found.reference in seen:
                            raise CorruptImageError(
                                f"the directory {entry.name!r} is in the tree twice", found.tail[0]
                            )
                        seen.add(found.reference)
                        directory = above.children[entry.name] = Directory()
                        directory.attributes = self._attributes(found, ids, xattrs)
                        pending.append((directory, found))
                        continue
                    node = linked.get(found.reference)
                    if node is not None:
                        node.links += 1
                        above.children[entry.name] = node
                        continue
                    stat = readers.inodes.stat(found)
                    record = self._record(found, stat, ids, xattrs)
                    if stat.nlink > 1:
                        node = linked[found.reference] = LinkedInode(record)
                    above.children[entry.name] = node or record

    def _attributes(self, inode: Inode, ids: IdTable, xattrs: XattrTable) -> Attributes:
        """Return the attributes of a directory."""
        stat = self._readers.inodes.stat(inode)
        return Attributes(
            inode.header.mode,
            ids.index(stat.uid),
            ids.index(stat.gid),
            stat.mtime,
            self._xattr_index(inode, xattrs),
        )

    def _record(self, inode: Inode, stat: Stat, ids: IdTable, xattrs: XattrTable) -> bytes:
        """Return the record of what is no directory."""
        inodes = self._readers.inodes
        block, offset = split_reference(inode.reference)
        cursor = inodes.reader.cursor(inodes.reader.extent.start + block, offset)
        record = cursor.take(inode.header.layout.size)
        if inode.kind is FileKind.FILE:
            record += self._block_list(inode)
            if self._contents is not None:
                self._contents.note(inode)
        elif inode.kind is FileKind.SYMLINK:
            size = inode.symlink.target_size
            size += 4 if isinstance(inode.header, ExtendedSymlink) else 0
            record += inodes.tail(inode, size, "target").take(size)
        record = owned(marked(record, KEPT), ids.index(stat.uid), ids.index(stat.gid))
        return with_xattrs(record, self._xattr_index(inode, xattrs))

    def _block_list(self, inode: Inode) -> bytes:
        """Return the block list of a file, all of whose blocks lie before the tables."""
        file: BasicFile | ExtendedFile = inode.file
        size = self._superblock.block_size
        has_tail = file.fragment_index != ABSENT_32
        count = file.size // size if has_tail else -(-file.size // size)
        if has_tail and file.fragment_index >= self._superblock.fragment_count:
            raise CorruptImageError(
                f"inode {file.inode_number} names fragment {file.fragment_index} of"
                f" {self._superblock.fragment_count}",
                inode.tail[0],
            )
        if not count:
            return b""
        sizes = self._readers.inodes.tail(inode, 4 * count, "block list").take(4 * count)
        stored = sum(word & SIZE_MASK for word in array("I", sizes))
        if stored:
            self._check_place(file.blocks_start, stored)
        return sizes

    def _xattr_index(self, inode: Inode, xattrs: XattrTable) -> int:
        """Return the new index of an inode's set of attributes."""
        old, table = self._readers.inodes.xattr_index(inode), self._readers.xattrs
        if old is None or table is None:
            return ABSENT_32
        if (known := self._sets.get(old)) is None:
            pairs = dict(table.pairs(old))
            shared = CHECKSUM not in pairs
            known = self._sets[old] = xattrs.index(tuple(pairs.items()), shared=shared)
        return known

    def _check_place(self, start: int, size: int) -> None:
        if start + size > self._data_end:
            raise PackingError(
                f"the image has data at byte {start}, behind the start of its tables at byte"
                f" {self._data_end}: pack it anew, which puts the data first"
            )
