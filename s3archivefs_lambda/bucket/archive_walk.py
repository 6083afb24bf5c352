"""The objects of one archive in the order of their keys, found by seeking.

Objects are regular files and symlinks that lead to one. A symlink to a directory is not entered:
its members would be there twice, or without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from s3archivefs import (
    CorruptImageError,
    FileKind,
    LimitExceededError,
    SquashfsError,
    leads_nowhere,
)
from s3archivefs_lambda.bucket.key_order import in_key_order
from s3archivefs_lambda.s3api.key_space import bound_within, end_of, is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs import DirEntry, SquashFS, Stat
    from s3archivefs_lambda.bucket.key_order import Scan

__all__ = ["ArchiveWalk", "Item", "Source", "Sources", "Span", "Work"]

# Steps beside that of an entry passed over, which takes some two microseconds.
_STEPS_OF_ARCHIVE = 200
"""Opened. It may take requests: but a page of results from 1,000 archives must not end early."""
_STEPS_OF_DIRECTORY = 10
_STEPS_OF_LINK = 5
"""Besides the names looked up on its way."""
_BYTES_OF_STEP = 4096
"""Of a directory's path: a deep one is long."""

_STEPS_BEFORE_SEEK = 32
"""Entries passed over one by one before the directory's index is asked: a seek decodes about as
many.
"""


class Item(NamedTuple):
    """An object of a source; without one, a common prefix or the place where a walk paused."""

    key: bytes
    stat: Stat | None = None
    source: Source | None = None


class Source(Protocol):
    """A mapped archive, as much of it as a listing needs."""

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


class Sources(Protocol):
    """The mapped archives, by their virtual prefixes: empty, or ending in `/`."""

    def around(self, key: bytes) -> Iterable[bytes]:
        """The virtual prefixes that a key starts with, the shortest first."""

    def first(self, floor: bytes) -> bytes | None:
        """The lowest virtual prefix that is not below `floor`."""

    def source(self, virtual: bytes) -> Source:
        """The archive that is mapped there."""


class Span(NamedTuple):
    """The keys that a page may have."""

    floor: bytes
    """What is below it is not asked for, or was on an earlier page."""
    end: bytes | None
    """What is not below it is not asked for."""


