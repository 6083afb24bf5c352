"""The members of a dataset: their places and paths, in columns of bytes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs.errors import leads_nowhere
from s3archivefs.globbing import matches
from s3archivefs.inode import FileKind
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.entry import DirEntry
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

__all__ = ["Column", "Members", "Text", "members_of"]


Column: TypeAlias = "array[int] | memoryview"
Text: TypeAlias = "bytearray | memoryview"


class Members(NamedTuple):
    """The files of a dataset, in columns: 36 bytes a member, and its name.

    No column holds an object for a member. So a forked process, which counts references to each
    object that it meets, writes to no page of them, and they can be mapped from a file.
    """

    references: Column
    """Of each member, the reference of its inode."""
    starts: Column
    """Of each, where its content begins, in bytes from the start of the image."""
    sizes: Column
    """Of each, bytes of content."""
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
        directory = _piece(self.directories, self.directory_ends, self.parents[index])
        return decode(directory + _piece(self.names, self.ends, index))


def members_of(image: SquashFS, pattern: str) -> Members:
    """Return the regular files that a pattern matches, from the root.

    They come depth first, names in byte order, each path once. Symlinks to regular files are among
    them; those that lead nowhere are not. Raises what `Path.glob` raises.
    """
    references, starts, sizes, ends = array("Q"), array("Q"), array("Q"), array("Q")
    parents, names = array("I"), bytearray()
    numbers: dict[str, int] = {}
    for path, stat in _files(image, pattern):
        directory, slash, name = path.rpartition("/")
        names += encode(name)
        ends.append(len(names))
        parents.append(numbers.setdefault(directory + slash, len(numbers)))
        references.append(stat.reference)
        starts.append(image.content_start(stat))
        sizes.append(stat.size)
    directory_ends, directories = array("Q"), bytearray()
    for directory in numbers:
        directories += encode(directory)
        directory_ends.append(len(directories))
    return Members(references, starts, sizes, ends, parents, names, directory_ends, directories)


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
