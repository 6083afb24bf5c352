"""Opening an archive in S3: its metadata in as few round trips as can be, the rest by chunks.

Squashfs keeps its metadata at the end. One suffix GET brings it, if it is short enough; what is
longer is fetched whole, in parallel, up to a bound, and beyond that by chunks as it is needed: the
first file of an archive of 50 million must not wait for gigabytes of inodes. How long an archive's
metadata is will be remembered in the chunk cache, for the next process and the next version.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import Superblock
from s3archivefs_lambda.chunk_cache import CachedDevice
from s3archivefs_lambda.chunk_memory import ChunkMemory
from s3archivefs_lambda.chunk_store import ChunkStore
from s3archivefs_lambda.config import chunk_size_for
from s3archivefs_lambda.process_client import process_client
from s3archivefs_lambda.s3_identity import object_identity
from s3archivefs_lambda.s3_object import open_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.config import Config
    from s3archivefs_lambda.prefix_map import Location
    from s3archivefs_lambda.s3_object import OpenedObject

__all__ = ["OpenedArchive", "S3Opener"]

_BLOCK_SIZE_MIN, _BLOCK_SIZE_MAX = 4096, 1 << 20
"""What a sound superblock may say; the chunk size follows it before the image has been checked."""
_TAIL_STEP = 64 << 10
"""Tails are asked for in multiples of it: the next version's metadata may be a bit longer."""


@dataclass(frozen=True, slots=True)
class OpenedArchive:
    """An archive's bytes, pinned to one version."""

    device: BlockDevice
    identity: str
    """What identifies the version."""
    held_bytes: int
    """Of metadata, in memory as long as the device is."""


class _Need(NamedTuple):
    """What opening an archive took, so that it takes one round trip the next time."""

    tail_bytes: int
    has_superblock: int
    """1 where its user metadata holds the superblock."""


_NEED = struct.Struct(">QB")


class S3Opener:
    """Opens archives in S3, through one client, one chunk cache and one memory. Thread-safe."""

    def __init__(self, config: Config, client_factory: Callable[[], S3Client]) -> None:
        self._config = config
        self.client = process_client(client_factory)
        """The client, made on first use."""
        self._store = ChunkStore(config.cache_dir, config.cache_max_bytes)
        self._memory = ChunkMemory(config.cache_memory_bytes)

    def open(self, location: Location) -> OpenedArchive:
        """Open the current version of an archive; raises ArchiveAccessError."""
        config = self._config
        name_of_need = _name_of_need(self.client, location)
        before = self._remembered(name_of_need)
        opened = open_object(
            self.client,
            location.bucket,
            location.key,
            tail_bytes=before.tail_bytes,
            expect_superblock=bool(before.has_superblock),
        )
        source, tail = opened.device, opened.tail
        head = opened.superblock()
        if head is None:  # too short for an image, which is the reader's to say
            return OpenedArchive(source, source.identity, 0)
        superblock = Superblock.decode(head)
        metadata_start = min(superblock.inode_table_start, source.size)
        block_size = min(max(superblock.block_size, _BLOCK_SIZE_MIN), _BLOCK_SIZE_MAX)
        chunk_size = chunk_size_for(config.cache_chunk_size, block_size)
        device = CachedDevice(
            source,
            self._store,
            source.identity,
            chunk_size,
            memory=self._memory,
            metadata_start=metadata_start,
        )
        device.seed(0, head)
        tail_start = source.size - len(tail)
        if metadata_start < tail_start and self._is_fetched_whole(source.size - metadata_start):
            device.prefetch([(metadata_start, tail_start - metadata_start)])  # in parallel
            tail = device.pread(metadata_start, tail_start - metadata_start) + tail
            tail_start = metadata_start
        device.seed(tail_start, tail)
        need = self._need(source.size - metadata_start, opened)
        if need != before:
            self._store.put(name_of_need, 0, _NEED.pack(*need), replace=True)
        return OpenedArchive(device, source.identity, len(tail))

    def _is_fetched_whole(self, metadata_bytes: int) -> bool:
        return metadata_bytes <= self._config.metadata_bytes

    def _remembered(self, name: str) -> _Need:
        config = self._config
        expected = config.superblock_metadata == "expected"
        stored = self._store.get(name, 0)
        if stored is None or len(stored) != _NEED.size:
            return _Need(config.tail_bytes, int(expected))
        tail_bytes, has_superblock = _NEED.unpack(stored)
        most = max(config.tail_bytes, config.metadata_bytes + _TAIL_STEP)
        return _Need(min(max(tail_bytes, 1), most), int(expected or has_superblock))

    def _need(self, metadata_bytes: int, opened: OpenedObject) -> _Need:
        tail_bytes = -(-metadata_bytes // _TAIL_STEP) * _TAIL_STEP
        if not self._is_fetched_whole(metadata_bytes):
            tail_bytes = self._config.tail_bytes
        return _Need(tail_bytes, int(opened.has_superblock))


def _name_of_need(client: S3Client, location: Location) -> str:
    return f"need\0{object_identity(client, location.bucket, location.key)}"
