"""The part of an image that is used by references, as a mounted image is."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from s3archivefs.browsing import Browser
from s3archivefs.checksums import CHECKSUM, checksum_from
from s3archivefs.content import Content
from s3archivefs.data import SIZE_MASK
from s3archivefs.errors import FormatError, SquashfsError
from s3archivefs.format import FragmentEntry
from s3archivefs.healing import retried
from s3archivefs.inode import FORMAT_BITS, FileKind, Stat
from s3archivefs.names import os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.directory import Directory
    from s3archivefs.inode import Inode
    from s3archivefs.opening import Found
    from s3archivefs.runs import Entry, Run

__all__ = ["NodeReader"]


class NodeReader(Browser):
    """The part of `SquashFS` that knows files by their references: see Stat.reference.

    Who keeps references of files needs no path: they name inodes, whose hard links they stand for.
    A reference must come from this image. Another one raises CorruptImageError, or leads to what
    its bytes can be taken for.
    """

    @property
    def root_reference(self) -> int:
        """Reference of the root directory.

        Format: "The Superblock".
        """
        return self.superblock.root_inode

    @property
    def is_distant(self) -> bool:
        """Whether the device has readahead, as one has that is slow to begin a read."""
        return self._readers.data.has_readahead

    @property
    def has_xattrs(self) -> bool:
        """Whether any file of the image may have extended attributes.

        Format: "Extended Attribute Table".
        """
        return self._readers.xattrs is not None

    @retried
    def stat_of_node(self, reference: int) -> Stat:
        """Return the attributes of an inode.

        Format: "Inode Table".
        """
        self._check_open()
        stat = self._readers.stats.of_node(reference)
        return stat or self._readers.inodes.stat(self._readers.inodes.inode(reference))

    @retried
    def hole_bytes_of_node(self, reference: int) -> int:
        """Return the bytes of a file that lie in holes, as its inode claims.

        Format: "File Inodes".
        """
        return getattr(self._node(reference).header, "sparse", 0)

    @retried
    def node_named(self, directory: int, name: bytes) -> Stat | None:
        """Return the attributes of a name in a directory, or None.

        Raises NotADirectoryError where the reference leads to something else, as all methods do
        that take a directory's.

        Format: "Directory Table".
        """
        entry = self._node_directory(directory).get(name)
        return None if entry is None else self.stat_of_entry(entry)

    def runs_of_node(self, directory: int, place: int = 0) -> Iterator[tuple[int, Run]]:
        """Yield the entries of a directory in runs from a place on.

        Each comes with the place of its first entry; those of its others follow one by one. That
        behind the last entry met is where to read on, now or later. `stats_of_run` has their
        attributes.

        Format: "Directory Table", "Directory Index".
        """
        return self._while_open(zip(self._runs_at(directory, place)))

    def stats_in_node(
        self, directory: int, *, on_error: Callable[[str, SquashfsError, Stat | None], object]
    ) -> Iterator[tuple[str, Stat]]:
        """Return the names in a directory with their attributes, as `scandir_stats` does.

        `on_error` is also called with the attributes of a directory of which only the owner and
        group are damaged, which are 0 there, and None of all else.

        Format: "Directory Table", "Inode Table".
        """

        def tell(name: str, error: SquashfsError, entry: Entry) -> None:
            is_damaged = isinstance(error, FormatError)
            on_error(name, error, self._directory_without_ids(entry) if is_damaged else None)

        return self._stats_in(self._listed(directory), "", b"", tell)

    def _directory_without_ids(self, entry: Entry) -> Stat | None:
        try:
            inode = self._readers.entry_inode(entry)
        except SquashfsError:
            return None
        if inode.kind is not FileKind.DIRECTORY:
            return None
        header = inode.directory
        mode = header.mode | FORMAT_BITS[inode.kind]
        numbers = header.nlink, header.inode_number
        return Stat(mode, 0, 0, header.mtime, 0, *numbers, inode.kind, 0, inode.reference)

    @retried
    def _listed(self, directory: int) -> Directory:
        return self._node_directory(directory)

    @retried
    def _runs_at(self, directory: int, place: int) -> Iterator[tuple[int, Run]]:
        return self._node_directory(directory).runs_at(place)

    @property
    def has_exports(self) -> bool:
        """Whether the image has an export table, by which references from outside are checked.

        Format: "Export Table".
        """
        return self._readers.exports is not None

    @retried
    def exported_node(self, reference: int) -> Stat:
        """Return the attributes of an inode whose reference comes from outside, as a file handle.

        Raises FileNotFoundError where the export table has no such reference.

        Format: "Export Table".
        """
        try:
            found = self.stat_of_node(reference)
        except FormatError:  # what is there is no inode
            found = None
        exports = self._readers.exports
        if found is None or exports is None or exports[found.inode_number] != reference:
            raise os_error(errno.ENOENT, _shown(reference))
        return found

    @retried
    def parent_of_node(self, directory: int) -> Stat:
        """Return the attributes of the directory above one; of the root its own.

        Raises FileNotFoundError where the image has no export table, which leads there.

        Format: "Inode Table", "Export Table".
        """
        inode, exports = self._node_directory(directory).inode, self._readers.exports
        if directory == self.root_reference:
            return self.stat_of_node(directory)
        if exports is None or not 1 <= inode.directory.parent_inode <= self.superblock.inode_count:
            raise os_error(errno.ENOENT, _shown(directory))
        return self.stat_of_node(exports[inode.directory.parent_inode])

    @retried
    def target_of_node(self, reference: int) -> bytes:
        """Return the target of a symlink; raise OSError (EINVAL) for what is none.

        Format: "Symbolic Links".
        """
        inode = self._node(reference)
        if inode.kind is not FileKind.SYMLINK:
            raise os_error(errno.EINVAL, _shown(reference))
        return self._readers.inodes.target(inode)

    @retried
    def xattrs_of_node(self, reference: int) -> list[bytes]:
        """Return the names of an inode's extended attributes, as `listxattr`.

        Format: "Extended Attribute Table".
        """
        index, xattrs = self._xattr_index(reference), self._readers.xattrs
        return [] if index is None or xattrs is None else xattrs.names(index)

    @retried
    def xattr_of_node(self, reference: int, name: bytes) -> bytes | None:
        """Return the value of one extended attribute, or None.

        Format: "Extended Attribute Table".
        """
        index, xattrs = self._xattr_index(reference), self._readers.xattrs
        return None if index is None or xattrs is None else xattrs.value(index, name)

    @retried
    def xattr_pairs_of_node(self, reference: int) -> dict[bytes, bytes]:
        """Return the extended attributes of an inode, in the image's order, in one pass.

        Format: "Extended Attribute Table".
        """
        index, xattrs = self._xattr_index(reference), self._readers.xattrs
        return {} if index is None or xattrs is None else dict(xattrs.pairs(index))

    def checksum_of_node(self, reference: int) -> bytes | None:
        """Return the SHA-256 that the image has of a file's content, or None: 32 bytes.

        It is what the attribute `user.sha256` says. Nothing holds it against the content.

        Format: "Extended Attribute Table".
        """
        value = self.xattr_of_node(reference, CHECKSUM) if self.has_xattrs else None
        return None if value is None else checksum_from(value)

    @retried
    def content_place(self, stat: Stat) -> ContentPlace:
        """Return where the content of a regular file lies, by its attributes.

        Format: "File Inodes".
        """
        self._check_open()
        return self._readers.content_place(stat)

    @retried
    def fragment_extents(self) -> list[tuple[int, int]]:
        """Return the start of each fragment block, and the bytes that it takes.

        Format: "Fragment Table".
        """
        self._check_open()
        records = self._readers.fragments.table.records()
        return [
            (start, word & SIZE_MASK)
            for start, word, _ in FragmentEntry.layout.iter_unpack(records)
        ]

    def open_node(self, reference: int) -> Content:
        """Return the content of a regular file.

        Raises IsADirectoryError for a directory, OSError (ENXIO) for what else has no content.

        Format: "File Inodes".
        """

        def reread() -> Found | None:
            return self._content_of_node(reference) if self._distrust() else None

        return Content(*self._content_of_node(reference), reread)

    @retried
    def _content_of_node(self, reference: int) -> Found:
        inode = self._node(reference)
        if inode.kind is FileKind.DIRECTORY:
            raise os_error(errno.EISDIR, _shown(reference))
        if inode.kind is not FileKind.FILE:
            raise os_error(errno.ENXIO, _shown(reference))
        return inode, self._readers.inodes, self._readers.data

    def _xattr_index(self, reference: int) -> int | None:
        return self._readers.inodes.xattr_index(self._node(reference))

    def _node_directory(self, reference: int) -> Directory:
        inode = self._node(reference)
        if inode.kind is not FileKind.DIRECTORY:
            raise os_error(errno.ENOTDIR, _shown(reference))
        return self._readers.directory(inode)

    def _node(self, reference: int) -> Inode:
        self._check_open()
        return self._readers.inodes.inode(reference)


def _shown(reference: int) -> str:
    """Return how a message names an inode that no path led to."""
    return f"inode at {reference:#x}"
