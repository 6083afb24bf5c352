"""The members of a dataset: their places and paths, in columns of bytes."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from s3archivefs.errors import leads_nowhere
from s3archivefs.globbing import matches
from s3archivefs.inode import FileKind
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    offsets: Column
    """Of each, where its part of the decoded fragment block begins."""
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
        return decode(bytes(self._directory(self.parents[index])) + bytes(self._name(index)))

    def taken(self, indices: Sequence[int]) -> Members:
        """Return some members, in the order given, with nothing of the others."""
        numbers: dict[int, int] = {}
        parents = [numbers.setdefault(self.parents[index], len(numbers)) for index in indices]
        names = [self._name(index) for index in indices]
        directories = [*map(self._directory, numbers)]
        return Members(
            _taken("Q", self.references, indices),
            _taken("Q", self.starts, indices),
            _taken("Q", self.sizes, indices),
            _taken("I", self.fragments, indices),
            _taken("I", self.offsets, indices),
            _ends(names),
            array("I", parents),
            bytearray(b"").join(names),
            _ends(directories),
            bytearray(b"").join(directories),
        )

    def _name(self, index: int) -> bytes | bytearray | memoryview:
        return self.names[self.ends[index - 1] if index else 0 : self.ends[index]]

    def _directory(self, number: int) -> bytes | bytearray | memoryview:
        ends = self.directory_ends
        return self.directories[ends[number - 1] if number else 0 : ends[number]]


def members_of(image: SquashFS, pattern: str, top: str = "/") -> Members:
    """Return the regular files that a pattern matches, from a directory.

    They come depth first, names in byte order, each path once. Symlinks to regular files are among
    them; those that lead nowhere are not. Raises what `Path.glob` raises.
    """
    references, starts, sizes = array("Q"), array("Q"), array("Q")
    fragments, offsets, parents, names = array("I"), array("I"), array("I"), bytearray()
    ends = array("I")
    numbers: dict[str, int] = {}
    content_start = image.content_start
    for directory, name, entry in matches(image, top, pattern):
        if entry is None or entry.is_dir(follow_symlinks=False):
            continue
        stat = _stat(entry)
        if stat is None or stat.kind is not _FILE:
            continue
        start, fragment, offset = content_start(stat)
        names += encode(name)
        if len(names) > _MOST_32 and ends.typecode == "I":
            ends = array("Q", ends)
        ends.append(len(names))
        parents.append(numbers.setdefault(directory, len(numbers)))
        references.append(stat.reference)
        starts.append(start)
        sizes.append(stat.size)
        fragments.append(fragment)
        offsets.append(offset)
    directories = [*map(encode, numbers)]
    return Members(
        *(references, starts, sizes, fragments, offsets, ends, parents, names),
        _ends(directories),
        bytearray(b"").join(directories),
    )


def _stat(entry: DirEntry[str]) -> Stat | None:
    """Return the attributes of what an entry leads to; None where that is nothing."""
    try:
        return entry.stat()
    except OSError as error:
        if not leads_nowhere(error):
            raise
        return None


def _taken(typecode: Literal["Q", "I"], column: Column, indices: Sequence[int]) -> array[int]:
    """Return some numbers of a column."""
    return array(typecode, map(column.__getitem__, indices))


def _ends(texts: Iterable[Sequence[int]]) -> array[int]:
    """Return where each of texts ends that lie one behind the other."""
    ends = array("Q", accumulate(map(len, texts)))
    return ends if ends and ends[-1] > _MOST_32 else array("I", ends)


_FILE = FileKind.FILE
_MOST_32 = 0xFFFFFFFF  # in a column of type "I"
