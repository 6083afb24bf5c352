"""Chunks on a local disk or on EFS, shared by threads, processes and machines.

A chunk is a file, DIRECTORY/s3archivefs-cache/v1/HH/HASH/INDEX, where HH and HASH are the hash of
the archive's identity: no key ever becomes a path. In a directory of many users, as /tmp is, each
user has a cache of their own, s3archivefs-cache-UID. A chunk is written under a temporary name and
renamed, so readers see all of it or nothing; it has checksums, so a damaged one is a miss. There is
no lock and no index on disk, which NFS makes slow and fragile. A fault costs time, never a request.
"""

# ruff: noqa: PTH102, PTH105, PTH108, PTH120 -- these paths are str, which a hit builds in
# less time, and go with flags and descriptors that pathlib does not know

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import secrets
import stat
import struct
import time
import zlib
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from s3archivefs_lambda.cache.eviction import TEMPORARY_SUFFIX, DirectoryLimit, Pace, occupied
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ChunkStore"]

_LOG = logging.getLogger("s3archivefs")

# Magic and version, index, length and CRC-32 of the data; then the CRC-32 of all that.
_HEADER = struct.Struct(">8sQII")
_HEADER_CRC = struct.Struct(">I")
_HEADER_BYTES = _HEADER.size + _HEADER_CRC.size
_MAGIC = b"s3afch\x00\x01"


def _fastest_crc32() -> Callable[[bytes | memoryview], int]:
    """Return libdeflate's CRC-32 (128 KiB in 2 us) if installed, else zlib's (31 us)."""
    try:
        crc32: Callable[[bytes | memoryview], int] = import_module("deflate").crc32
    except (ImportError, AttributeError):  # not installed, or another module of that name
        return zlib.crc32
    return crc32


_crc32 = _fastest_crc32()

_OWN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)  # Windows has neither
# O_NONBLOCK: a planted FIFO must not hold up the reader.
_READ = os.O_RDONLY | _OWN | getattr(os, "O_NONBLOCK", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OWN

_RETRY_SECONDS = 60.0
"""Seconds until a full disk or a missing mount is tried again."""
_REFRESH_SECONDS = 60.0
"""Seconds that a recorded last use may lag: not every hit costs a write."""


class ChunkStore:
    """At most `max_bytes` of chunks in one directory, least recently used evicted first.

    `DirectoryLimit` says how closely the limit is kept. With 0 bytes, no chunk is kept and the
    directory is not touched. An error of the file system is a miss, or a chunk that is not kept;
    the first one is logged as a warning. Thread-safe.
    """

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        *,
        retry_seconds: float = _RETRY_SECONDS,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._root = self._top = ""  # known once the directory exists
        self.max_bytes = max_bytes
        """Bytes that the chunks may take."""
        self._retry_seconds = retry_seconds
        self._pace = pace or Pace()
        self._clock = clock
        self._limit: DirectoryLimit | None = None
        self._owner: int | None = None  # user id of our directory and its files; None: unchecked
        self._unusable_until = self._unwritable_until = -math.inf  # by the clock
        self._warned = False

    def get(self, archive_id: str, index: int) -> bytes | None:
        """Return a chunk, or None; delete a damaged one."""
        owner = self._checked_owner() if self.max_bytes else None
        if owner is None:
            return None
        try:
            return self._read(self._path(archive_id, index), index, owner)
        except OSError:  # a miss; deleted meanwhile; trouble with the network
            return None

    def holds(self, archive_id: str, index: int) -> bool:
        """Return whether there is a file of a chunk, sound or not."""
        if not self.max_bytes or self._checked_owner() is None:
            return False
        return os.path.lexists(self._path(archive_id, index))

    def put(
        self, archive_id: str, index: int, chunk: bytes | memoryview, *, replace: bool = False
    ) -> None:
        """Keep a chunk if that is possible; leave an existing copy, unless `replace`."""
        size = occupied(_HEADER_BYTES + len(chunk))
        if size > self.max_bytes or self._clock() < self._unwritable_until:
            return
        if self._checked_owner() is None:
            return
        try:
            path = self._path(archive_id, index)
            is_stored = not replace and _is_stored(path, len(chunk))
            if not is_stored and self._make_room(size):
                self._write(path, index, chunk)
        except OSError as error:
            self._unwritable_until = self._clock() + self._retry_seconds
            self._warn(error)

    def drop(self, archive_id: str, index: int) -> None:
        """Delete a chunk, if it is there and that is possible."""
        if self.max_bytes and self._checked_owner() is not None:
            with suppress(OSError):
                os.unlink(self._path(archive_id, index))

    def _make_room(self, size: int) -> bool:
        if self._limit is None:
            self._limit = DirectoryLimit(self._top, self.max_bytes, pace=self._pace)
        return self._limit.make_room(size)

    def _path(self, archive_id: str, index: int) -> str:
        return f"{self._top}/{_directory_of(archive_id)}/{index}"

    def _read(self, path: str, index: int, owner: int) -> bytes | None:
        descriptor = os.open(path, _READ)
        try:
            found = os.fstat(descriptor)
            # Else another user deleted the directory, and made it anew.
            if stat.S_ISREG(found.st_mode) and found.st_uid == owner:
                length, crc = _parse_header(os.read(descriptor, _HEADER_BYTES), index)
                if length is not None and found.st_size == _HEADER_BYTES + length:
                    chunk = os.read(descriptor, length)
                    if len(chunk) == length and _crc32(chunk) == crc:
                        _mark_used(descriptor, found.st_mtime)
                        return chunk
        finally:
            os.close(descriptor)
        os.unlink(path)
        return None

    def _write(self, path: str, index: int, chunk: bytes | memoryview) -> None:
        directory = os.path.dirname(path)
        temporary = _temporary_name(directory)
        descriptor = self._create(temporary, directory)
        try:
            try:
                _write_all(descriptor, _header(index, chunk), chunk)
            finally:
                os.close(descriptor)  # before the rename: NFS writes at close
            with suppress(FileNotFoundError):  # deleted by whoever cleans up: no fault
                os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _create(self, path: str, directory: str) -> int:
        for _ in range(3):
            with suppress(FileNotFoundError):
                return os.open(path, _CREATE, 0o600)
            # The archive has no directory yet, or it was deleted, alone or with all others.
            with suppress(FileNotFoundError):
                self._owner = self._prepare()
                _make_directory(os.path.dirname(directory))
                _make_directory(directory)
        raise FileNotFoundError(errno.ENOENT, "deleted as often as it is made", directory)

    def _checked_owner(self) -> int | None:
        """Return the owner that all files must have; None if the directory is unusable."""
        if self._owner is None and self._clock() >= self._unusable_until:
            try:
                self._owner = self._prepare()
            except OSError as error:
                self._unusable_until = self._clock() + self._retry_seconds
                self._warn(error)
        return self._owner

    def _prepare(self) -> int:
        """Make the directory, unless it exists; return its owner's user id.

        Raises OSError, also for a directory that others can put chunks into, or may: Windows has
        access lists, and the same mode for every directory.
        """
        if not hasattr(os, "geteuid"):
            raise OSError(errno.ENOTSUP, "this system does not tell who else may write there")
        self._directory.mkdir(parents=True, exist_ok=True)
        if not self._root:
            self._root = f"{self._directory}/{_own_name(self._directory)}"
            self._top = f"{self._root}/v1"
        _make_directory(self._root)
        found = os.lstat(self._root)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is not a directory", self._root)
        if found.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "others may write to it; chmod 700 it", self._root)
        if found.st_uid != _user() and found.st_uid != _owner_of_new_files(self._root):
            raise PermissionError(errno.EPERM, "it belongs to another user", self._root)
        _make_directory(self._top)
        return found.st_uid

    def _warn(self, error: OSError) -> None:
        if self._warned:
            return
        self._warned = True
        _LOG.warning(
            "the chunk cache in %s cannot be used: %s; archives are read without it, and it is"
            " tried again every %d seconds",
            self._root or self._directory,
            error,
            self._retry_seconds,
        )


