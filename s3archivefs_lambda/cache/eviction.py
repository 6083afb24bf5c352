"""Keeps a directory tree below a number of bytes: evicts the least recently used files.

Other processes and machines write to the tree as well, without telling: what it holds can only be
counted. A thread beside the writers counts and deletes, so that no writer waits for a tree of a
million files on a network file system.
"""

# ruff: noqa: PTH106, PTH108, PTH116 -- a Path for each of a million entries costs more than the entries

from __future__ import annotations

import math
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TEMPORARY_SUFFIX", "DirectoryLimit", "Pace", "occupied"]

TEMPORARY_SUFFIX = ".tmp"
"""Suffix of files being written. They count; only those of dead writers are deleted."""

_DISK_BLOCK = 4096
"""Bytes: ext4's default, and the unit in which EFS meters."""
_STALE_SECONDS = 3600.0
"""Seconds after which the writer of a temporary file must be dead.

No two machines' clocks differ by as much: a time so far ahead is of a clock that was put right.
"""
_PAUSE_SECONDS = 0.1
"""Seconds counted for one file at most; a longer pause is a frozen function."""
_SHARES = 16
"""Processes that keep the limit together: each writes a share of the room, then counts."""
_SLACK_SHARE = 32
"""Part of the limit that processes beside each other leave free.

The less room there is, the more often they count: for the last part, once for each file.
"""


class Pace(NamedTuple):
    """How often the files are counted, and how long a writer waits for that."""

    patience_seconds: float = 0.5
    """Seconds that a writer waits for a count: enough to count 75,000 local files."""
    count_seconds: float = 1.0
    """Seconds that a count stays valid, unless counting took long."""
    rest: float = 20
    """Times its own duration that a count stays valid: counting takes 5 % of time."""
    alone_seconds: float = 10.0
    """Seconds without writes of others, after which a process gets all of the room.

    With shares it would count four times for each tenth of the limit that it writes.
    """


