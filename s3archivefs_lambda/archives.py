"""Open archives, kept warm between requests, revalidated, and bounded in number.

An archive is a SquashFS over a device: of S3 through the chunk cache, or of a local file. Opening
one costs one round trip to S3 where its metadata is short or was seen before; a warm one costs a
HEAD each time its revalidation interval has passed, and a local one a stat(2) each time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs import FileDevice, SquashFS, renew_after_fork
from s3archivefs_lambda import usage
from s3archivefs_lambda.config import Config
from s3archivefs_lambda.prefix_map import SettingError, parse_location
from s3archivefs_lambda.s3_archive import S3Opener
from s3archivefs_lambda.s3_client import make_s3_client
from s3archivefs_lambda.s3_device import current_identity
from s3archivefs_lambda.s3_errors import (
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

    from s3archivefs import BlockDevice, Limits, Stat
    from s3archivefs_lambda.prefix_map import Location, PrefixMap

__all__ = ["Archive", "Archives", "open_url"]

_LOG = logging.getLogger("s3archivefs")

_HELD_BYTES_MIN = 16 << 20
"""Of metadata, in memory for all open archives: so much they may hold, whatever the settings."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An open archive, one version of it."""

    location: Location
    image: SquashFS
    identity: str
    """The version: see `s3_identity`; device, inode, size and modification time of a file."""
    held_bytes: int = 0
    """Of metadata, in memory as long as the archive is open."""

    def etag(self, stat: Stat) -> str:
        """The ETag of a member, quoted: the same wherever this version of the archive is served
        from the same store.

        It ends in `-1`, as that of an upload of one part, so that no client takes it for an MD5 of
        the content.
        """
        identity = f"{self.identity}\0{stat.reference}".encode("utf-8", "surrogateescape")
        return f'"{hashlib.blake2b(identity, digest_size=16).hexdigest()}-1"'


