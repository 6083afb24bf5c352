"""The objects of one archive in the order of their keys, found by seeking.

Objects are regular files and symlinks that lead to one. A symlink to a directory is not entered:
its members would be there twice, or without end.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from s3archivefs import (
    CorruptImageError,
    FileKind,
    LimitExceededError,
    SquashfsError,
    leads_nowhere,
)
from s3archivefs_lambda.bucket.key_order import in_key_order
from s3archivefs_lambda.bucket.walk import Item
from s3archivefs_lambda.s3api.key_space import bound_within, end_of, is_below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs import DirEntry, Stat
    from s3archivefs_lambda.bucket.key_order import Scan
    from s3archivefs_lambda.bucket.walk import Source, Sources, Span, Work

__all__ = ["ArchiveWalk"]

# An entry passed over is one step, of some two microseconds.
_STEPS_OF_ARCHIVE = 200
"""Steps for an archive opened. A page of a key from each of 1,000 must not end early."""
_STEPS_OF_DIRECTORY = 10
"""Steps for a directory entered."""
_STEPS_OF_LINK = 5
"""Steps for a symlink, besides one for each name looked up on its way."""
_BYTES_OF_STEP = 4096
"""Bytes of a directory's path that are one more step: a deep one is long."""

_PATH_MAX = 64 << 10
"""Bytes of the path of a directory that is entered: sixteen times Linux's PATH_MAX.

Each directory on the way down holds its own: 1,024 levels of 256 bytes would take 256 MB a page.
"""

_STEPS_BEFORE_SEEK = 32
"""Entries passed over one by one before a seek, which decodes about as many."""

_SHORT_PATH = 1024
"""Bytes of the path of a directory whose files are taken many at a time.

S3's keys have no more, and a page has room for a thousand of them.
"""

_FILE = FileKind.FILE


class _Frame:
    """A directory being listed. Its bounds are the walk's, without the directory's path."""

    __slots__ = ("clear_until", "end", "entries", "held", "path", "scan", "start")

    path: bytes
    """The directory's part of its keys: empty, or ending in `/`."""
    start: bytes
    """Names below it are passed over."""
    end: bytes | None
    """The first name that is not below it ends the walk."""
    clear_until: bytes | None
    """Names that are not below it may belong to another archive."""
    scan: Scan
    entries: Iterator[tuple[bytes, DirEntry[bytes]]]
    held: tuple[bytes, DirEntry[bytes]] | None
    """The entry that comes before those, if it was taken from them."""

    def take(self) -> tuple[bytes, DirEntry[bytes] | None]:
        """Return the next entry with its name; no entry at the end."""
        held, self.held = self.held, None
        return held or next(self.entries, _END)


_END = (b"", None)


