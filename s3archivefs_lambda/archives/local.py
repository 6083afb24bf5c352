"""Opening archives in local files, which each request revalidates."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING

from s3archivefs import FileDevice, SquashFS
from s3archivefs_lambda.archives.archive import Archive
from s3archivefs_lambda.archives.mounts import may_hang
from s3archivefs_lambda.store.errors import (
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveUnavailableError,
)

if TYPE_CHECKING:
    from s3archivefs import Limits
    from s3archivefs_lambda.config.location import Location

__all__ = ["LocalOpener"]


class LocalOpener:
    """The `Opener` of local files. A version is a file's device, inode, size and time."""

    trusted_seconds = 0.0  # a stat(2) costs nothing
    stale_seconds = 0.0

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def recall(self, location: Location) -> None:  # noqa: ARG002 -- as Opener has it
        """Return None: no record outlives the process."""
        return

    def is_current(self, location: Location, version: str) -> bool:
        """Return whether the file at the location is still the same one, unchanged."""
        try:
            return _identity(os.stat(location.key)) == version  # noqa: PTH116 -- at each request
        except OSError as error:
            raise _access_error(location, error) from error

    def open(self, location: Location, before: str | None, *, refetch: bool) -> Archive:  # noqa: ARG002 -- as Opener has it
        """Open the file that has the location's path now."""
        try:
            with ExitStack() as opened:
                file = opened.enter_context(
                    open(location.key, "rb", buffering=0, opener=_open_nonblocking)
                )
                # Of the open file: another may have its path by now.
                identity = _identity(os.fstat(file.fileno()))
                image = SquashFS(FileDevice(file), limits=self._limits)
                # Closed with the last reference to the image, which a request may still hold.
                weakref.finalize(image, opened.pop_all().close)
        except OSError as error:
            raise _access_error(location, error) from error
        return Archive(
            location,
            image,
            identity,
            version=identity,
            holds_descriptor=True,
            may_hang=may_hang(location.key),
        )

    def reopen(self, location: Location, version: str) -> Archive:
        """Open the file as `open` does: it has no version but the current one."""
        return self.open(location, version, refetch=True)


def _identity(found: os.stat_result) -> str:
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the path be a fifo's."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _access_error(location: Location, error: OSError) -> OSError:
    message = f"{location}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return ArchiveNotFoundError(message)
    if isinstance(error, PermissionError):
        return ArchiveForbiddenError(message)
    return ArchiveUnavailableError(message)
