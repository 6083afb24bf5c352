"""The entries of a directory, and a walk through the directories below it."""

from __future__ import annotations

from array import array
from itertools import count, repeat
from typing import TYPE_CHECKING, Generic, cast

from s3archivefs.entry import DirEntry, Scan
from s3archivefs.errors import CorruptImageError, LimitExceededError, SquashfsError
from s3archivefs.format import InodeType
from s3archivefs.names import AnyPath, decode_all_as, decode_as, encode
from s3archivefs.resolution import Place
from s3archivefs.runs import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3archivefs.directory import Directory
    from s3archivefs.entry import Tree
    from s3archivefs.inode import Inode, Stat
    from s3archivefs.limits import Limits
    from s3archivefs.readers import Readers

__all__ = ["entries", "names_and_stats", "walk"]

_DIRECTORY = int(InodeType.DIRECTORY)
_SYMLINK = int(InodeType.SYMLINK)


def entries(
    image: Tree, place: Place, path: AnyPath, start: bytes
) -> Iterator[Iterable[DirEntry[AnyPath]]]:
    """Yield the entries of the directory that `path` led to, from the name `start` on.

    They come up to 256 at a time.
    """
    prefix = _prefix(path)
    for run in place.directory.runs(start):
        scan = Scan(image, place, prefix, run)
        names = decode_all_as(path, run.names)
        try:
            yield map(DirEntry, repeat(scan), names, run.entries(), count())
        finally:
            scan.end()


def names_and_stats(  # noqa: PLR0917 -- two methods of SquashFS alone call it
    image: Tree,
    readers: Readers,
    directory: Directory,
    path: AnyPath,
    start: bytes,
    on_error: Callable[[AnyPath, SquashfsError, Entry], object] | None,
) -> Iterator[Iterable[tuple[AnyPath, Stat]]]:
    """Yield likewise the names of the entries, and their own attributes."""
    for run in directory.runs(start):
        names = decode_all_as(path, run.names)
        others: list[Stat | None]
        plain, others = readers.stats.parts_of_run(run)
        yield zip(names, plain, strict=False)
        done = len(names) - len(others)
        found = len(others) if all(others) else [*map(bool, others)].index(False)
        yield zip(names[done:], cast("list[Stat]", others[:found]), strict=False)
        for index in range(done + found, len(names)):
            try:
                stat = others[index - done] or image.stat_of_entry(run.entry(index))
            except SquashfsError as error:
                if on_error is None:
                    raise
                on_error(names[index], error, run.entry(index))
            else:
                yield ((names[index], stat),)


def _prefix(path: AnyPath) -> AnyPath:
    separator = decode_as(path, b"/")
    return path if path.endswith(separator) else path + separator


class _Below(Generic[AnyPath]):
    """The directories of one directory that a walk has still to enter.

    Their inodes' references stand in arrays, since there may be a million.
    """

    def __init__(
        self, place: Place, prefix: AnyPath, names: list[AnyPath], inodes: dict[AnyPath, int]
    ) -> None:
        self.place: Place = place
        self.prefix: AnyPath = prefix
        """What the paths below have behind the prefix of the directory above."""
        self.step: tuple[AnyPath, list[AnyPath], list[AnyPath]] | None = None
        """What the walk says of the directory itself at the end."""
        self._names: list[AnyPath] = [name for name in reversed(names) if name in inodes]
        self._references: array[int] = array(
            "Q", (inodes[name] >> _NUMBER_BITS for name in self._names)
        )
        self._numbers: array[int] = array(
            "q", ((inodes[name] & _NUMBER_MASK) + _NUMBER_MIN for name in self._names)
        )

    def take(self, readers: Readers) -> tuple[AnyPath, Inode] | None:
        """Return name and inode of the next directory, or None."""
        if not self._names:
            return None
        name = self._names.pop()
        reference, number = self._references.pop(), self._numbers.pop()
        entry = Entry(encode(name), _DIRECTORY, reference, number)
        return name, readers.entry_inode(entry)


# An entry's inode number is a sum of 32 unsigned and 16 signed bits: 33 bits from -(2**15) on.
_NUMBER_BITS = 33
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1
_NUMBER_MIN = -(1 << 15)


def walk(  # noqa: PLR0917 -- SquashFS.walk alone calls it
    image: Tree,
    readers: Readers,
    start: Place,
    top: AnyPath,
    symlinks_as_files: bool,  # noqa: FBT001 -- passed on from the keyword
    topdown: bool,  # noqa: FBT001 -- likewise
    limits: Limits,
) -> Iterator[tuple[AnyPath, list[AnyPath], list[AnyPath]]]:
    """Walk from the directory `start`, which `top` led to, as `SquashFS.walk` says."""
    seen: set[int] = set()
    entered: list[_Below[AnyPath]] = []
    found: tuple[AnyPath, Inode] | None = (top, start.directory.inode)
    while found is not None:
        own_name, inode = found
        names = [below.prefix for below in entered]
        names.append(own_name)
        path = decode_as(top, b"").join(names)
        if inode.reference in seen:
            raise CorruptImageError(f"directory {path!r} is in the tree twice", inode.tail[0])
        seen.add(inode.reference)
        if len(entered) > limits.walk_depth:
            raise LimitExceededError("walk_depth", len(entered), limits.walk_depth)
        place = Place(readers.directory(inode), entered[-1].place if entered else start.above)
        directories: list[AnyPath] = []
        others: list[AnyPath] = []
        inodes: dict[AnyPath, int] = {}
        scan = Scan(image, place, _prefix(path))
        for run in place.directory.runs():
            for name, entry in zip(decode_all_as(path, run.names), run.entries(), strict=True):
                if entry.type == _DIRECTORY:
                    directories.append(name)
                    number = entry.inode_number - _NUMBER_MIN
                    inodes[name] = entry.reference << _NUMBER_BITS | number
                elif (
                    entry.type == _SYMLINK
                    and not symlinks_as_files
                    and DirEntry(scan, name, entry, 0).is_dir()
                ):
                    directories.append(name)
                else:
                    others.append(name)
        if topdown:
            yield path, directories, others
        entered.append(_Below(place, _prefix(own_name), directories, inodes))
        if not topdown:
            entered[-1].step = path, directories, others
        del directories, others, inodes  # they may be large: free them before the next is read
        found = None
        while entered and (found := entered[-1].take(readers)) is None:
            if (step := entered.pop().step) is not None:
                yield step
