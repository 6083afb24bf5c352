"""Keeps a directory tree below a number of bytes, deleting the least recently used files first.

Other processes and machines write to the tree as well, without telling: what it holds can only be
counted. Counting is done when needed and in steps, so that no caller waits for a tree of a million
files on a network file system.
"""

# ruff: noqa: PTH106, PTH108, PTH116 -- a Path for each of a million entries costs more than the entries

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TEMPORARY_SUFFIX", "DirectoryLimit", "occupied"]

TEMPORARY_SUFFIX = ".tmp"
"""Of files being written: they count, but are deleted only when their writer must be dead."""

_DISK_BLOCK = 4096  # ext4's default, and the unit in which EFS meters
_STALE_SECONDS = 3600.0
_STEP_FILES = 256  # counted without a look at the clock
_STEP_SECONDS = 0.05  # then spent on counting in one call; enough for some 10,000 local files
_DELETE_SECONDS = 1.0  # spent on deleting in one call
_COUNT_SECONDS = 1.0  # how old a count may become; more where counting takes long
_ALONE_SECONDS = 10.0
_PATIENCE_SECONDS = 0.1  # longer than a step


def occupied(size: int) -> int:
    """Bytes that a file of `size` bytes occupies on disk."""
    return -(-size // _DISK_BLOCK) * _DISK_BLOCK


class _File(NamedTuple):
    used: float
    """Time of last use as far as it is recorded, in seconds since the epoch."""
    size: int
    """Bytes it occupies."""
    path: str


class _Count:
    """One walk through the tree, in steps."""

    def __init__(self, top: str, written: int) -> None:
        self.files: list[_File] = []
        self.seconds = 0.0
        self.steps = 0
        self.written_before = written
        self._walk = _files(top)

    def step(self) -> bool:
        """Go on for a while; return whether the walk is complete."""
        started = time.monotonic()
        self.steps += 1
        complete = True
        for file in self._walk:
            self.files.append(file)
            at_clock = len(self.files) % _STEP_FILES == 0
            if at_clock and time.monotonic() - started > _STEP_SECONDS:
                complete = False
                break
        self.seconds += time.monotonic() - started
        return complete


class DirectoryLimit:
    """At most `max_bytes` in the directories two levels below `top`; threads may share it.

    Processes do not see what others write until they count. Each fills at most 1/16 of the room
    between two counts, so that 16 together pass the limit by little more than a file a thread each:
    by what one that counted an emptier directory may still write, at worst, and for a second. One
    that has long been alone fills all of it (the rule in Lambda's /tmp), and learns of others at
    its next count, a second later. Where counting takes long, it gets a twentieth of the time, and
    the limit is kept less closely.
    """

    def __init__(self, top: str, max_bytes: int) -> None:
        self._top = top
        self._max_bytes = max_bytes
        self._counted = -1  # bytes found by the last count; -1: none yet
        self._written = 0  # bytes that were announced since
        self._allowance = 0  # bytes that may be, before another count
        self._due = -1.0  # when the next count is due in any case, on time.monotonic's clock
        self._is_cheap = True  # counting takes one step
        self._company_seen = time.monotonic()  # when others had written; at first, it is assumed
        self._count: _Count | None = None
        self._lock = threading.Lock()
        renew_after_fork(self, DirectoryLimit._renew)

    def make_room(self, size: int) -> bool:
        """Announce a file that will occupy `size` bytes; False where it must not be written."""
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return False  # many threads are at it; one file less is not worth the wait
        try:
            wanted = self._is_cheap and self._written + size > self._allowance
            if self._count is None and (wanted or time.monotonic() >= self._due):
                self._count = _Count(self._top, self._written)
            if self._count is not None and self._count.step():
                self._finish(self._count, size)
                self._count = None
            if self._counted + self._written + size > self._max_bytes:
                return False
            self._written += size
            return True
        finally:
            self._lock.release()

    def _finish(self, count: _Count, size: int) -> None:
        used = sum(file.size for file in count.files)
        if used > self._counted + self._written:
            self._company_seen = time.monotonic()
        self._written -= count.written_before
        if used + self._written + size > self._max_bytes:
            target = min(self._max_bytes * 9 // 10, self._max_bytes - self._written - size)
            used -= _delete(count.files, used - target)
        self._counted = used
        self._is_cheap = count.steps == 1
        self._due = time.monotonic() + max(_COUNT_SECONDS, 20 * count.seconds)
        is_alone = time.monotonic() - self._company_seen > _ALONE_SECONDS
        self._allowance = (self._max_bytes - used) // (1 if is_alone else 16)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if self._lock.locked():  # by a thread amid a count, with which that is lost
            self._count = None
            self._counted, self._written, self._allowance, self._due = -1, 0, 0, -1.0
        self._lock = threading.Lock()


def _files(top: str) -> Iterator[_File]:
    """The files two levels below; tidies up what dead writers and deleted archives left."""
    for shard in _directories(top):
        for archive in _directories(shard):
            entries = _entries(archive)
            if not entries:
                with suppress(OSError):
                    # A young one has just been made, for a file that is about to come.
                    if _is_stale(os.stat(archive)):
                        os.rmdir(archive)
            for entry in entries:
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(TEMPORARY_SUFFIX) and _is_stale(found):
                        os.unlink(entry.path)
                    else:
                        yield _File(found.st_mtime, occupied(found.st_size), entry.path)


def _is_stale(found: os.stat_result) -> bool:
    return time.time() - found.st_mtime > _STALE_SECONDS


def _delete(files: list[_File], excess: int) -> int:
    """Delete files, the least recently used first, to free `excess` bytes; return those freed."""
    freed = 0
    deadline = time.monotonic() + _DELETE_SECONDS
    for file in sorted(files):
        if freed >= excess or time.monotonic() > deadline:
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
    return (entry.path for entry in _entries(path) if entry.is_dir(follow_symlinks=False))


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []
