"""Opening an archive in S3: its metadata in few round trips, the rest by chunks.

Squashfs keeps its metadata at the end. One suffix GET fetches it if it is short. Longer metadata is
fetched whole, in parallel, up to a bound; above that by chunks, as needed: the first file of an
archive of 50 million must not wait for gigabytes of inodes.

The chunk cache remembers the version and what opening it took, for the next time and for other
processes. One request then confirms the version, and its cached bytes are not fetched again; of a
new version the same request fetches the metadata.
"""

from __future__ import annotations

from contextlib import closing
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs import SquashFS, SquashfsError, Superblock
from s3archivefs_lambda.archives.archive import Archive
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.cache.part import PartDevice, Window
from s3archivefs_lambda.config.settings import chunk_size_for
from s3archivefs_lambda.store.device import S3Device, current_identity
from s3archivefs_lambda.store.errors import ArchiveReplacedError, ArchiveUnchangedError
from s3archivefs_lambda.store.identity import object_identity
from s3archivefs_lambda.store.opening import open_object
from s3archivefs_lambda.store.process_client import process_client
from s3archivefs_lambda.store.version import S3Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.config.settings import Config
    from s3archivefs_lambda.store.opening import OpenedObject

__all__ = ["OpenedDevice", "S3Opener"]

_BLOCK_SIZE_MIN, _BLOCK_SIZE_MAX = 4096, 1 << 20
"""Bytes of a block in a sound image; they bound the size of chunks."""
_WITHOUT_SUPERBLOCK = (
    "the object lacks the user metadata s3archivefs-superblock, so that opening it takes a request "
    "more: s3archivefs upload stores it"
)
_TAIL_STEP = 64 << 10
"""Bytes by which tails grow: the next version may need a bit more."""


@dataclass(frozen=True, slots=True)
class OpenedDevice:
    """An archive's bytes, pinned to one version."""

    device: BlockDevice
    identity: str
    """The text that identifies the version."""
    held_bytes: int
    """Bytes that stay in memory as long as the device does."""
    version: S3Version | None
    """The record that opens it again; None for an object shorter than an image."""
    has_cached_tail: bool = False
    """Whether the chunk cache has its last bytes, and so most likely its metadata."""


