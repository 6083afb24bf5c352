"""The tree of members while they come, in any order.

A small file takes 170 bytes.

A directory that no entry declared, but that a member lies in, is made; a later entry may declare
it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeAlias

from s3archivefs.errors import PackingError
from s3archivefs.names import os_error
from s3archivefs.printed import printed
from s3archivefs.writer.entries import components, is_name
from s3archivefs.writer.inode_records import added_size, is_duplicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.writer.inode_records import Attributes
    from s3archivefs.writer.listings import StoredListing

__all__ = ["Directory", "LinkedInode", "Node", "Tree"]


class LinkedInode:
    """An inode with several names."""

    __slots__ = ("is_stored", "links", "number", "record")

    def __init__(self, record: bytes) -> None:
        self.record = record
        self.links = 1
        self.number = 0
        """Its inode number; 0 until it has one."""
        self.is_stored = False
        """Whether it is in the inode table."""


class Directory:
    """A directory, and its members by name."""

    __slots__ = ("attributes", "children", "first", "links", "listing", "number")

    def __init__(self) -> None:
        self.attributes: Attributes | None = None
        """None without an entry of its own."""
        self.children: dict[bytes, Node] = {}
        self.number = 0
        self.first = 0
        """The next inode number when its members got theirs."""
        self.links = 2
        """Links, once it is stored: its name, `.`, and `..` of subdirectories."""
        self.listing: StoredListing | None = None
        """Where its listing lies once it is stored."""

    def sort(self) -> None:
        """Put the members in the order of their names, which the format needs."""
        names = [*self.children]
        ordered = sorted(names)
        if names != ordered:
            self.children = {name: self.children[name] for name in ordered}


Node: TypeAlias = "bytes | Directory | LinkedInode | None"
"""A member: the record of its inode; None while its content has no place yet."""


class Tree:
    """The members of an image under way."""

    def __init__(self) -> None:
        self.root = Directory()
        self.inode_count = 1
        """The number of inodes, once `levels` counted them."""
        self.undeclared = 1
        """The number of directories without an entry of their own."""
        self.has_losses = False
        """Whether a record left it, so that tables may hold what no other names."""
        self.lost_files = self.lost_bytes = self.lost_duplicates = 0
        """Files that were added and then replaced or removed, and the bytes of their contents."""
        self._last: tuple[bytes, Directory] = (b"", self.root)

    def declare(self, path: bytes, attributes: Attributes) -> None:
        """Set the attributes of a directory, made if need be. Raises PackingError."""
        directory = self.directory(path)
        if directory.attributes is None:
            self.undeclared -= 1
        else:
            self.has_losses = True
        directory.attributes = attributes

    def directory(self, path: bytes) -> Directory:
        """Return the directory of that path, made if need be.

        Raises PackingError where a name leads through something else.
        """
        if path == self._last[0]:
            return self._last[1]
        found = self.root
        for name in components(path):
            child = found.children.get(name, found)
            if child is found:
                child = found.children[name] = Directory()
                self.undeclared += 1
            elif type(child) is not Directory:
                raise PackingError(
                    f"{printed(path)}: {printed(name)} in it is no directory, yet has members;"
                    " leave one of both out"
                )
            found = child
        self._last = path, found
        return found

    def parent_of(self, path: bytes) -> tuple[Directory, bytes]:
        """Return the directory that a member goes into, and its name there.

        Raises PackingError for a path that no member can have, or of a directory.
        """
        above, _, name = path.rpartition(b"/")
        if not is_name(name) or path.startswith(b"/"):
            components(path)  # raises for all but the root
            raise PackingError("the image's root is a directory: give the member a name")
        last, directory = self._last
        if above != last:
            try:
                directory = self.directory(above)
            except PackingError:
                components(path)  # names the whole path, where a name in it is at fault
                raise
        if type(directory.children.get(name)) is Directory:
            raise PackingError(
                f"{printed(path)}: a directory of that path came before; leave one out"
            )
        return directory, name

    def is_pending(self, path: bytes) -> bool:
        """Return whether the member of that path has no record yet."""
        above, _, name = path.rpartition(b"/")
        holder = self._existing_directory(above)
        return holder is not None and holder.children.get(name, b"") is None

    def link(self, path: bytes, existing: bytes) -> None:
        """Give a member that has its record one more name. Raises PackingError."""
        above, _, name = existing.rpartition(b"/")
        holder = self._existing_directory(above)
        node = holder.children.get(name) if holder is not None else None
        if holder is None or node is None or type(node) is Directory:
            raise PackingError(
                f"{printed(path)}: a hard link to {printed(existing)}, which"
                f" {'is a directory' if node is not None else 'no member before it is'};"
                " put that before it, or leave the link out"
            )
        directory, own = self.parent_of(path)
        if directory is holder and own == name:
            return
        if type(node) is not LinkedInode:
            assert isinstance(node, bytes)  # noqa: S101 -- neither of the others
            node = holder.children[name] = LinkedInode(node)
        node.links += 1
        self.put(directory, own, node)

    def remove(self, path: bytes) -> None:
        """Remove a member, and all below it.

        Raises FileNotFoundError where there is none, and PackingError for the root.
        """
        above, _, name = path.rpartition(b"/")
        components(path)
        if not name:
            raise PackingError("/: the image's root stays; remove what is in it")
        holder = self._existing_directory(above)
        if holder is None or name not in holder.children:
            raise os_error(errno.ENOENT, path)
        pending: list[Node] = [holder.children.pop(name)]
        while pending:
            node = pending.pop()
            self._lose(node)
            if type(node) is Directory:
                self.undeclared -= node.attributes is None
                pending += node.children.values()
        self._last = b"", self.root

    def put(self, directory: Directory, name: bytes, node: Node) -> None:
        """Make a node a member, in place of another of its name."""
        former = directory.children.get(name)
        if former is not None:
            self._lose(former)
        directory.children[name] = node

    def _lose(self, node: Node) -> None:
        """Note that a member has a name less."""
        self.has_losses = True
        if type(node) is LinkedInode:
            node.links -= 1
            node = node.record if not node.links else None
        if isinstance(node, bytes) and (size := added_size(node)) is not None:
            self.lost_files += 1
            self.lost_bytes += size
            self.lost_duplicates += is_duplicate(node)

    def replace(
        self,
        record: Callable[[bytes], bytes],
        attributes: Callable[[Attributes], Attributes] = lambda attributes: attributes,
    ) -> None:
        """Put what the functions return in place of each inode's record or attributes, once."""
        met: set[int] = set()
        pending = [self.root]
        while pending:
            directory = pending.pop()
            if directory.attributes is not None:
                directory.attributes = attributes(directory.attributes)
            children = directory.children
            for name, child in children.items():
                if isinstance(child, bytes):
                    children[name] = record(child)
                elif isinstance(child, Directory):
                    pending.append(child)
                elif isinstance(child, LinkedInode) and id(child) not in met:
                    met.add(id(child))
                    child.record = record(child.record)

    def levels(self) -> list[list[Directory]]:
        """Sort all members, number them from 1 for the root on; return directories by depth.

        The members of a directory have adjacent numbers in the order of their names, but for those
        that have one by an earlier name.
        """
        self.root.number = 1
        number = 2
        levels = [[self.root]]
        while levels[-1]:
            below = []
            for directory in levels[-1]:
                directory.sort()
                directory.first = number
                for child in directory.children.values():
                    if type(child) is LinkedInode:
                        if child.number:
                            continue
                        child.number = number
                    elif type(child) is Directory:
                        child.number = number
                        below.append(child)
                    number += 1
            levels.append(below)
        levels.pop()
        self.inode_count = number - 1
        return levels

    def _existing_directory(self, path: bytes) -> Directory | None:
        found = self.root
        for name in components(path):
            child = found.children.get(name)
            if type(child) is not Directory:
                return None
            found = child
        return found
