"""Keys in S3's order over mapped archives: the byte order of whole keys, found by seeking.

S3 sorts whole keys, so a directory sorts as its name with a `/` behind it: `a-b`, `a/x`, `a0`. An
archive's listing sorts names, so a directory may have to wait for names that its own begins.
Nothing before the place asked for is read: a page costs what it returns.

Objects are regular files and symlinks that lead to one. A symlink to a directory is not entered:
its members would be there twice, or without end.
"""

from __future__ import annotations

import errno
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple, Protocol

from s3archivefs import CorruptImageError, FileKind, LimitExceededError, SquashfsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs import DirEntry, SquashFS, Stat

__all__ = ["PATH_FAULTS", "Item", "Source", "list_items"]

PATH_FAULTS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What the reader says of a path that leads nowhere, through a file, or round in circles. Any other
OSError is a device's.
"""

_SLASH = ord("/")
_BEHIND_SLASH = b"0"
"""The byte after `/`: with it in place of the last slash, the lowest key behind a directory's."""
_STEPS_BEFORE_SEEK = 32
"""Entries passed over one by one before the directory's index is asked: a seek decodes about as
many.
"""
_NAME_MAX = 256
"""Bytes in a name: longer beginnings of a start need no look-up."""


class Item(NamedTuple):
    """One line of a listing: an object of a source, or with neither a common prefix."""

    key: bytes
    stat: Stat | None = None
    source: Source | None = None


class Source(Protocol):
    """A mapped archive, as much of it as a listing needs."""

    @property
    def prefix(self) -> bytes:
        """Virtual prefix: empty, or ending in `/`."""

    @property
    def walk_depth(self) -> int:
        """Directories nested in each other that are entered."""

    def image(self) -> SquashFS | None:
        """The archive's image, opened on first use; None where only its part of the listing is to
        be empty.
        """

    def etag(self, stat: Stat) -> str:
        """The ETag of a member."""

    def failure(self, error: OSError | SquashfsError) -> Exception:
        """What to raise where the open image cannot be read."""


def list_items(
    sources: Iterable[Source], prefix: bytes, delimiter: bytes, after: bytes
) -> Iterator[Item]:
    """Objects and common prefixes of all sources under `prefix`, in order, from the first that is
    above `after`.

    A common prefix that is `after`, or that `after` lies in, was listed with it. An archive of
    which only a common prefix is seen is not opened.
    """
    floor = max(prefix, after + b"\0")
    if delimiter and after.startswith(prefix) and (cut := after.find(delimiter, len(prefix))) >= 0:
        end = _end_of(after[: cut + len(delimiter)])
        if end is None:
            return
        floor = end
    keys = _Merge(sources, prefix, floor)
    while (item := keys.next()) is not None:
        if not item.key.startswith(prefix):
            return
        cut = item.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            group = item.key[: cut + len(delimiter)]
            yield Item(group)
            end = _end_of(group)
            if end is None:
                return
            keys.seek(end)
        elif item.source is None:
            keys.enter(item.key)
        else:
            yield item


def _end_of(prefix: bytes) -> bytes | None:
    """The lowest key above all that start with `prefix`, or None where there is none."""
    prefix = prefix.rstrip(b"\xff")
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else None


def _is_below(prefix: bytes, floor: bytes) -> bool:
    """Whether every key that starts with `prefix` is below `floor`."""
    return prefix < floor and not floor.startswith(prefix)


# ---- Several archives as one bucket --------------------------------------------------------------


class _Merge:
    """The keys of all sources in one order. A source not yet opened stands as an Item of its
    virtual prefix alone.
    """

    def __init__(self, sources: Iterable[Source], prefix: bytes, floor: bytes) -> None:
        sources = list(sources)
        self._floor = floor
        self._walks: dict[bytes, _Walk] = {}
        # Next key, virtual prefix of its source, item.
        self._heads: list[tuple[bytes, bytes, Item]] = []
        self._given: bytes | None = None  # virtual prefix of the source that the last item was of
        for source in sources:
            virtual = source.prefix
            touches = virtual.startswith(prefix) or prefix.startswith(virtual)
            nested = [
                other.prefix
                for other in sources
                if other.prefix != virtual and other.prefix.startswith(virtual)
            ]
            hidden = any(prefix.startswith(inner) for inner in nested)
            if not touches or hidden or _is_below(virtual, floor):
                continue
            self._walks[virtual] = _Walk(source, nested, floor, _end_of(prefix))
            if virtual < floor:
                self._advance(virtual)
            else:
                heappush(self._heads, (virtual, virtual, Item(virtual)))

    def next(self) -> Item | None:
        """The next item, or None."""
        if self._given is not None:
            self._advance(self._given)
            self._given = None
        if not self._heads:
            return None
        _, virtual, item = heappop(self._heads)
        if item.source is not None:
            self._given = virtual  # moved on when more is asked for: `seek` may pass that over
        return item

    def enter(self, virtual: bytes) -> None:
        """Open the source that `next` returned as its virtual prefix alone."""
        self._advance(virtual)

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""
        self._floor = floor
        behind = [virtual for key, virtual, _ in self._heads if key < floor]
        self._heads = [head for head in self._heads if head[0] >= floor]
        heapify(self._heads)
        if self._given is not None:
            behind.append(self._given)
            self._given = None
        for virtual in behind:
            self._walks[virtual].seek(floor)
            if not _is_below(virtual, floor):
                self._advance(virtual)

    def _advance(self, virtual: bytes) -> None:
        item = self._walks[virtual].next()
        if item is not None:
            heappush(self._heads, (item.key, virtual, item))


