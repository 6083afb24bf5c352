"""The parts of a mount's tree: archives; `made` has the directories above several of them.

A node id, by which the kernel knows a file, is the number of a branch and the reference of an inode
in it: nothing need be remembered of a node, and hard links have one.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from s3archivefs.errors import SquashfsError
from s3archivefs.inode import FORMAT_BITS, FileKind, Stat
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from s3archivefs.content import Content
    from s3archivefs.image import SquashFS
    from s3archivefs.runs import Entry, Run

__all__ = [
    "BRANCH_NUMBERS",
    "DIRECTORY",
    "FIRST_PLACE",
    "NUMBER_BITS",
    "REGULAR",
    "ArchiveBranch",
    "Batch",
    "Branch",
    "Found",
    "StaleNodeError",
    "Wanted",
    "split",
]

FIRST_PLACE = 2
"""The place of the first name in a directory: `.` and `..` stand before it."""
_REFERENCE_BITS = 48  # of an inode's reference: 32 for a block, 16 for the offset in it
BRANCH_NUMBERS = range(1, 1 << 16)
"""Numbers of archives' branches, as a node id has room for."""
_REFERENCE_MASK = (1 << _REFERENCE_BITS) - 1
NUMBER_BITS = 32
"""Bits of an inode's number; those of an archive's index stand above them."""
_UNKNOWN_NUMBER = (1 << NUMBER_BITS) - 1
"""What listings show in place of numbers below 1: programs skip 0."""


def _shown_type(kind: FileKind) -> int:
    """Return a kind as directories show it: the DT_ constants of readdir(3)."""
    return FORMAT_BITS[kind] >> 12


_TYPES = (0, *map(_shown_type, FileKind))
"""Types as directories show them, by an entry's type."""
DIRECTORY = _shown_type(FileKind.DIRECTORY)
REGULAR = _shown_type(FileKind.FILE)


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


class Wanted(Enum):
    """The files of a directory whose attributes are asked for along with their names."""

    NONE = 0
    DIRECTORIES = 1
    """Those of other files may come along."""
    ALL = 2


class Batch(NamedTuple):
    """Names in a directory that follow each other, a field of all at a time."""

    place: int
    """The place of the first name; those of the others follow one by one."""
    names: Sequence[bytes]
    types: Sequence[int]
    """As directories show them: see readdir(3)."""
    inode_numbers: Sequence[int]
    nodes: Sequence[int]
    stats: Sequence[Stat | None] | None = None
    """Of each the attributes, if they are asked for and sound."""
    hole_bytes: Sequence[int] = ()
    """As in `Found`, if there are attributes."""


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

    def listed(self, reference: int, place: int, wanted: Wanted) -> Iterator[Batch]:
        """Yield the names of a directory from a place on, with attributes."""

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
        self._numbers = index << NUMBER_BITS
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

    def listed(self, reference: int, place: int, wanted: Wanted) -> Iterator[Batch]:
        """Yield the names of a directory from a place on, with attributes."""
        for here, run in self.image.runs_of_node(reference, place - FIRST_PLACE):
            numbers = run.inode_numbers
            if min(numbers) < 1:
                numbers = [number if number > 0 else _UNKNOWN_NUMBER for number in numbers]
            types = [*map(_TYPES.__getitem__, run.types)]
            batch = Batch(
                FIRST_PLACE + here,
                run.names,
                types,
                [self._numbers + number for number in numbers] if self.index else numbers,
                [self._nodes | reference for reference in run.references],
            )
            if wanted is Wanted.ALL or (wanted is Wanted.DIRECTORIES and DIRECTORY in types):
                found = self._stats(run)
                batch = batch._replace(stats=found, hole_bytes=self._hole_bytes_of(found))
            yield batch

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


def _shown_source(source: object) -> str:
    return printed(source) if isinstance(source, str | bytes) else type(source).__name__