@lru_cache(256)  # archives, as many as are read at a time: each chunk asks for it
def _directory_of(archive_id: str) -> str:
    name = hashlib.sha256(to_bytes(archive_id)).hexdigest()
    return f"{name[:2]}/{name[2:]}"


def _header(index: int, chunk: bytes | memoryview) -> bytes:
    header = _HEADER.pack(_MAGIC, index, len(chunk), _crc32(chunk))
    return header + _HEADER_CRC.pack(zlib.crc32(header))


def _write_all(descriptor: int, *parts: bytes | memoryview) -> None:
    """Write the parts, by one system call if it takes them all."""
    left = [memoryview(part) for part in parts]
    while left:
        if hasattr(os, "writev"):
            written: int = os.writev(descriptor, left)
        else:
            written = os.write(descriptor, left[0])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def _parse_header(header: bytes, index: int) -> tuple[int | None, int]:
    """Return length and CRC-32 of chunk `index`; no length if the header is wrong."""
    if len(header) == _HEADER_BYTES:
        magic, stored_index, length, crc = _HEADER.unpack_from(header)
        (header_crc,) = _HEADER_CRC.unpack_from(header, _HEADER.size)
        intact = header_crc == zlib.crc32(header[: _HEADER.size])
        if intact and (magic, stored_index) == (_MAGIC, index):
            return length, crc
    return None, 0


def _is_stored(path: str, length: int) -> bool:
    """Return whether a chunk of that length is there already, whoever stored it."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == _HEADER_BYTES + length


def _mark_used(descriptor: int, last: float) -> None:
    if abs(time.time() - last) > _REFRESH_SECONDS:
        with suppress(OSError):
            os.utime(descriptor)


def _make_directory(path: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _temporary_name(directory: str) -> str:
    return f"{directory}/.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


def _user() -> int:
    """Return the user's id: 0, as files have it, where the system has none."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _own_name(directory: Path) -> str:
    """Return the cache's name, with the user's id in a directory that others write to."""
    name = "s3archivefs-cache"
    if not directory.stat().st_mode & 0o022:
        return name
    user = _user()
    try:
        is_ours = os.lstat(f"{directory}/{name}-{user}").st_uid == user
    except FileNotFoundError:
        is_ours = False
    return f"{name}-{user if is_ours else _owner_of_new_files(str(directory))}"


def _owner_of_new_files(directory: str) -> int:
    """Return the user id of files made here.

    On EFS that is not the process's own: an access point has everybody act as one user.
    """
    path = _temporary_name(directory)
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        return os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
        os.unlink(path)