class ArchiveWalk:
    """Finds the objects of one archive in the order of their keys.

    The walk keeps a stack of directories, the deepest on top: each is listed in the order of keys
    (`in_key_order`), and a directory is entered when it is the lowest. So the tree `a-b`, `a/x`,
    `a0` is walked as `a-b`, then down into `a/` to `x`, then up again to `a0`. The floor, below
    which no key is wanted, may be raised on the way.

    Keys that begin with a longer virtual prefix are left out: they belong to another archive.
    """

    def __init__(
        self, sources: Sources, source: Source, virtual: bytes, span: Span, work: Work
    ) -> None:
        self._sources = sources
        self._source = source
        self._virtual = virtual
        self._span = span
        self._work = work
        # No nested mapping starts before this key.
        self._clear_until: bytes | None = b""
        self._frames: list[_Frame] | None = None  # None until the archive is open
        self._entered: set[int] = set()  # directories, by their references
        self._paused: bytes | None = None
        self.floor = b""
        """Keys below it are passed over."""
        self.seek(max(span.floor, virtual))

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""
        nested = self._nested_mapping(floor)
        self.floor = floor if nested is None else end_of(nested) or floor
        while self._frames and is_below(self._frames[-1].path, self.floor):
            self._frames.pop()
        self._update_bounds()

    def next(self) -> Item | None:
        """Return the next object, or None at the end.

        If the work is used up, return a key alone: all keys below it are dealt with. Raises
        Source.failure, for a key that is left out would be taken for a deleted one.
        """
        if self._paused is None:
            try:
                return self._next()
            except (OSError, SquashfsError) as error:
                raise self._source.failure(error) from error
        key = max(self._paused, self.floor)
        return None if self._span.end is not None and key >= self._span.end else Item(key)

    def following(self, end: bytes | None, most: int) -> list[Item]:
        """Return objects that come next, below `end`: none, or up to `most`.

        They are regular files of one directory, which are decoded and no more: it stops before
        anything else, where `next` goes on. Raises as that does.
        """
        found: list[Item] = []
        frame = self._frames[-1] if self._frames else None
        if frame is None or frame.held is not None or len(frame.path) > _SHORT_PATH:
            return found
        if self._work.left <= 0 or self._paused is not None:
            return found
        bounds = (frame.end, frame.clear_until, bound_within(frame.path, end))
        stop = min((bound for bound in bounds if bound is not None), default=None)
        start, path, source = frame.start, frame.path, self._source
        try:
            for name, entry in islice(frame.entries, most):
                is_plain = entry.kind is _FILE and start <= name
                if not is_plain or (stop is not None and name >= stop):
                    frame.held = name, entry
                    break
                found.append(Item(path + name, entry.stat(), source))
        except (OSError, SquashfsError) as error:
            raise source.failure(error) from error
        return found

    def _next(self) -> Item | None:
        if self._frames is None:
            if self._pause(self.floor):
                return Item(self.floor)
            self._open()
        passed = 0
        while self._frames:
            frame = self._frames[-1]
            name, entry = frame.take()
            if entry is None:
                self._frames.pop()
                self._update_bounds()
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
            elif (found := self._stat_of_object(frame.path + name, entry)) is not None:
                return Item(frame.path + name, found, self._source)
            else:
                self._work.count()
        return None

    # ---- Where to go on --------------------------------------------------------------------------

    def _pause(self, key: bytes) -> bool:
        """Stop before a key if the work is used up; return whether it stops.

        It does not stop where the page began: each page advances.
        """
        if self._work.left > 0 or key <= self._span.floor:
            return False
        self._paused = key
        return True

    def _is_hidden(self, frame: _Frame, name: bytes) -> bool:
        """Return whether the entry belongs to a longer virtual prefix, and pass over that."""
        if frame.clear_until is None or name < frame.clear_until:
            return False
        nested = self._nested_mapping(frame.path + name)
        if nested is None:
            self._update_bounds()
            return False
        self.seek(nested)
        return True

    def _nested_mapping(self, key: bytes) -> bytes | None:
        """Return the longer virtual prefix that a key starts with, if there is one."""
        for virtual in self._sources.around(key):
            if len(virtual) > len(self._virtual):
                return virtual
        self._clear_until = self._sources.first(key)
        return None

    def _update_bounds(self) -> None:
        """Set the bounds of the topmost directory: they changed while it was not on top."""
        if self._frames:
            frame = self._frames[-1]
            frame.start = bound_within(frame.path, self.floor) or b""
            frame.end = bound_within(frame.path, self._span.end)
            frame.clear_until = bound_within(frame.path, self._clear_until)

    # ---- Directories -----------------------------------------------------------------------------

    def _open(self) -> None:
        self._work.count(_STEPS_OF_ARCHIVE)
        self._frames = []
        image = self._source.image()
        if image is not None:
            root = image.stat(b"/").reference
            self._enter(self._virtual, root, lambda start: image.scandir(b"/", start=start))

    def _enter(self, path: bytes, reference: int, scan: Scan) -> None:
        """Begin to list a directory.

        Raises LimitExceededError if it lies too deep, and CorruptImageError if its path is too
        long or it was entered before: in a hostile image, n directories that are each twice in the
        one above have 2 to the power of n paths.
        """
        assert self._frames is not None  # noqa: S101 -- the archive is open
        if len(self._frames) > self._source.walk_depth:
            depth = self._source.walk_depth
            raise LimitExceededError("walk_depth", len(self._frames), depth)
        if len(path) > _PATH_MAX:
            raise CorruptImageError(
                f"the path of a directory has {len(path)} bytes; up to {_PATH_MAX} are listed"
            )
        if reference in self._entered:
            place = path[len(self._virtual) :]
            raise CorruptImageError(f"directory {place!r} is in the tree twice")
        self._entered.add(reference)
        self._work.count(_STEPS_OF_DIRECTORY + len(path) // _BYTES_OF_STEP)
        frame = _Frame()
        frame.path = path
        frame.scan = scan
        self._frames.append(frame)
        self._update_bounds()
        self._list(frame)

    def _list(self, frame: _Frame) -> None:
        frame.held = None
        frame.entries = in_key_order(frame.scan, frame.start, self._count_seek)

    def _count_seek(self) -> None:
        self._work.count(_STEPS_BEFORE_SEEK)

    def _stat_of_object(self, key: bytes, entry: DirEntry[bytes]) -> Stat | None:
        """Return an object's attributes; None for devices, dangling links and the like.

        They are None, too, for a link to what the asker may not read: it would tell of that.
        """
        kind = entry.kind
        if kind is _FILE:
            return entry.stat()
        if kind is not FileKind.SYMLINK:
            return None
        self._work.count(_STEPS_OF_LINK)
        try:
            found = entry.stat(count=self._work.count)
        except OSError as error:
            if not leads_nowhere(error):
                raise  # a device's fault: what cannot be read must not be left out of a listing
            return None
        return found if found.kind is _FILE and self._source.may_list(key) else None


def _scan_of(entry: DirEntry[bytes]) -> Scan:
    return lambda start: entry.scandir(start=start)