class S3Opener:
    """The `Opener` of archives in S3, through one client, one chunk cache and one memory.

    Thread-safe.
    """

    def __init__(self, config: Config, client_factory: Callable[[], S3Client]) -> None:
        self._config = config
        self.client = process_client(client_factory)
        """The client, made on first use."""
        self._store = ChunkStore(config.cache_dir, config.cache_max_bytes)
        self._memory = ChunkMemory(config.cache_memory_bytes)

    def with_client(self, client_factory: Callable[[], S3Client]) -> S3Opener:
        """Return an opener through another client, with the same chunk cache and memory."""
        other = copy(self)
        other.client = process_client(client_factory)
        return other

    @property
    def trusted_seconds(self) -> float:
        """The setting `revalidate_seconds`."""
        return self._config.revalidate_seconds

    @property
    def stale_seconds(self) -> float:
        """The setting `stale_seconds`."""
        return self._config.stale_seconds

    @property
    def chunk_bytes(self) -> int:
        """Bytes of chunks in memory."""
        return self._memory.used_bytes

    def recall(self, location: Location) -> S3Version | None:
        """Return the version that was opened last by any process with the same chunk cache."""
        record = self._store.get(self._record_name(location), 0)
        return None if record is None else S3Version.decode(record)

    def is_current(self, location: Location, version: S3Version) -> bool:
        """Ask S3, by one HEAD, whether the version is the current one."""
        current = current_identity(self.client, location.bucket, location.key)
        return current == self._device(location, version).identity

    def open(self, location: Location, before: S3Version | None, *, refetch: bool) -> Archive:
        """Open the current version of an archive.

        One request suffices if that is `before`, unless `refetch`.
        """
        opened = self.open_device(location, before, refetch=refetch)
        try:
            archive = self._archive(location, opened)
        except (ArchiveReplacedError, SquashfsError):
            if before is None or opened.version is not before:
                raise
            # Its cached bytes are damaged or incomplete, or the object is replaced by now.
            archive = self._archive(location, self.open_device(location, before, refetch=True))
        if isinstance(archive.version, S3Version) and archive.version != before:
            self.remember(location, archive.version)
        return archive

    def remember(self, location: Location, version: S3Version) -> None:
        """Record the version, for `recall` in any process."""
        self._store.put(self._record_name(location), 0, version.encode(), replace=True)

    def reopen(self, location: Location, version: S3Version) -> Archive:
        """Open the version from the chunk cache; fetch missing bytes if the version exists."""
        return self._archive(location, self._reopened(location, version))

    def wait_idle(self) -> None:
        """Wait until background work has ended."""
        self._memory.background.wait_idle()

    def open_device(
        self, location: Location, before: S3Version | None, *, refetch: bool = False
    ) -> OpenedDevice:
        """Open the current version's bytes as `open` does, whether or not they are an image."""
        # `refetch` fetches both ends: the second request proves that they are of one version.
        likely = None if refetch else before
        is_expected = self._config.superblock_metadata == "expected"
        kept = None if likely is None else self._reopened(location, likely)
        if kept is not None and not kept.has_cached_tail:
            kept = None  # without the tail in the cache, "unchanged" would save no request
        try:
            opened = open_object(
                self.client,
                location.bucket,
                location.key,
                tail_bytes=self._tail_bytes(before),
                expect_superblock=is_expected or (likely is not None and likely.has_superblock),
                unless_etag=None if kept is None or likely is None else likely.etag,
            )
        except ArchiveUnchangedError as error:
            assert before is not None  # noqa: S101 -- it was the condition
            assert kept is not None  # noqa: S101 -- likewise
            if error.version_id in {None, before.version_id}:
                return kept
            # The same bytes were stored again: the known version may be deleted by now.
            return self.open_device(location, before, refetch=True)
        return self._opened(opened)

    def _opened(self, opened: OpenedObject) -> OpenedDevice:
        source, tail = opened.device, opened.tail
        head = opened.superblock()
        if head is None:  # too short for an image: the reader raises the error
            return OpenedDevice(source, source.identity, 0, None)
        device, metadata_start = self._cached(source, head, has_superblock=opened.has_superblock)
        tail_start = source.size - len(tail)
        if metadata_start < tail_start and self._is_fetched_whole(source.size - metadata_start):
            rest = metadata_start, tail_start - metadata_start
            with closing(device.readahead(*rest)) as ahead:
                ahead.will_read(*rest)  # in parallel
                tail = ahead.pread(*rest) + tail
            tail_start = metadata_start
        device.preload(tail_start, tail)
        version = S3Version(
            source.etag, source.version_id, source.size, head, opened.has_superblock, tail_start
        )
        return OpenedDevice(device, source.identity, len(tail), version)

    def _reopened(self, location: Location, version: S3Version) -> OpenedDevice:
        device = self.reopen_device(location, version)
        held = device.recall_preloaded(version.tail_start)
        return OpenedDevice(
            device, device.identity, held, version, has_cached_tail=device.has_cached_tail
        )

    def reopen_device(self, location: Location, version: S3Version) -> CachedDevice:
        """Return the version's bytes, read from the chunk cache or fetched, without a request."""
        source = self._device(location, version)
        head, has_superblock = version.superblock, version.has_superblock
        device, _ = self._cached(source, head, has_superblock=has_superblock)
        return device

    def device_of_part(
        self, whole: CachedDevice, location: Location, version: S3Version, part: tuple[int, int]
    ) -> BlockDevice:
        """Return the version's bytes, of which those of a part [start, stop) are fetched exactly.

        Where the chunk cache has the part, as it keeps it for all readers, that is `whole`.
        """
        start, stop = part
        size = whole.chunk_size
        middle = (start + stop) // 2 // size
        if whole.cached.is_in_memory(middle) or whole.cached.is_stored(middle):
            return whole
        chunks = CachedDevice(
            Window(self._device(location, version), start, stop),
            f"{whole.identity}\0{start}-{stop}",
            size,
            memory=self._memory,
            store=self._store,
        )
        return PartDevice(whole, chunks, start)

    def _cached(
        self, source: S3Device, head: bytes, *, has_superblock: bool
    ) -> tuple[CachedDevice, int]:
        """Return the object in cached chunks, and the first byte of its metadata."""
        superblock = Superblock.decode(head)
        metadata_start = min(superblock.inode_table_start, source.size)
        block_size = min(max(superblock.block_size, _BLOCK_SIZE_MIN), _BLOCK_SIZE_MAX)
        chunk_size = chunk_size_for(self._config.cache_chunk_size, block_size)
        device = CachedDevice(
            source,
            source.identity,
            chunk_size,
            memory=self._memory,
            store=self._store,
            metadata_start=metadata_start,
            is_current=source.is_current,
            remarks=() if has_superblock else (_WITHOUT_SUPERBLOCK,),
        )
        device.preload(0, head, store=False)
        return device, metadata_start

    def _archive(self, location: Location, opened: OpenedDevice) -> Archive:
        image = SquashFS(opened.device, limits=self._config.limits)
        return Archive(location, image, opened.identity, opened.held_bytes, opened.version)

    def _device(self, location: Location, version: S3Version) -> S3Device:
        return S3Device(
            self.client,
            location.bucket,
            location.key,
            etag=version.etag,
            size=version.size,
            version_id=version.version_id,
        )

    def _is_fetched_whole(self, metadata_bytes: int) -> bool:
        return metadata_bytes <= self._config.metadata_bytes

    def _tail_bytes(self, before: S3Version | None) -> int:
        """Return the length of the tail to fetch: what the last known version needed."""
        if before is not None:
            metadata_start = Superblock.decode(before.superblock).inode_table_start
            metadata_bytes = before.size - metadata_start
            if metadata_bytes > 0 and self._is_fetched_whole(metadata_bytes):
                return -(-metadata_bytes // _TAIL_STEP) * _TAIL_STEP
        return self._config.tail_bytes

    def _record_name(self, location: Location) -> str:
        return f"version\0{object_identity(self.client, location.bucket, location.key)}"
