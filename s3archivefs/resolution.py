"""Where a path leads, inside the image only."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from s3archivefs.inode import FileKind
from s3archivefs.names import encode, os_error

if TYPE_CHECKING:
    from s3archivefs.directory import Directory
    from s3archivefs.inode import Inode
    from s3archivefs.limits import Limits
    from s3archivefs.parts import Parts

__all__ = ["Resolver"]


class Resolver:
    """Resolves paths from a root: `..` stays there, and an absolute link starts there."""

    def __init__(self, root: Directory, parts: Parts, limits: Limits) -> None:
        self._root = root
        self._parts = parts
        self._limits = limits

    def inode(self, path: str | bytes, *, follow: bool = True) -> Inode:
        """The inode that a path leads to; a symlink at its end is followed if `follow` says so.

        Raises FileNotFoundError, NotADirectoryError or OSError (ELOOP) where it leads nowhere.
        """
        todo = encode(path).split(b"/")
        todo.reverse()
        above: list[Directory] = []
        here = self._root
        hops = 0
        while todo:
            part = todo.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                here = above.pop() if above else self._root
                continue
            entry = here.get(part)
            if entry is None:
                raise os_error(errno.ENOENT, path)
            inode = self._parts.entry_inode(entry)
            if inode.kind is FileKind.DIRECTORY:
                above.append(here)
                here = self._parts.directory(inode)
            elif inode.kind is FileKind.SYMLINK and (todo or follow):
                hops += 1
                target = self._followed(inode, hops, path)
                todo += reversed(target.split(b"/"))
                if target.startswith(b"/"):
                    above.clear()
                    here = self._root
            elif todo:
                raise os_error(errno.ENOTDIR, path)
            else:
                return inode
        return here.inode

    def directory(self, path: str | bytes) -> Directory:
        """The directory that a path leads to.

        Raises NotADirectoryError where something else is there, and as `inode`.
        """
        inode = self.inode(path)
        if inode.kind is not FileKind.DIRECTORY:
            raise os_error(errno.ENOTDIR, path)
        return self._parts.directory(inode)

    def _followed(self, link: Inode, hops: int, path: str | bytes) -> bytes:
        """The target of the symlink that is the path's `hops`th."""
        if hops > self._limits.symlink_hops:
            raise os_error(errno.ELOOP, path)
        return self._parts.inodes.target(link)
