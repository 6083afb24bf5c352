"""Where a path leads, inside the image only."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.directory import uncounted
from s3archivefs.errors import LimitExceededError
from s3archivefs.inode import FileKind
from s3archivefs.names import encode, os_error

if TYPE_CHECKING:
    from s3archivefs.directory import Counter, Directory, Entry
    from s3archivefs.inode import Inode
    from s3archivefs.limits import Limits
    from s3archivefs.readers import Readers

__all__ = ["Place", "Resolver"]


class Place(NamedTuple):
    """A directory, and the way to it: what `..` means there."""

    directory: Directory
    above: Place | None
    """None for the image's root."""


class _Steps:
    """The work of one way through the image, which may take as many as the limit allows."""

    def __init__(self, limits: Limits, count: Counter = uncounted) -> None:
        self._limit = limits.resolution_steps
        self._count = count
        self._taken = 0

    def take(self, more: int) -> None:
        """Count work, as a Counter: entries that are decoded, while others may wait for them."""
        self._taken += more
        self._count(more)

    def next(self) -> None:
        """Count one more name, unless all before it took more than the limit allows."""
        if self._taken > self._limit:
            raise LimitExceededError("resolution_steps", self._taken, self._limit)
        self.take(1)


class Resolver:
    """Resolves paths from a root: `..` stays there, and an absolute link starts there."""

    def __init__(self, root: Directory, readers: Readers, limits: Limits) -> None:
        self._root = Place(root, above=None)
        self._readers = readers
        self._limits = limits

    def inode(self, path: str | bytes, *, follow: bool = True) -> Inode:
        """The inode that a path leads to; a symlink at its end is followed if `follow` says so.

        Raises FileNotFoundError, NotADirectoryError or OSError (ELOOP) where it leads nowhere.
        """
        return self._located(encode(path), path, follow=follow)[0]

    def directory(self, path: str | bytes) -> Place:
        """The directory that a path leads to.

        Raises NotADirectoryError where something else is there, and as `inode`.
        """
        return _directory(self._located(encode(path), path), path)

    # From an entry of a directory, whose path need not be resolved anew. Errors say `path`.

    def inode_behind(self, link: Entry, within: Place, path: str | bytes, count: Counter) -> Inode:
        """The inode that a symlink leads to; `count` is told of the work."""
        return self._located(link.name, path, start=within, count=count)[0]

    def directory_at(self, entry: Entry, within: Place, path: str | bytes) -> Place:
        """The directory that an entry is, or leads to."""
        if entry.type == FileKind.DIRECTORY.value:
            return Place(self._readers.directory(self._readers.entry_inode(entry)), within)
        return _directory(self._located(entry.name, path, start=within), path)

    def real_path(self, path: str | bytes, *, strict: bool) -> bytes:
        """The path without symlinks and `..`; what is missing, or behind a loop, stays as it is.

        Raises LimitExceededError, and as `inode` does, if `strict`.
        """
        if strict:
            self.inode(path)
        todo: list[bytes | int] = [*reversed(encode(path).split(b"/"))]
        followed: set[int] = set()
        """The links whose targets are being resolved; their references stand behind these."""
        here, names, beyond, hops = self._root, list[bytes](), 0, 0
        steps = _Steps(self._limits)
        while todo:
            part = todo.pop()
            if isinstance(part, int):
                followed.discard(part)
                continue
            steps.next()
            if part == b"..":
                del names[-1:]
                here, beyond = (here, beyond - 1) if beyond else (here.above or here, 0)
            elif part not in {b"", b"."}:
                entry = None if beyond else here.directory.get(part, steps.take)
                inode = None if entry is None else self._readers.entry_inode(entry)
                kind = None if inode is None else inode.kind
                if (
                    inode is not None
                    and kind is FileKind.SYMLINK
                    and inode.reference not in followed
                    and hops < self._limits.symlink_hops
                ):
                    hops += 1
                    followed.add(inode.reference)
                    target = self._readers.inodes.target(inode)
                    todo += (inode.reference, *reversed(target.split(b"/")))
                    if target.startswith(b"/"):
                        here, names = self._root, []
                    continue
                names.append(part)
                if inode is not None and kind is FileKind.DIRECTORY:
                    here = Place(self._readers.directory(inode), here)
                    continue
                beyond += 1
        return b"/" + b"/".join(names)

    def _located(
        self,
        way: bytes,
        path: str | bytes,
        *,
        start: Place | None = None,
        follow: bool = True,
        count: Counter = uncounted,
    ) -> tuple[Inode, Place]:
        """What is there, and the directory that this is or is in."""
        todo = way.split(b"/")
        todo.reverse()
        here = start or self._root
        hops = 0
        steps = _Steps(self._limits, count)
        while todo:
            steps.next()
            part = todo.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                here = here.above or here
                continue
            entry = here.directory.get(part, steps.take)
            if entry is None:
                raise os_error(errno.ENOENT, path)
            inode = self._readers.entry_inode(entry)
            if inode.kind is FileKind.DIRECTORY:
                here = Place(self._readers.directory(inode), here)
            elif inode.kind is FileKind.SYMLINK and (todo or follow):
                hops += 1
                target = self._followed(inode, hops, path)
                todo += reversed(target.split(b"/"))
                if target.startswith(b"/"):
                    here = self._root
            elif todo:
                raise os_error(errno.ENOTDIR, path)
            else:
                return inode, here
        return here.directory.inode, here

    def _followed(self, link: Inode, hops: int, path: str | bytes) -> bytes:
        """The target of the symlink that is the path's `hops`th."""
        if hops > self._limits.symlink_hops:
            raise os_error(errno.ELOOP, path)
        return self._readers.inodes.target(link)


def _directory(found: tuple[Inode, Place], path: str | bytes) -> Place:
    inode, place = found
    if inode.kind is not FileKind.DIRECTORY:
        raise os_error(errno.ENOTDIR, path)
    return place