class Work:
    """Steps that a page may take for what it does not show, counted down."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def count(self, steps: int = 1) -> None:
        """Take so many steps."""
        self.left -= steps


class _Frame:
    """A directory being listed. Its bounds are those of the walk, of what follows its path."""

    __slots__ = ("clear", "end", "entries", "path", "scan", "start")

    path: bytes
    """As keys have it: empty, or ending in `/`."""
    start: bytes
    """What is below it is passed over."""
    end: bytes | None
    """What is not below it ends the walk."""
    clear: bytes | None
    """What is not below it may belong to another archive."""
    scan: Scan
    entries: Iterator[tuple[bytes, DirEntry[bytes] | None]]


_END = (b"", None)


class ArchiveWalk:
    """The objects of one archive in the order of their keys, from a floor on that may be raised.

    Keys that a longer virtual prefix has too are left out: they belong to another archive.
    """

    def __init__(self, sources: Sources, virtual: bytes, span: Span, work: Work) -> None:
        self._sources = sources
        self._source = sources.source(virtual)
        self._virtual = virtual
        self._span = span
        self._work = work
        self._clear: bytes | None = b""  # keys from the last one looked at to here are its own
        self._frames: list[_Frame] | None = None  # None until the archive is open
        self._entered: set[int] = set()  # references of directories
        self._paused: bytes | None = None
        self.floor = b""
        """No key below it will be found."""
        self.seek(max(span.floor, virtual))

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""
        hiding = self._hiding(floor)
        self.floor = floor if hiding is None else end_of(hiding) or floor
        while self._frames and is_below(self._frames[-1].path, self.floor):
            self._frames.pop()
        self._aim()

    def next(self) -> Item | None:
        """The next object, or None. An Item of a key alone is where the work is used up: all below
        it has been dealt with.

        Raises Source.failure: keys left out unnoticed would be taken for deleted ones.
        """
        if self._paused is None:
            try:
                return self._next()
            except (OSError, SquashfsError) as error:
                raise self._source.failure(error) from error
        key = max(self._paused, self.floor)
        return None if self._span.end is not None and key >= self._span.end else Item(key)

    def _next(self) -> Item | None:
        if self._frames is None:
            if self._pause(self.floor):
                return Item(self.floor)
            self._open()
        passed = 0
        while self._frames:
            frame = self._frames[-1]
            name, entry = next(frame.entries, _END)
            if entry is None:
                self._frames.pop()
                self._aim()
                passed = 0
                continue
            if frame.end is not None and name >= frame.end:
                self._frames.clear()
                return None
            if self._work.left <= 0 and self._pause(key := max(frame.path + name, self.floor)):
                return Item(key)
            is_directory = name.endswith(b"/")
            if name < frame.start and not (is_directory and frame.start.startswith(name)):
                self._work.count()
                passed += 1
                if passed == _STEPS_BEFORE_SEEK:
                    self._list(frame)
            elif self._is_hidden(frame, name):
                self._work.count()
            elif is_directory:
                self._enter(frame.path + name, entry.reference, _scan_of(entry))
            elif (found := self._stat_of_object(entry)) is not None:
                return Item(frame.path + name, found, self._source)
            else:
                self._work.count()
        return None

    # ---- where to go on --------------------------------------------------------------------------

    def _pause(self, key: bytes) -> bool:
        """Stop before a key where the work is used up, but not where the page began: it has to get
        on. Says whether it did.
        """
        if self._work.left > 0 or key <= self._span.floor:
            return False
        self._paused = key
        return True

    def _is_hidden(self, frame: _Frame, name: bytes) -> bool:
        """Whether a longer virtual prefix has what is next; if so, that is passed over."""
        if frame.clear is None or name < frame.clear:
            return False
        hiding = self._hiding(frame.path + name)
        if hiding is None:
            self._aim()
            return False
        self.seek(hiding)
        return True

    def _hiding(self, key: bytes) -> bytes | None:
        """The longer virtual prefix that a key starts with, if there is one."""
        for virtual in self._sources.around(key):
            if len(virtual) > len(self._virtual):
                return virtual
        self._clear = self._sources.first(key)
        return None

    def _aim(self) -> None:
        """Bound what is listed: a frame's bounds are those of the time when it was last on top."""
        if self._frames:
            frame = self._frames[-1]
            frame.start = bound_within(frame.path, self.floor) or b""
            frame.end = bound_within(frame.path, self._span.end)
            frame.clear = bound_within(frame.path, self._clear)

    # ---- directories -----------------------------------------------------------------------------

    def _open(self) -> None:
        self._work.count(_STEPS_OF_ARCHIVE)
        self._frames = []
        image = self._source.image()
        if image is not None:
            root = image.stat(b"/").reference
            self._enter(self._virtual, root, lambda start: image.scandir(b"/", start=start))

    def _enter(self, path: bytes, reference: int, scan: Scan) -> None:
        """Begin to list a directory that was not met before.

        In a hostile image it may have been: n directories, each twice in the one above, have 2 to
        the power of n paths, and no page would be short of them.
        """
        assert self._frames is not None  # noqa: S101 -- the archive is open
        if len(self._frames) > self._source.walk_depth:
            depth = self._source.walk_depth
            raise LimitExceededError("walk_depth", len(self._frames), depth)
        if reference in self._entered:
            place = path[len(self._virtual) :]
            raise CorruptImageError(f"directory {place!r} is in the tree twice")
        self._entered.add(reference)
        self._work.count(_STEPS_OF_DIRECTORY + len(path) // _BYTES_OF_STEP)
        frame = _Frame()
        frame.path = path
        frame.scan = scan
        self._frames.append(frame)
        self._aim()
        self._list(frame)

    def _list(self, frame: _Frame) -> None:
        frame.entries = in_key_order(frame.scan, frame.start, self._count_seek)

    def _count_seek(self) -> None:
        self._work.count(_STEPS_BEFORE_SEEK)

    def _stat_of_object(self, entry: DirEntry[bytes]) -> Stat | None:
        """The attributes of the object that an entry is, or None where it is none: devices,
        dangling links, ...
        """
        kind = entry.kind
        if kind is FileKind.FILE:
            return entry.stat()
        if kind is not FileKind.SYMLINK:
            return None
        self._work.count(_STEPS_OF_LINK)
        try:
            found = entry.stat(count=self._work.count)
        except OSError as error:
            if not leads_nowhere(error):
                raise  # the device's: what could not be read must not be left out of a listing
            return None
        return found if found.kind is FileKind.FILE else None


def _scan_of(entry: DirEntry[bytes]) -> Scan:
    return lambda start: entry.scandir(start=start)
