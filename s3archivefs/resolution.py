"""Resolution of paths, inside the image only."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, cast

from s3archivefs.cached_only import check_may_wait
from s3archivefs.directory import uncounted
from s3archivefs.errors import LimitExceededError
from s3archivefs.format import InodeType
from s3archivefs.inode import FileKind
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.names import encode, os_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs.cache import WeightedCache
    from s3archivefs.content_place import ContentPlace
    from s3archivefs.directory import Counter, Directory
    from s3archivefs.inode import Inode, Stat
    from s3archivefs.limits import Limits
    from s3archivefs.readers import Readers
    from s3archivefs.runs import Entry

__all__ = ["Place", "Resolver"]

_NO_NAMES = frozenset({b"", b".", b".."})  # parts of a path that no directory holds
_WAY_MAX = 1 << 18  # bytes of a path that is kept: as deep as a walk may be, of names of 255
_DIRECTORY_WEIGHT = 1000  # bytes of memory that a directory and its place take, roughly
# In Python 3.11 the members of an enum are slow to reach.
_SYMLINK = FileKind.SYMLINK
_DIRECTORY = FileKind.DIRECTORY
_DIRECTORY_TYPE = int(InodeType.DIRECTORY)
_FILE_TYPE = int(InodeType.FILE)
_SYMLINK_TYPE = int(InodeType.SYMLINK)


class Place(NamedTuple):
    """A directory, and the way to it, which `..` goes back."""

    directory: Directory
    above: Place | None
    """The place of the directory above; None for the image's root."""


class Located(NamedTuple):
    """What a path leads to."""

    inode: Inode
    place: Place
    """The directory that holds it; a directory's own."""
    hops: int
    """Number of symlinks followed."""


class Found:
    """An entry that a path names, whatever it leads to if it is a symlink."""

    __slots__ = ("entry", "kept", "stat")

    def __init__(self, entry: Entry, kept: KeptPlace) -> None:
        self.entry = entry
        self.kept = kept
        """The directory that holds it."""
        self.stat: Stat | None = None
        """Its attributes, once they were asked for, if they are plain and sound."""


class KeptPlace:
    """A place in the cache, by the way that led there."""

    __slots__ = ("hops", "place", "weight")

    def __init__(self, way: bytes, place: Place, hops: int) -> None:
        self.place = place
        self.hops = hops
        """Number of symlinks on the way."""
        self.weight = len(way) + sum(_DIRECTORY_WEIGHT for _ in _chain(place))

    @property
    def extents(self) -> list[tuple[int, int]]:
        """Ranges of the image that the directories were decoded from."""
        return [place.directory.extent for place in _chain(self.place)]


def _chain(place: Place) -> Iterator[Place]:
    """Yield a place and those above it, all of which it keeps in memory."""
    here: Place | None = place
    while here is not None:
        yield here
        here = here.above


class _Steps:
    """The work of resolving one path, bounded by Limits.resolution_steps."""

    def __init__(self, limits: Limits, count: Counter = uncounted) -> None:
        self._limit = limits.resolution_steps
        self._count = count
        self._taken = 0

    def take(self, more: int) -> None:
        """Count entries decoded to find a name, as a Counter.

        Only `next` checks the limit: other threads may be waiting for these entries.
        """
        self._taken += more
        self._count(more)

    def next(self) -> None:
        """Count one more name, or raise LimitExceededError where the limit is exceeded."""
        if self._taken > self._limit:
            raise LimitExceededError("resolution_steps", self._taken, self._limit)
        self.take(1)