# ---- One archive ---------------------------------------------------------------------------------


class _Frame(NamedTuple):
    """A directory being listed."""

    path: bytes
    """Inside the archive: empty for its root, else ending in `/`."""
    entries: Iterator[tuple[bytes, DirEntry[bytes]]]


class _Walk:
    """The objects of one archive in the order of their keys, from a floor on that may be raised, to
    below an end.
    """

    def __init__(
        self, source: Source, nested: list[bytes], floor: bytes, end: bytes | None
    ) -> None:
        self._source = source
        self._end = end
        self._nested = nested  # longer virtual prefixes, whose keys belong to other archives
        self._virtual = source.prefix
        self._image: SquashFS | None = None
        self._frames: list[_Frame] | None = None
        self._entered: set[int] = set()  # references of directories
        self._set_floor(floor)

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""
        self._set_floor(floor)
        while self._frames and _is_below(self._frames[-1].path, self._floor):
            self._frames.pop()

    def next(self) -> Item | None:
        """The next object, or None.

        Raises Source.failure: keys left out unnoticed would be taken for deleted ones.
        """
        try:
            return self._next_visible()
        except (OSError, SquashfsError) as error:
            raise self._source.failure(error) from error

    def _next_visible(self) -> Item | None:
        while (found := self._next()) is not None:
            key = self._virtual + found[0]
            hiding = next((nested for nested in self._nested if key.startswith(nested)), None)
            if hiding is None:
                return Item(key, found[1], self._source)
            self.seek(hiding[:-1] + _BEHIND_SLASH)
        return None

    def _set_floor(self, floor: bytes) -> None:
        """Keep the floor as a path inside the archive."""
        self._floor = floor[len(self._virtual) :] if floor.startswith(self._virtual) else b""

    def _next(self) -> tuple[bytes, Stat] | None:
        if self._frames is None:
            self._image = self._source.image()
            self._frames = [] if self._image is None else [self._enter(b"", self._image.stat(b"/"))]
        passed = 0
        while self._frames:
            path, entries = self._frames[-1]
            name, entry = next(entries, (b"", None))
            if entry is None:
                self._frames.pop()
                passed = 0
                continue
            place = path + name
            if self._end is not None and self._virtual + place >= self._end:
                self._frames.clear()
                return None
            if place < self._floor and not (name.endswith(b"/") and self._floor.startswith(place)):
                passed += 1
                if passed == _STEPS_BEFORE_SEEK:
                    self._frames[-1] = self._frame(path)
                continue
            if name.endswith(b"/"):
                if len(self._frames) > self._source.walk_depth:
                    depth = self._source.walk_depth
                    raise LimitExceededError("walk_depth", len(self._frames), depth)
                self._frames.append(self._enter(place, entry.stat()))
            elif (found := _stat_of_object(entry)) is not None:
                return place, found
        return None

    def _enter(self, path: bytes, stat: Stat) -> _Frame:
        """Begin to list a directory that was not met before.

        In a hostile image it may have been: n directories, each twice in the one above, have 2 to
        the power of n paths, and a page would not end before it has gone through them.
        """
        if stat.reference in self._entered:
            raise CorruptImageError(f"directory {path!r} is in the tree twice")
        self._entered.add(stat.reference)
        return self._frame(path)

    def _frame(self, path: bytes) -> _Frame:
        assert self._image is not None  # noqa: S101 -- frames are made of an image only
        start = self._floor[len(path) :] if self._floor.startswith(path) else b""
        return _Frame(path, _in_key_order(self._image, b"/" + path, start))


def _stat_of_object(entry: DirEntry[bytes]) -> Stat | None:
    """The attributes of the object that an entry is, or None where it is none: devices, dangling
    links, ...
    """
    kind = entry.kind
    if kind is not FileKind.FILE and kind is not FileKind.SYMLINK:
        return None
    try:
        found = entry.stat()
    except OSError as error:
        if error.errno not in PATH_FAULTS:
            raise  # the device's: what could not be read must not be left out of a listing
        return None
    return found if found.kind is FileKind.FILE else None


def _in_key_order(
    image: SquashFS, path: bytes, start: bytes
) -> Iterator[tuple[bytes, DirEntry[bytes]]]:
    """A directory's entries as (name, entry), a directory's name with `/` behind it, sorted by
    that.

    Left out is what lies below `start`: names, and directories of which no member's path can reach
    it.
    """
    # Directories, until no name sorts between theirs and their `/`.
    waiting: list[tuple[bytes, DirEntry[bytes]]] = []
    first = start.partition(b"/")[0]
    reached = b""  # the lowest name from the last one looked for on: none lies between
    for length in range(1, min(len(first), _NAME_MAX + 1)):
        # The names up to `first` are not read; but a directory `a` sorts behind a start of `a-b`.
        name = first[:length]
        if first[length] >= _SLASH or name < reached:
            continue
        entry = next(image.scandir(path, start=name), None)
        if entry is None:
            break
        reached = entry.name
        if reached == name and _is_dir(entry):
            heappush(waiting, (name + b"/", entry))
    for entry in image.scandir(path, start=first):
        while waiting and waiting[0][0] < entry.name:
            yield heappop(waiting)
        if _is_dir(entry):
            name = entry.name + b"/"
            if name >= start or start.startswith(name):
                heappush(waiting, (name, entry))
        elif entry.name >= start:
            yield entry.name, entry
    while waiting:
        yield heappop(waiting)


def _is_dir(entry: DirEntry[bytes]) -> bool:
    return entry.kind is FileKind.DIRECTORY
