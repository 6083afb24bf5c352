"""The parts of a mount's tree: archives, and the directories made above several of them.

A node id, by which the kernel knows a file, is the number of a branch and the reference of an inode
in it: nothing need be remembered of a node, and hard links have one.
"""

from __future__ import annotations

import errno
import stat
from contextlib import suppress
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, NamedTuple, Protocol

from s3archivefs.errors import SquashfsError
from s3archivefs.inode import FORMAT_BITS, FileKind, Stat
from s3archivefs.names import os_error
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s3archivefs.content import Content
    from s3archivefs.image import SquashFS
    from s3archivefs.runs import Entry, Run

__all__ = [
    "BRANCH_NUMBERS",
    "FIRST_PLACE",
    "ArchiveBranch",
    "Branch",
    "Found",
    "Listed",
    "MadeBranch",
    "MadeDirectory",
    "StaleNodeError",
    "split",
]

FIRST_PLACE = 2
"""The place of the first name in a directory: `.` and `..` stand before it."""
_REFERENCE_BITS = 48  # of an inode's reference: 32 for a block, 16 for the offset in it
BRANCH_NUMBERS = range(1, 1 << 16)
"""Numbers of archives' branches, as a node id has room for."""
_REFERENCE_MASK = (1 << _REFERENCE_BITS) - 1
_NUMBER_BITS = 32  # of an inode's number
_UNKNOWN_NUMBER = (1 << _NUMBER_BITS) - 1
"""What listings show in place of numbers below 1: programs skip 0."""
_MADE_MODE = stat.S_IFDIR | 0o555


def _shown_type(kind: FileKind) -> int:
    """Return a kind as directories show it: the DT_ constants of readdir(3)."""
    return FORMAT_BITS[kind] >> 12


_TYPES = (0, *map(_shown_type, FileKind))
"""Types as directories show them, by an entry's type."""
_DIRECTORY = _shown_type(FileKind.DIRECTORY)


class StaleNodeError(OSError):
    """A node's archive was replaced (ESTALE)."""

    def __init__(self, node: int) -> None:
        super().__init__(errno.ESTALE, f"node {node:#x} is of no archive")


def split(node: int) -> tuple[int, int]:
    """Return the number of a node's branch, and the reference in it."""
    return node >> _REFERENCE_BITS, node & _REFERENCE_MASK


class Found(NamedTuple):
    """A file of the tree, with its attributes."""

    node: int
    inode_number: int
    """As stat(2) shows it: the image's own, where that is the only one."""
    stat: Stat
    hole_bytes: int = 0
    """Bytes of a file that take no place, as its inode claims."""


class Listed(NamedTuple):
    """A name in a directory."""

    name: bytes
    type: int
    """As directories show it: see readdir(3)."""
    inode_number: int
    node: int
    stat: Stat | None
    """The attributes, if they are asked for and sound."""
    following: int
    """The place behind the name, where the next is found at any later time."""
    hole_bytes: int = 0
    """As in `Found`, if attributes are asked for."""