class Resolver:
    """A resolver of paths from a root: no `..` leaves it, absolute links start there."""

    def __init__(self, root: Directory, readers: Readers, limits: Limits) -> None:
        self._root = Place(root, above=None)
        self._readers = readers
        self._limits = limits
        # The last way, and what it named: `stat` is often followed by `open`.
        self._last: tuple[bytes, Found] | None = None
        self._top = KeptPlace(b"", self._root, hops=0)
        self._kept = cast("WeightedCache[KeptPlace]", readers.pool)

    def inode(self, path: str | bytes, *, follow: bool = True) -> Inode:
        """Return the inode that a path leads to; `follow` concerns a symlink at its end.

        Raises FileNotFoundError, NotADirectoryError or OSError (ELOOP) where the path leads
        nowhere.
        """
        way = encode(path)
        found = self._found(way, path)
        if found is None:
            return self.located(way, path, follow=follow).inode
        inode = self._readers.entry_inode(found.entry)
        if follow and inode.kind is _SYMLINK:
            name, kept = found.entry.name, found.kept
            return self.located(name, path, start=kept.place, hops=kept.hops).inode
        return inode

    def stat(self, path: str | bytes, *, follow: bool = True) -> Stat:
        """Return the attributes of what a path leads to; raises what `inode` raises."""
        found = self._found(encode(path), path)
        if found is not None and not (follow and found.entry.type == _SYMLINK_TYPE):
            stat = found.stat = self._readers.stats.of_entry(found.entry)
            if stat is not None:
                return stat
        return self._readers.inodes.stat(self.inode(path, follow=follow))

    def content(self, path: str | bytes) -> ContentPlace | None:
        """Return where the content lies of the regular file that a path names.

        Return None for anything else, of which `inode` is to judge; raises what that raises.
        """
        found = self._found(encode(path), path)
        if found is None or found.entry.type != _FILE_TYPE:
            return None
        stat = found.stat or self._readers.stats.of_entry(found.entry)
        return None if stat is None else self._readers.stats.content_of(stat)

    def _found(self, way: bytes, path: str | bytes) -> Found | None:
        """Return the entry that a way names, or None where it ends with no name."""
        last = self._last
        if last is not None and last[0] == way:
            return last[1]
        above, _, name = way.rpartition(b"/")
        if name in _NO_NAMES:
            return None
        kept = self._known(above)
        if kept is None:
            steps = _Steps(self._limits)
            located = _directory(self.located(above, path, steps=steps), path)
            steps.next()
            kept = self._keep(above, located)
        entry = kept.place.directory.get(name)
        if entry is None:
            raise os_error(errno.ENOENT, path)
        found = Found(entry, kept)
        self._last = way, found
        return found

    def directory(self, path: str | bytes) -> Place:
        """Return the directory that a path leads to.

        Raises NotADirectoryError where it leads to something else, and what `inode` raises.
        """
        way = encode(path)
        kept = self._known(way)
        if kept is None:
            kept = self._keep(way, _directory(self.located(way, path), path))
        return kept.place

    # These start at an entry, whose directory need not be resolved again. `path` is for errors.

    def inode_behind(self, link: Entry, within: Place, path: str | bytes, count: Counter) -> Inode:
        """Return the inode that a symlink leads to; `count` is called with the work done."""
        steps = _Steps(self._limits, count)
        return self.located(link.name, path, start=within, steps=steps).inode

    def directory_at(self, entry: Entry, within: Place, path: str | bytes) -> Place:
        """Return the directory that an entry is, or leads to."""
        if entry.type == FileKind.DIRECTORY.value:
            return Place(self._readers.directory(self._readers.entry_inode(entry)), within)
        return _directory(self.located(entry.name, path, start=within), path).place

    def real_path(self, path: str | bytes, *, strict: bool) -> bytes:
        """Return the path without symlinks and `..`.

        Names that are missing, or behind a loop of symlinks, stay unchanged. Raises
        LimitExceededError and, if `strict`, what `inode` raises.
        """
        if strict:
            self.inode(path)
        todo: list[bytes | None] = [*reversed(encode(path).split(b"/"))]
        followed: list[bytes] = []
        """Links being followed; in `todo`, None stands for each behind its target.

        They are known by their paths: a hard link of one may lead on where it led before.
        """
        here, names, beyond, hops = self._root, list[bytes](), 0, 0
        steps = _Steps(self._limits)
        while todo:
            part = todo.pop()
            if part is None:
                followed.pop()
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
                    and hops < self._limits.symlink_hops
                    and (link := b"/".join((*names, part))) not in followed
                ):
                    check_may_wait()  # as in _followed
                    hops += 1
                    followed.append(link)
                    target = self._readers.inodes.target(inode)
                    todo += (None, *reversed(target.split(b"/")))
                    if target.startswith(b"/"):
                        here, names = self._root, []
                    continue
                names.append(part)
                if inode is not None and kind is FileKind.DIRECTORY:
                    here = Place(self._readers.directory(inode), here)
                    continue
                beyond += 1
        return b"/" + b"/".join(names)

    # ---- directories by the way that led there ---------------------------------------------------

    def _known(self, way: bytes) -> KeptPlace | None:
        """Return the directory of a way, if it or the one above is cached.

        A way is as a caller spells it. What else may be on it, such as a symlink or a name that is
        missing, is for `located`.
        """
        kept = self._kept.peek(way) if way else self._top
        if kept is not None:
            return kept
        above, _, name = way.rpartition(b"/")
        kept = self._kept.peek(above) if above else self._top
        if kept is None or name in _NO_NAMES:
            return None
        entry = kept.place.directory.get(name)
        if entry is None or entry.type != _DIRECTORY_TYPE:
            return None
        inode = self._readers.entry_inode(entry)
        place = Place(self._readers.directory(inode), kept.place)
        return self._put(way, KeptPlace(way, place, kept.hops))

    def _keep(self, way: bytes, found: Located) -> KeptPlace:
        return self._put(way, KeptPlace(way, found.place, found.hops))

    def _put(self, way: bytes, kept: KeptPlace) -> KeptPlace:
        if len(way) <= _WAY_MAX:
            self._kept.put(way, kept)
        return kept

    # ---- any way ---------------------------------------------------------------------------------

    def located(
        self,
        way: bytes,
        path: str | bytes,
        *,
        start: Place | None = None,
        follow: bool = True,
        hops: int = 0,
        steps: _Steps | None = None,
    ) -> Located:
        """Follow `way` from a place, the root by default, to which `hops` symlinks led."""
        todo = way.split(b"/")
        todo.reverse()
        here = start or self._root
        steps = steps or _Steps(self._limits)
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
            if inode.kind is _DIRECTORY:
                here = Place(self._readers.directory(inode), here)
            elif inode.kind is _SYMLINK and (todo or follow):
                hops += 1
                target = self._followed(inode, hops, path)
                todo += reversed(target.split(b"/"))
                if target.startswith(b"/"):
                    here = self._root
            elif todo:
                raise os_error(errno.ENOTDIR, path)
            else:
                return Located(inode, here, hops)
        return Located(here.directory.inode, here, hops)

    def _followed(self, link: Inode, hops: int, path: str | bytes) -> bytes:
        """Return the target of the symlink that is the path's `hops`th.

        Raises NotCachedError within `only_cached`: its way may be long.
        """
        check_may_wait()
        if hops > self._limits.symlink_hops:
            raise os_error(errno.ELOOP, path)
        return self._readers.inodes.target(link)


def _directory(found: Located, path: str | bytes) -> Located:
    """Return what was found if it is a directory, or raise NotADirectoryError."""
    if found.inode.kind is not _DIRECTORY:
        raise os_error(errno.ENOTDIR, path)
    return found