def occupied(size: int) -> int:
    """Return the bytes that a file of `size` bytes occupies on disk."""
    return -(-size // _DISK_BLOCK) * _DISK_BLOCK


class _File(NamedTuple):
    used: float
    """Time of last use as far as it is recorded, in seconds since the epoch."""
    size: int
    """Bytes on disk."""
    path: str


class _Count(NamedTuple):
    seen: int
    """Bytes granted before it, and after the last one."""
    found: int
    """Bytes in the tree."""
    left: int
    """Bytes in the tree after eviction."""
    seconds: float
    """Duration of counting."""


_PACE = Pace()


class DirectoryLimit:
    """A limit of `max_bytes` for the files two levels below the directory `top`. Thread-safe.

    A writer asks for room first, and writes nothing if there is none. Each count grants its process
    a share of the free room, or what waiting threads need; when that is written, or after a second,
    the process counts again. The share is 1/16, or half of the part that the process wrote of what
    all wrote since its last count. So 16 processes exceed the limit together by one file a thread
    at most, or, for a second, by shares that were counted in an emptier directory.

    A process alone for 10 s gets all of the room. So does one whose counts take longer than writers
    wait, as in a large tree on a network file system. Before its first count ends, a process may
    write 1/16 of the limit.
    """

    def __init__(
        self,
        top: str,
        max_bytes: int,
        *,
        pace: Pace = _PACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._top = top
        self._max_bytes = max_bytes
        self._pace = pace
        self._clock = clock
        self._renew()
        renew_after_fork(self, DirectoryLimit._renew)

    def _renew(self) -> None:
        """Begin as a process that has not counted yet."""
        self._room = self._max_bytes // _SHARES  # bytes that may be written before the next count
        self._written = 0  # bytes granted since the last count began
        self._wanted = 0  # bytes that threads wait to write
        self._expected = 0  # bytes in the tree by the last count
        self._due = -math.inf  # when the next count is, by the clock
        self._others_seen = self._clock()  # when others had written; assumed at first
        self._share = 1 / _SHARES  # of the free room, which a count grants
        self._is_beside_others = False  # whether others wrote between the last two counts
        self._has_counted = False
        self._seconds = 0.0  # duration of the last count
        self._began: float | None = None  # when the count in progress did
        self._lock = Lock()
        self._ended = threading.Condition(self._lock)

    def make_room(self, size: int) -> bool:
        """Reserve room for `size` bytes on disk; return False if there is none."""
        if size > self._max_bytes:
            return False
        with self._lock:
            # Room granted to waiting threads is reserved.
            if self._room - self._wanted < size or self._clock() >= self._due:
                self._wait_for_count(size)
            if self._room < size:
                return False
            self._room -= size
            self._written += size
            return True

    def wait_idle(self) -> None:
        """Wait until no count is in progress."""
        with self._lock:
            self._ended.wait_for(lambda: self._began is None)

    def _wait_for_count(self, size: int) -> None:
        """Wait for the count in progress or a new one, but not long."""
        began = self._begin_count() if self._began is None else self._began
        if began is None:
            return
        self._wanted += size
        patient_until = began + self._pace.patience_seconds
        try:
            while self._began == began and (left := patient_until - self._clock()) > 0:
                self._ended.wait(left)
        finally:  # also where the thread is interrupted
            self._wanted -= size

    def _begin_count(self) -> float | None:
        """Begin a count in another thread; return when, or None if it is too early."""
        now = self._clock()
        if self._seconds > self._pace.patience_seconds and now < self._due:
            return None
        self._began = now
        try:
            # A daemon: nothing is lost if the process ends amid a count.
            threading.Thread(target=self._run, name="s3archivefs-evict", daemon=True).start()
        except RuntimeError:  # no thread can be had: there are too many, or the process ends
            self._began = None
        return self._began

    def _run(self) -> None:
        count = None
        try:
            count = self._count_and_evict()
        finally:
            with self._lock:
                if count is not None:
                    self._grant(count)
                self._began = None
                self._ended.notify_all()

    def _count_and_evict(self) -> _Count:
        """Count what the tree holds, and evict if that is too much."""
        with self._lock:
            seen = self._written
        files, seconds = self._counted()
        found = left = sum(file.size for file in files)
        with self._lock:
            needed = self._written - seen + self._wanted
            slack = self._max_bytes // _SLACK_SHARE if self._is_beside_others else 0
        if found + needed > self._max_bytes - slack:
            target = min(self._max_bytes * 9 // 10, self._max_bytes - needed)
            left -= _delete(files, found - target)
        return _Count(seen, found, left, seconds)

    def _counted(self) -> tuple[list[_File], float]:
        """Return the files in the tree, and the seconds that it took to find them."""
        files: list[_File] = []
        seconds = 0.0
        before = self._clock()
        for file in _files(self._top):
            files.append(file)
            now = self._clock()
            seconds += min(now - before, _PAUSE_SECONDS)
            before = now
        return files, seconds

    def _grant(self, count: _Count) -> None:
        """Grant the room that a count left, or a share of it."""
        now = self._clock()
        others = count.found - self._expected - self._written
        if others > 0:
            self._others_seen = now
        if self._has_counted and others >= 0:  # else others evicted, and wrote who knows how much
            self._is_beside_others = others > 0
            # Who has not written what was granted may begin to, as all others may.
            part = count.seen / (count.seen + others) if count.seen > self._room else 0
            self._share = max(part / 2, 1 / _SHARES)
        self._has_counted = True
        self._expected = count.left
        self._written -= count.seen
        self._seconds = count.seconds
        self._due = now + max(self._pace.count_seconds, self._pace.rest * count.seconds)
        room = self._max_bytes - count.left - self._written
        if (
            now - self._others_seen > self._pace.alone_seconds
            or count.seconds > self._pace.patience_seconds
        ):
            self._room = room
        else:
            self._room = max(int(room * self._share), min(self._wanted, room))


def _files(top: str) -> Iterator[_File]:
    """Yield the files two levels below; delete what dead writers and deleted archives left."""
    for shard in _directories(top):
        for archive in _directories(shard):
            entries = _entries(archive)
            if not entries:
                with suppress(OSError):
                    # A young one has just been made, for a file that is about to be written.
                    if _is_stale(os.stat(archive)):
                        os.rmdir(archive)
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(TEMPORARY_SUFFIX) and _is_stale(found):
                        os.unlink(entry.path)
                    else:
                        yield _File(_last_use(found), occupied(found.st_size), entry.path)


def _is_stale(found: os.stat_result) -> bool:
    return abs(time.time() - found.st_mtime) > _STALE_SECONDS


def _last_use(found: os.stat_result) -> float:
    """Return when a file was used last; 0 where the clock was far ahead.

    It would be the last to be evicted else, until the clock comes there.
    """
    return 0.0 if found.st_mtime - time.time() > _STALE_SECONDS else found.st_mtime


def _delete(files: list[_File], excess: int) -> int:
    """Delete the least recently used files to free `excess` bytes; return the bytes freed."""
    freed = 0
    for file in sorted(files):
        if freed >= excess:
            break
        if file.path.endswith(TEMPORARY_SUFFIX):
            continue
        try:
            os.unlink(file.path)
        except FileNotFoundError:
            pass  # another process was faster
        except OSError:
            continue
        freed += file.size
    return freed


def _directories(path: str) -> Iterator[str]:
    for entry in _entries(path):
        with suppress(OSError):  # a stale file handle, where the file system tells no type
            if entry.is_dir(follow_symlinks=False):
                yield entry.path


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []
