"""Open archives, kept warm between requests, revalidated, and bounded in number.

An archive is a SquashFS over a device: of S3 through the chunk cache, or of a local file. Opening
one costs one round trip to S3 (two requests, or one where settings say that its metadata
carries the superblock); a warm one costs a HEAD each time its revalidation interval has passed, and
a local one a stat(2) each time.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs import FileDevice, SquashFS, Superblock
from s3archivefs_lambda.chunk_cache import CachedDevice, ChunkStore
from s3archivefs_lambda.config import Config, chunk_size_for
from s3archivefs_lambda.prefix_map import SettingError, parse_location
from s3archivefs_lambda.s3_client import make_s3_client
from s3archivefs_lambda.s3_device import current_etag, open_object
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

_BLOCK_SIZE_MIN, _BLOCK_SIZE_MAX = 4096, 1 << 20
"""What a sound superblock may say; the chunk size follows it before the image has been checked."""


@dataclass(frozen=True, slots=True)
class Archive:
    """An open archive, one version of it."""

    location: Location
    image: SquashFS
    identity: str
    """The version: ETag in S3; device, inode, size and modification time of a file."""

    def etag(self, stat: Stat) -> str:
        """The ETag of a member, quoted: the same wherever this version of the archive is served.

        It ends in `-1`, as that of an upload of one part, so that no client takes it for an MD5 of
        the content.
        """
        identity = f"{self.identity}\0{stat.reference}".encode("utf-8", "surrogateescape")
        return f'"{hashlib.blake2b(identity, digest_size=16).hexdigest()}-1"'


class _Slot:
    """One location's archive, and the lock under which it is opened."""

    __slots__ = ("archive", "checked", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.archive: Archive | None = None
        self.checked = 0.0


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
        self._client_factory = client_factory
        self._clock = clock
        self._client: S3Client | None = None
        self._store: ChunkStore | None = None
        self._lock = threading.Lock()
        self._slots: OrderedDict[Location, _Slot] = OrderedDict()

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
        slot = self._slot(location)
        with slot.lock:
            if slot.archive is not None and self._clock() - slot.checked >= interval:
                if self._identity(location) != slot.archive.identity:
                    _LOG.info("archive %s was replaced; opening the new one", location)
                    slot.archive = None
                slot.checked = self._clock()
            if slot.archive is None:
                slot.archive = self._open(location)
                slot.checked = self._clock()
            return slot.archive

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

    def _slot(self, location: Location) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(location, _Slot())
            self._slots.move_to_end(location)
            while len(self._slots) > self._config.max_open_archives:
                # Its image is not closed: a request may still be streaming from it.
                self._slots.popitem(last=False)
            return slot

    def _identity(self, location: Location) -> str:
        if location.scheme == "s3":
            return current_etag(self._s3(), location.bucket, location.key)
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
        device, etag = self.s3_device(location)
        return Archive(location, SquashFS(device, limits=self._config.limits), etag)

    def s3_device(self, location: Location) -> tuple[BlockDevice, str]:
        """An archive in S3, through the chunk cache, and the ETag that it is pinned to."""
        config = self._config
        opened = open_object(
            self._s3(),
            location.bucket,
            location.key,
            tail_bytes=config.tail_bytes,
            expect_superblock=config.superblock_metadata == "expected",
        )
        etag = opened.device.etag
        head = opened.superblock()
        if head is None:  # too short for an image, which is the reader's to say
            return opened.device, etag
        block_size = min(max(Superblock.decode(head).block_size, _BLOCK_SIZE_MIN), _BLOCK_SIZE_MAX)
        chunk_size = chunk_size_for(config.cache_chunk_size, block_size)
        archive_id = "\0".join((location.bucket, location.key, etag, str(chunk_size)))
        device = CachedDevice(opened.device, self._chunks(), archive_id, chunk_size)
        device.seed(0, head)
        device.seed(device.size - len(opened.tail), opened.tail)
        return device, etag

    def _s3(self) -> S3Client:
        with self._lock:
            if self._client is None:
                self._client = self._client_factory()
            return self._client

    def _chunks(self) -> ChunkStore:
        with self._lock:
            if self._store is None:
                self._store = ChunkStore(self._config.cache_dir, self._config.cache_max_bytes)
            return self._store


def open_url(url: str) -> BlockDevice:
    """The image at an `s3://` URL: what the reader calls to open one (`s3archivefs.devices`).

    Settings are those of the environment. Raises SettingError, ArchiveAccessError.
    """
    archives = Archives(Config.from_environ(os.environ))
    try:
        location = parse_location(url)
    except SettingError as error:
        raise SettingError(f"{url} {error}") from None
    device, _ = archives.s3_device(location)
    return device


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
