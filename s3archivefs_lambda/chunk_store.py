"""Chunks of archives on a local disk or on EFS, shared by threads, processes and machines.

A file per chunk, DIRECTORY/s3archivefs-cache/v1/HH/HASH/INDEX, where HH and HASH are the hash of the
archive's identity: no key ever becomes a path. A chunk is written under a temporary name and renamed,
so that readers see all of it or nothing, and carries checksums, so that a damaged one is a miss. There
is no lock and no index on disk, which NFS makes slow and fragile. Whatever goes wrong costs time only.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import stat
import struct
import threading
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["ChunkStore"]

_LOG = logging.getLogger("s3archivefs")

# Magic and version, index, length and CRC-32 of the data; then the CRC-32 of all that.
_HEADER = struct.Struct(">8sQII")
_HEADER_CRC = struct.Struct(">I")
_HEADER_BYTES = _HEADER.size + _HEADER_CRC.size
_MAGIC = b"s3afch\x00\x01"

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # the last: for a planted FIFO
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_DISK_BLOCK = 4096  # what files occupy is counted in these: ext4's default, and what EFS meters in
_RETRY_SECONDS = 60.0  # until a full disk or a missing mount is tried again
_REFRESH_SECONDS = 60.0  # how far the time of last use may lag behind, to spare a write at each hit
_STALE_SECONDS = 3600.0  # the age at which a temporary file's writer is taken to be dead
_SCAN_SECONDS = 1.0  # how old a count of the directory may be; more where counting takes long
_PATIENCE_SECONDS = 0.1  # how long a chunk waits for a count by another thread before it is dropped


class _File(NamedTuple):
    used: float
    """When it was last used, as far as that is recorded; seconds since the epoch."""
    size: int
    """Bytes it occupies."""
    path: str


class ChunkStore:
    """Chunks in one directory, at most `max_bytes` of it, the least recently used deleted first.

    An error of the file system is a miss, or a chunk that is not kept; the first one is logged as a
    warning. The limit can be passed by one chunk, or by 1/16 of the room left below it, for each
    process that writes at the same moment. Threads may share a store.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._root = directory / "s3archivefs-cache"
        self._top = f"{self._root}/v1"
        self._max_bytes = max_bytes
        self._owner: int | None = (
            None  # user id of the cache and of our files; None: not checked yet
        )
        self._unreadable_until = self._unwritable_until = -1.0  # on time.monotonic's clock
        self._warned = False
        # What the directory held when last counted, what was written since, and what may be written
        # before it must be counted again, for other processes write too.
        self._counted = 0
        self._written = 0
        self._allowance = -1
        self._count_due = -1.0
        self._lock = threading.Lock()

    def get(self, archive_id: str, index: int) -> bytes | None:
        """The chunk, or None. A damaged one is deleted."""
        try:
            return self._read(self._path(archive_id, index), index) if self._usable() else None
        except OSError:  # deleted meanwhile, or a network file system's trouble
            return None

    def put(self, archive_id: str, index: int, chunk: bytes | memoryview) -> None:
        """Keep the chunk, if that is possible. It must be that of the same call of get, for ever."""
        size = _occupied(_HEADER_BYTES + len(chunk))
        now = time.monotonic()
        if size > self._max_bytes or now < self._unwritable_until or not self._usable():
            return
        try:
            path = self._path(archive_id, index)
            if not _is_stored(path, len(chunk)) and self._make_room(size):
                self._write(path, index, chunk)
        except OSError as error:
            self._unwritable_until = now + _RETRY_SECONDS
            self._warn(error)

    def _path(self, archive_id: str, index: int) -> str:
        name = hashlib.sha256(archive_id.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{self._top}/{name[:2]}/{name[2:]}/{index}"

    # --- the directory

    def _usable(self) -> bool:
        if self._owner is not None:
            return True
        if time.monotonic() < self._unreadable_until:
            return False
        try:
            self._prepare()
        except OSError as error:
            self._unreadable_until = time.monotonic() + _RETRY_SECONDS
            self._warn(error)
            return False
        return True

    def _prepare(self) -> None:
        """Make the directory where it is missing; refuse one that others could put chunks into."""
        self._owner = None
        self._directory.mkdir(parents=True, exist_ok=True)
        _make_directory(self._root)
        _make_directory(self._top)
        found = os.lstat(self._root)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a directory", str(self._root))
        if found.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "others may write to it; chmod 700", str(self._root))
        if found.st_uid not in {os.geteuid(), self._owner_of_new_files()}:
            raise PermissionError(errno.EPERM, "it belongs to another user", str(self._root))
        self._owner = found.st_uid

    def _owner_of_new_files(self) -> int:
        """Not our own user id on EFS, whose access points have everybody act as one user."""
        path = self._temporary_name(self._top)
        descriptor = os.open(path, _CREATE, 0o600)
        try:
            return os.fstat(descriptor).st_uid
        finally:
            os.close(descriptor)
            os.unlink(path)

    def _warn(self, error: OSError) -> None:
        if self._warned:
            return
        self._warned = True
        _LOG.warning(
            "The chunk cache in %s cannot be used: %s. Archives are read without it; it is tried again"
            " every %d seconds.",
            self._root,
            error,
            _RETRY_SECONDS,
        )

    # --- one chunk

    def _read(self, path: str, index: int) -> bytes | None:
        descriptor = os.open(path, _READ)
        try:
            found = os.fstat(descriptor)
            # Of another user: planted after the directory vanished from below us, which only that
            # user could have made anew.
            if stat.S_ISREG(found.st_mode) and found.st_uid == self._owner:
                header = os.read(descriptor, _HEADER_BYTES)
                length, crc = _parse_header(header, index)
                if found.st_size == _HEADER_BYTES + length:
                    chunk = os.read(descriptor, length)
                    if len(chunk) == length and zlib.crc32(chunk) == crc:
                        self._mark_used(descriptor, found.st_mtime)
                        return chunk
        finally:
            os.close(descriptor)
        os.unlink(path)
        return None

    def _mark_used(self, descriptor: int, last: float) -> None:
        if abs(time.time() - last) > _REFRESH_SECONDS:
            with suppress(OSError):
                os.utime(descriptor)

    def _write(self, path: str, index: int, chunk: bytes | memoryview) -> None:
        directory = os.path.dirname(path)
        temporary = self._temporary_name(directory)
        descriptor = self._create(temporary, directory)
        try:
            with open(descriptor, "wb") as file:  # closed before the rename: NFS writes at close
                file.write(_header(index, chunk))
                file.write(chunk)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _create(self, path: str, directory: str) -> int:
        for _ in range(3):
            with suppress(FileNotFoundError):
                return os.open(path, _CREATE, 0o600)
            # The archive's first chunk; or its empty directory, or all, was deleted meanwhile.
            with suppress(FileNotFoundError):
                self._prepare()
                _make_directory(os.path.dirname(directory))
                _make_directory(directory)
        raise FileNotFoundError(errno.ENOENT, "deleted as often as it is made", directory)

    def _temporary_name(self, directory: str) -> str:
        return f"{directory}/.{secrets.token_hex(8)}.tmp"

    # --- the limit

    def _make_room(self, size: int) -> bool:
        """Account for `size` more bytes, deleting chunks if need be; False where they must not come."""
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            return False
        try:
            if self._written + size > self._allowance or time.monotonic() >= self._count_due:
                self._count(size)
            if self._counted + self._written + size > self._max_bytes:
                return False
            self._written += size
            return True
        finally:
            self._lock.release()

    def _count(self, size: int) -> None:
        """Count what the directory holds; delete if that and `size` more bytes pass the limit."""
        started = time.monotonic()
        files = list(self._files())
        used = sum(file.size for file in files)
        # Nobody else writes here, it seems (the rule in Lambda's /tmp): half of the room left may be
        # filled before the next count. A sixteenth otherwise, so that others' shares fit in, too.
        share = 2 if used <= self._counted + self._written else 16
        if used + size > self._max_bytes:
            used -= _delete(files, used - min(self._max_bytes * 9 // 10, self._max_bytes - size))
        self._counted = used
        self._written = 0
        self._allowance = (self._max_bytes - used) // share
        seconds = time.monotonic() - started
        self._count_due = started + max(_SCAN_SECONDS, 20 * seconds)  # at most 5 % of the time

    def _files(self) -> Iterator[_File]:
        """The chunks, and the temporary files of their writers; tidies up what the dead ones left."""
        for shard in _directories(self._top):
            for archive in _directories(shard):
                empty = True
                for entry in _entries(archive):
                    empty = False
                    with suppress(OSError):
                        found = entry.stat(follow_symlinks=False)
                        age = time.time() - found.st_mtime
                        if entry.name.endswith(".tmp") and age > _STALE_SECONDS:
                            os.unlink(entry.path)
                        else:
                            yield _File(found.st_mtime, _occupied(found.st_size), entry.path)
                if empty:
                    with suppress(OSError):
                        os.rmdir(archive)


def _delete(files: list[_File], excess: int) -> int:
    """Delete the least recently used files until `excess` bytes are free; return how many are."""
    freed = 0
    for file in sorted(files):
        if freed >= excess:
            break
        try:
            os.unlink(file.path)
        except FileNotFoundError:
            pass  # by another process
        except OSError:
            continue
        freed += file.size
    return freed


def _header(index: int, chunk: bytes | memoryview) -> bytes:
    header = _HEADER.pack(_MAGIC, index, len(chunk), zlib.crc32(chunk))
    return header + _HEADER_CRC.pack(zlib.crc32(header))


def _parse_header(header: bytes, index: int) -> tuple[int, int]:
    """Length and CRC-32 of the chunk; (-1, 0) where this is not the intact header of chunk `index`."""
    if len(header) == _HEADER_BYTES:
        magic, stored_index, length, crc = _HEADER.unpack_from(header)
        (header_crc,) = _HEADER_CRC.unpack_from(header, _HEADER.size)
        intact = header_crc == zlib.crc32(header[: _HEADER.size])
        if intact and (magic, stored_index) == (_MAGIC, index):
            return length, crc
    return -1, 0


def _is_stored(path: str, length: int) -> bool:
    """Whether a chunk of that length is there already, from another thread, process or machine."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == _HEADER_BYTES + length


def _occupied(size: int) -> int:
    """Bytes that a file of `size` bytes occupies."""
    return -(-size // _DISK_BLOCK) * _DISK_BLOCK


def _make_directory(path: str | os.PathLike[str]) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _directories(path: str) -> Iterator[str]:
    return (entry.path for entry in _entries(path) if entry.is_dir(follow_symlinks=False))


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []
