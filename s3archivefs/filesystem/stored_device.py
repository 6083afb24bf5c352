"""A block device over a file of another fsspec filesystem, read by ranges."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from fsspec.implementations.cached import CachingFileSystem

from s3archivefs.errors import TruncatedImageError
from s3archivefs.filesystem.missing import missing_archives
from s3archivefs.forks import renew_after_fork
from s3archivefs.locks import Lock

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fsspec import AbstractFileSystem

__all__ = ["StoredDevice", "version_of"]

_TELLS = ("ETag", "etag", "md5", "generation", "VersionId", "mtime", "LastModified", "created")


class StoredDevice:
    """The bytes of a file that has `size` of them. Thread-safe.

    Asynchronous filesystems are read by several threads at once, others by one at a time: fsspec
    gives each thread an instance of its own of those.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, size: int) -> None:
        self.size = size
        """Length of the file, in bytes."""
        self._fs = fs
        self._path = path
        self._is_parallel = bool(fs.async_impl) and not isinstance(fs, CachingFileSystem)
        self._is_inherited = False
        self._lock = self._make_lock()
        renew_after_fork(self, StoredDevice._renew)

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, by one `cat_file`.

        Raises TruncatedImageError where the file has fewer, MissingArchiveError where it is no
        longer there, OSError where the filesystem returns more than was asked for, and whatever
        that raises.
        """
        with self._lock, missing_archives():
            # By name: in s3fs the second argument is another one.
            data: bytes = self._filesystem().cat_file(self._path, start=offset, end=offset + length)
        if len(data) > length:
            raise OSError(
                f"{self._path}: {len(data)} bytes came for a range of {length}: the server takes"
                " no ranges; read a local copy, through simplecache::"
            )
        if len(data) < length:
            raise TruncatedImageError(
                f"{self._path}: {len(data)} bytes came for a range of {length}", offset
            )
        return data

    def _filesystem(self) -> AbstractFileSystem:
        """Return the filesystem, which a forked child makes anew: its loop has no thread there."""
        if self._is_inherited:
            fs = self._fs
            self._fs = type(fs)(*fs.storage_args, **fs.storage_options)
            self._is_inherited = False
        return self._fs

    def _make_lock(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._is_parallel else Lock()

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._is_inherited = True
        self._lock = self._make_lock()


def version_of(path: str, info: dict[str, Any]) -> str:
    """Return the text that identifies a file's version, by what its filesystem tells of it."""
    return repr((path, info["size"], [(each, info[each]) for each in _TELLS if each in info]))
