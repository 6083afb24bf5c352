"""The members of a dataset: their places and paths, in columns of bytes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs.errors import leads_nowhere
from s3archivefs.format import ABSENT_32
from s3archivefs.globbing import matches
from s3archivefs.inode import FileKind
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs.entry import DirEntry
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["Column", "Members", "Text", "members_of"]


Column: TypeAlias = "array[int] | memoryview"
Text: TypeAlias = "bytearray | memoryview"


class Members(NamedTuple):
    """The files of a dataset, in columns: 40 bytes a member, and its name.

    No column holds an object for a member. So a forked process, which counts references to each
    object that it meets, writes to no page of them, and they can be mapped from a file.
    """

    references: Column
    """Of each member, the reference of its inode."""
    starts: Column
    """Of each, where its content begins, in bytes from the start of the image."""
    sizes: Column
    """Of each, bytes of content."""
    fragments: Column
    """Of each, the number of the fragment block that it shares with others, or ABSENT_32."""
    ends: Column
    """Of each, where its name ends in `names`."""
    parents: Column
    """Of each, which directory it is in."""
    names: Text
    """The names of members, one behind the other."""
    directory_ends: Column
    """Of each directory, where its path ends in `directories`."""
    directories: Text
    """The paths of directories likewise, each with a slash at the end."""

    def path(self, index: int) -> str:
        """Return the path of a member, counted from 0."""
        return decode(self._directory(index) + _piece(self.names, self.ends, index))

    def taken(self, indices: Iterable[int]) -> Members:
        """Return some members, in the order given, with nothing of the others."""
        columns = _Columns()
        for index in indices:
            columns.add(
                self._directory(index),
                _piece(self.names, self.ends, index),
                (self.references[index], self.starts[index], self.sizes[index]),
                self.fragments[index],
            )
        return columns.members()

    def _directory(self, index: int) -> bytes:
        return _piece(self.directories, self.directory_ends, self.parents[index])


class _Columns:
    """The columns of members that are added one by one."""

    def __init__(self) -> None:
        self._places = array("Q"), array("Q"), array("Q")
        self._fragments = array("I")
        self._ends, self._parents, self._names = array("Q"), array("I"), bytearray()
        self._numbers: dict[bytes, int] = {}

    def add(
        self, directory: bytes, name: bytes, place: tuple[int, int, int], fragment: int
    ) -> None:
        """Add a member; `place` is reference, start and size."""
        self._names += name
        self._ends.append(len(self._names))
        self._parents.append(self._numbers.setdefault(directory, len(self._numbers)))
        for column, number in zip(self._places, place, strict=True):
            column.append(number)
        self._fragments.append(fragment)

    def members(self) -> Members:
        """Return what was added."""
        ends, directories = array("Q"), bytearray()
        for directory in self._numbers:
            directories += directory
            ends.append(len(directories))
        names = self._ends, self._parents, self._names
        return Members(*self._places, self._fragments, *names, ends, directories)


def members_of(image: SquashFS, pattern: str) -> Members:
    """Return the regular files that a pattern matches, from the root.

    They come depth first, names in byte order, each path once. Symlinks to regular files are among
    them; those that lead nowhere are not. Raises what `Path.glob` raises.
    """
    columns = _Columns()
    for path, stat in _files(image, pattern):
        directory, slash, name = path.rpartition("/")
        fragment = image.content_fragment(stat)
        place = stat.reference, image.content_start(stat), stat.size
        columns.add(
            encode(directory + slash),
            encode(name),
            place,
            ABSENT_32 if fragment is None else fragment,
        )
    return columns.members()


def _files(image: SquashFS, pattern: str) -> Iterator[tuple[str, Stat]]:
    """Yield the regular files that a pattern matches, and their attributes."""
    for path, entry in matches(image, "/", pattern):
        if entry is not None and entry.kind in _MAY_BE_FILES:
            stat = _stat(entry)
            if stat is not None and stat.kind is FileKind.FILE:
                yield path, stat


def _stat(entry: DirEntry[str]) -> Stat | None:
    """Return the attributes of what an entry leads to; None where that is nothing."""
    try:
        return entry.stat()
    except OSError as error:
        if not leads_nowhere(error):
            raise
        return None


def _piece(text: Text, ends: Column, index: int) -> bytes:
    """Return one of the texts that lie one behind the other."""
    return bytes(text[ends[index - 1] if index else 0 : ends[index]])


_MAY_BE_FILES = frozenset((FileKind.FILE, FileKind.SYMLINK))