class Branch(Protocol):
    """A part of the tree, asked by references.

    Raises what the methods of `SquashFS` raise that are called by references.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def root(self) -> int:
        """Reference of the topmost directory."""

    def stat(self, reference: int) -> Found:
        """Return a file by its reference."""

    def named(self, reference: int, name: bytes) -> Found | None:
        """Return the file of that name in a directory, or None."""

    def listed(self, reference: int, place: int, *, stats: bool) -> Iterator[Listed]:
        """Yield the names of a directory from a place on, with their attributes if `stats`."""

    def target(self, reference: int) -> bytes:
        """Return the target of a symlink."""

    def xattrs(self, reference: int) -> list[bytes]:
        """Return the names of extended attributes."""

    def xattr(self, reference: int, name: bytes) -> bytes | None:
        """Return the value of an extended attribute, or None."""

    def content(self, reference: int) -> Content:
        """Return the content of a regular file."""


class ArchiveBranch:
    """An image in the tree.

    `number` is that of the branch; `index`, that of the archive among all, tells inode numbers of
    several apart.
    """

    def __init__(self, image: SquashFS, number: int, index: int = 0) -> None:
        self.image = image
        self.name = _shown_source(image.origin.source)
        self.number = number
        self.index = index
        self._nodes = number << _REFERENCE_BITS
        self._numbers = index << _NUMBER_BITS
        self._block_size = image.superblock.block_size

    @property
    def root(self) -> int:
        """Reference of the image's root."""
        return self.image.root_reference

    def stat(self, reference: int) -> Found:
        """Return a file by its reference."""
        return self._found(self.image.stat_of_node(reference))

    def named(self, reference: int, name: bytes) -> Found | None:
        """Return the file of that name in a directory, or None."""
        found = self.image.node_named(reference, name)
        return None if found is None else self._found(found)

    def exported(self, reference: int) -> Found:
        """Return a file whose reference comes from outside, or raise FileNotFoundError."""
        return self._found(self.image.exported_node(reference))

    def parent(self, reference: int) -> Found:
        """Return the directory above one; of the image's root itself."""
        return self._found(self.image.parent_of_node(reference))

    def listed(self, reference: int, place: int, *, stats: bool) -> Iterator[Listed]:
        """Yield the names of a directory from a place on, with their attributes if `stats`."""
        runs = self.image.runs_of_node(reference, place - FIRST_PLACE)
        return chain.from_iterable(self._listed(here, run, stats=stats) for here, run in runs)

    def _listed(self, here: int, run: Run, *, stats: bool) -> Iterator[Listed]:
        """Return the names of a run, whose first is at the place `here`."""
        numbers = run.inode_numbers
        if min(numbers) < 1:
            numbers = [number if number > 0 else _UNKNOWN_NUMBER for number in numbers]
        found = self._stats(run) if stats else None
        columns = (
            run.names,
            map(_TYPES.__getitem__, run.types),
            [self._numbers + number for number in numbers],
            [self._nodes | reference for reference in run.references],
            repeat(None) if found is None else found,
            count(FIRST_PLACE + here + 1),
            repeat(0) if found is None else self._hole_bytes_of(found),
        )
        return map(_new, repeat(Listed), zip(*columns, strict=False))

    def target(self, reference: int) -> bytes:
        """Return the target of a symlink."""
        return self.image.target_of_node(reference)

    def xattrs(self, reference: int) -> list[bytes]:
        """Return the names of extended attributes."""
        return self.image.xattrs_of_node(reference) if self.image.has_xattrs else []

    def xattr(self, reference: int, name: bytes) -> bytes | None:
        """Return the value of an extended attribute, or None."""
        return self.image.xattr_of_node(reference, name) if self.image.has_xattrs else None

    def content(self, reference: int) -> Content:
        """Return the content of a regular file."""
        return self.image.open_node(reference)

    def _hole_bytes_of(self, found: Sequence[Stat | None]) -> Sequence[int]:
        """Return the bytes of each that lie in holes, which are whole blocks."""
        least, read = self._block_size, self.image.hole_bytes_of_node
        return [read(each.reference) if each and each.size >= least else 0 for each in found]

    def _stats(self, run: Run) -> Sequence[Stat | None]:
        """Return the attributes of entries, or None for those that are not sound."""
        found = self.image.stats_of_run(run)
        if None not in found:
            return found
        return [stat or self._judged(run.entry(index)) for index, stat in enumerate(found)]

    def _judged(self, entry: Entry) -> Stat | None:
        """Return the attributes of one whose inode lies in two blocks, or is not sound."""
        with suppress(SquashfsError):
            return self.image.stat_of_entry(entry)
        return None

    def _found(self, found: Stat) -> Found:
        number = self._numbers + found.inode_number
        return Found(self._nodes | found.reference, number, found, *self._hole_bytes_of([found]))


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
        self._numbers = len(branches) << _NUMBER_BITS  # behind those of all archives
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

    def listed(self, reference: int, place: int, *, stats: bool) -> Iterator[Listed]:
        """Yield the names of a directory from a place on."""
        names = sorted(self._directory(reference).below)
        for following, name in enumerate(names[place - FIRST_PLACE :], place + 1):
            found = self.named(reference, name)
            if found is not None:
                shown = found.stat if stats else None
                yield Listed(name, _DIRECTORY, found.inode_number, found.node, shown, following)

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


def _shown_source(source: object) -> str:
    return printed(source) if isinstance(source, str | bytes) else type(source).__name__


def _shown(reference: int) -> str:
    return f"directory {reference} above the archives"


_new = tuple.__new__  # takes half the time of Listed()