class _Slot:
    """One location's archive."""

    __slots__ = ("archive", "check", "checked", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.archive: Archive | None = None
        self.checked = 0.0
        self.check: Future[Archive | None] | None = None
        """Under way in one thread, which opens the archive where it must; None of it where that
        thread was interrupted. Others wait for it.
        """

    def renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        """Forget, after a fork, what other threads were at."""
        self.lock = threading.Lock()
        self.check = None

    def end_check(self) -> None:
        """Let the next thread that comes begin another."""
        with self.lock:
            self.check = None


class Archives:
    """The archives that the mappings name, opened on first use. Thread-safe.

    Every method that opens one raises the errors of s3_device (ArchiveAccessError) and of the
    reader (SquashfsError).
    """

    def __init__(
        self,
        config: Config,
        client_factory: Callable[[], S3Client] = make_s3_client,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._s3 = S3Opener(config, client_factory)
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: OrderedDict[Location, _Slot] = OrderedDict()
        renew_after_fork(self, Archives._renew)

    @property
    def mappings(self) -> PrefixMap:
        """The virtual prefixes and what they are mapped to."""
        return self._config.mappings

    @property
    def limits(self) -> Limits:
        """What each image is allowed."""
        return self._config.limits

    def get(self, location: Location) -> Archive:
        """The archive at a location, as it is now; in S3, or was at most Config.revalidate_seconds
        ago.
        """
        interval = 0 if location.scheme == "file" else self._config.revalidate_seconds
        usage.add_archive(location)
        slot = self._slot(location)
        is_later = False  # than this request: what began before it may tell of the time before it
        while True:
            with slot.lock:
                if slot.archive is not None and self._clock() - slot.checked < interval:
                    return slot.archive
                under_way = slot.check
                if under_way is None:
                    check: Future[Archive | None] = Future()
                    slot.check = check
                    break
            # That S3 is silent is so for all who wait: they would find it one after another.
            is_silent = isinstance(under_way.exception(), ArchiveUnavailableError)
            if is_silent or is_later:
                archive = under_way.result()
                if archive is not None:
                    return archive
            is_later = True
        try:
            archive = self._current(location, slot)
        except BaseException as error:
            slot.end_check()
            if isinstance(error, Exception):
                check.set_exception(error)
            else:
                check.set_result(None)
            raise
        slot.end_check()
        check.set_result(archive)
        return archive

    def _current(self, location: Location, slot: _Slot) -> Archive:
        """The archive as it is now: the open one, or opened anew."""
        archive = slot.archive
        if archive is not None:
            is_same = self._identity(location) == archive.identity
            with slot.lock:
                if is_same and slot.archive is archive:  # else it was discarded meanwhile
                    slot.checked = self._clock()
                    return archive
                slot.archive = None
            if not is_same:
                _LOG.info("archive %s was replaced; opening the new one", location)
        archive = self._open(location)
        with slot.lock:
            slot.archive = archive
            slot.checked = self._clock()
        self._let_go(slot)
        return archive

    def discard(self, archive: Archive) -> None:
        """Forget an archive that turned out to be replaced or unreadable; the next `get` opens it
        anew.
        """
        with self._lock:
            slot = self._slots.get(archive.location)
        if slot is None:
            return
        with slot.lock:
            if slot.archive is archive:
                slot.archive = None

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = threading.Lock()
        for slot in self._slots.values():
            slot.renew()

    def _slot(self, location: Location) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(location, _Slot())
            self._slots.move_to_end(location)
            while len(self._slots) > self._config.max_open_archives:
                # Its image is not closed: a request may still be streaming from it.
                self._slots.popitem(last=False)
            return slot

    def _let_go(self, opened: _Slot) -> None:
        """Forget the least recently used archives where all hold too much metadata in memory."""
        with self._lock:
            held = {at: slot.archive.held_bytes for at, slot in self._slots.items() if slot.archive}
            most = max(_HELD_BYTES_MIN, 2 * self._config.cache_memory_bytes)
            excess = sum(held.values()) - most
            for location, size in held.items():
                if excess > 0 and self._slots[location] is not opened:
                    del self._slots[location]
                    excess -= size

    def _identity(self, location: Location) -> str:
        if location.scheme == "s3":
            return current_identity(self._s3.client, location.bucket, location.key)
        try:
            return _file_identity(os.stat(location.key))  # noqa: PTH116 -- at each request
        except OSError as error:
            raise _access_error(location, error) from error

    def _open(self, location: Location) -> Archive:
        return self._open_s3(location) if location.scheme == "s3" else self._open_file(location)

    def _open_file(self, location: Location) -> Archive:
        try:
            with ExitStack() as opened:
                file = opened.enter_context(
                    open(location.key, "rb", buffering=0, opener=_open_at_once)
                )
                # Of the file that is read: another may have its name by now.
                identity = _file_identity(os.fstat(file.fileno()))
                image = SquashFS(FileDevice(file), limits=self._config.limits)
                # Closed when the last request has let go of it.
                weakref.finalize(image, opened.pop_all().close)
        except OSError as error:
            raise _access_error(location, error) from error
        return Archive(location, image, identity)

    def _open_s3(self, location: Location) -> Archive:
        opened = self._s3.open(location)
        image = SquashFS(opened.device, limits=self._config.limits)
        return Archive(location, image, opened.identity, opened.held_bytes)


def open_url(url: str) -> BlockDevice:
    """The image at an `s3://` URL: what the reader calls to open one (`s3archivefs.devices`).

    Settings are those of the environment. Raises SettingError, ArchiveAccessError.
    """
    opener = S3Opener(Config.from_environ(os.environ), make_s3_client)
    try:
        location = parse_location(url)
    except SettingError as error:
        raise SettingError(f"{url} {error}") from None
    return opener.open(location).device


def _file_identity(found: os.stat_result) -> str:
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, should the path be a fifo's."""
    return os.open(path, flags | os.O_NONBLOCK)


def _access_error(location: Location, error: OSError) -> OSError:
    message = f"{location}: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return ArchiveNotFoundError(message)
    if isinstance(error, PermissionError):
        return ArchiveForbiddenError(message)
    return ArchiveUnavailableError(message)
