"""The directories that are made above archives, so that several are one tree."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from s3archivefs.inode import FileKind, Stat
from s3archivefs.mount.branches import (
    DIRECTORY,
    FIRST_PLACE,
    NUMBER_BITS,
    Batch,
    Found,
    StaleNodeError,
    Wanted,
)
from s3archivefs.names import os_error
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s3archivefs.content import Content
    from s3archivefs.mount.branches import Branch

__all__ = ["MadeBranch", "MadeDirectory"]

_MADE_MODE = stat.S_IFDIR | 0o555


class MadeDirectory:
    """A directory made above archives."""

    def __init__(self, reference: int) -> None:
        self.reference = reference
        self.below: dict[bytes, MadeDirectory | int] = {}
        """Directories by their names, and of archives the indices."""


class MadeBranch:
    """The directories made above archives, which `branches` has by their indices."""

    name = "above the archives"
    root = 1

    def __init__(self, branches: Sequence[Branch], made_at: int) -> None:
        self._branches = branches
        self._numbers = len(branches) << NUMBER_BITS  # behind those of all archives
        self._made_at = made_at
        self.directories = [MadeDirectory(self.root)]

    def add(self, path: bytes, index: int) -> None:
        """Put an archive at a path.

        Raises ValueError where a name is none, or another archive lies there, above or below.
        """
        *above, name = path.strip(b"/").split(b"/")
        if not {name, *above}.isdisjoint({b"", b".", b".."}):
            raise ValueError(f"{printed(path)!r} is no path to mount an archive at")
        here = self.directories[0]
        for each in above:
            below = here.below.get(each)
            if below is None:
                below = here.below[each] = MadeDirectory(self.root + len(self.directories))
                self.directories.append(below)
            if isinstance(below, int):
                raise ValueError(f"{printed(path)!r} lies within another archive")  # noqa: TRY004 -- of a path
            here = below
        if name in here.below:
            raise ValueError(f"{printed(path)!r} is taken by another archive, or lies above one")
        here.below[name] = index

    def stat(self, reference: int) -> Found:
        """Return a directory by its reference."""
        here = self._directory(reference)
        number = self._numbers + reference
        nlink = 2 + len(here.below)
        made = Stat(
            _MADE_MODE, 0, 0, self._made_at, 0, nlink, number, FileKind.DIRECTORY, 0, reference
        )
        return Found(reference, number, made)

    def named(self, reference: int, name: bytes) -> Found | None:
        """Return the directory of that name, or None."""
        below = self._directory(reference).below.get(name)
        if below is None:
            return None
        if isinstance(below, int):
            return self._branches[below].stat(self._branches[below].root)
        return self.stat(below.reference)

    def listed(self, reference: int, place: int, wanted: Wanted) -> Iterator[Batch]:
        """Yield the names of a directory from a place on."""
        names = sorted(self._directory(reference).below)[place - FIRST_PLACE :]
        named = [(name, self.named(reference, name)) for name in names]
        found = [(name, each) for name, each in named if each is not None]
        if found:
            yield Batch(
                place,
                [name for name, _ in found],
                [DIRECTORY] * len(found),
                [each.inode_number for _, each in found],
                [each.node for _, each in found],
                None if wanted is Wanted.NONE else [each.stat for _, each in found],
                [0] * len(found),
            )

    def target(self, reference: int) -> bytes:
        """Raise OSError (EINVAL): no directory is a symlink."""
        raise os_error(errno.EINVAL, _shown(reference))

    def xattrs(self, reference: int) -> list[bytes]:  # noqa: ARG002 -- as each Branch
        """Return no names."""
        return []

    def xattr(self, reference: int, name: bytes) -> bytes | None:  # noqa: ARG002 -- likewise
        """Return None."""
        return None

    def content(self, reference: int) -> Content:
        """Raise IsADirectoryError."""
        raise os_error(errno.EISDIR, _shown(reference))

    def _directory(self, reference: int) -> MadeDirectory:
        try:
            return self.directories[reference - self.root]
        except IndexError:
            raise StaleNodeError(reference) from None


def _shown(reference: int) -> str:
    return f"directory {reference} above the archives"
