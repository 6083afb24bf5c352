"""Archives for the reader's fsspec filesystem, which finds these functions as entry points.

`find_in_s3` takes the options of s3fs, so that a program need not say twice how a store is reached.
`by_chunks` is for archives that other filesystems read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs import Superblock
from s3archivefs_lambda.archives.pinned import current_settings, open_current, opener_for
from s3archivefs_lambda.archives.url import location_of
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from s3archivefs_lambda.config.settings import Config, chunk_size_for
from s3archivefs_lambda.store.access import StoreAccess
from s3archivefs_lambda.store.device import current_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.archives.pinned import Settings, Variables
    from s3archivefs_lambda.config.location import Location

__all__ = ["by_chunks", "find_in_s3"]

_BLOCK_SIZE_MIN, _BLOCK_SIZE_MAX = 4096, 1 << 20  # bytes of a block in a sound image
_numbers = count()
_HONOURED = {
    "endpoint_url": "endpoint_url",
    "key": "access_key_id",
    "username": "access_key_id",
    "secret": "secret_access_key",
    "password": "secret_access_key",
    "token": "session_token",
    "profile": "profile",
    "anon": "is_anonymous",
}
"""Options of s3fs, and the fields of StoreAccess that they are."""
_HONOURED_OF_CLIENT = {
    "endpoint_url": "endpoint_url",
    "region_name": "region_name",
    "verify": "verify",
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}
"""Likewise of its option `client_kwargs`."""
_ELSEWHERE = frozenset(
    {
        *("asynchronous", "cache_regions", "default_block_size", "default_cache_type"),
        *("default_fill_cache", "fixed_upload_size", "listings_expiry_time", "loop"),
        *("max_concurrency", "max_paths", "skip_instance_cache", "use_listings_cache"),
        *("use_ssl",),
    }
)
"""Options of s3fs that concern what it alone does, or that an endpoint's URL says."""


class Opened(NamedTuple):
    """A version of an archive, opened, as the reader's filesystem takes it."""

    source: BlockDevice
    version: str
    close: Callable[[], object]


class S3Target:
    """An archive in S3."""

    def __init__(self, settings: Settings, location: Location, access: StoreAccess) -> None:
        self._opener = opener_for(settings, access)
        self._location = location
        self._access = access
        self.key = (str(location), settings, access)
        """What names the archive, and the way to it, in this process."""

    @property
    def trusted_seconds(self) -> float:
        """The setting `revalidate_seconds`."""
        return self._opener.trusted_seconds

    def version(self) -> str:
        """Return the identity of the current version, by one HEAD; raise ArchiveAccessError."""
        where = self._location
        return current_identity(self._opener.client, where.bucket, where.key)

    def open(self) -> Opened:
        """Open the current version; raise ArchiveAccessError."""
        opened = open_current(self._opener, self._location, self._access)
        return Opened(opened.device, opened.identity, _nothing)


def find_in_s3(url: str, options: Mapping[str, Any]) -> S3Target | None:
    """Return the archive at an s3:// URL, reached as the options of s3fs say.

    Return None where an option, or a part of the URL, is none that can be honoured here, or where
    botocore is not installed. Raises SettingError for a URL that names no object.
    """
    access = _access(options)
    if access is None or "?versionId=" in url or find_spec("botocore") is None:
        return None
    return S3Target(current_settings(), location_of(url), access)


def by_chunks(device: BlockDevice, version: str) -> BlockDevice:
    """Return a device that reads another by chunks, which it keeps in memory, and ahead.

    What opening an image takes is fetched in two round trips. What is shorter than an image is
    returned as it is.
    """
    size = device.size
    if size < Superblock.layout.size:
        return device  # the reader raises the error
    config, memory = _memory(current_settings().variables)
    tail_start = max(0, size - config.tail_bytes)
    with ThreadPoolExecutor(1) as executor:
        early = executor.submit(device.pread, 0, Superblock.layout.size)
        tail = device.pread(tail_start, size - tail_start)
        head = early.result()
    superblock = Superblock.decode(head)
    metadata_start = min(superblock.inode_table_start, size)
    block_size = min(max(superblock.block_size, _BLOCK_SIZE_MIN), _BLOCK_SIZE_MAX)
    cached = CachedDevice(
        device,
        # Not every filesystem tells versions apart: chunks are for this device alone.
        f"{version} {next(_numbers)}",
        chunk_size_for(config.cache_chunk_size, block_size),
        memory=memory,
        store=ChunkStore(config.cache_dir, 0),
        metadata_start=metadata_start,
    )
    cached.preload(0, head, store=False)
    if metadata_start < tail_start and size - metadata_start <= config.metadata_bytes:
        rest = metadata_start, tail_start - metadata_start
        with closing(cached.readahead(*rest)) as ahead:
            ahead.will_read(*rest)
            tail = ahead.pread(*rest) + tail
        tail_start = metadata_start
    cached.preload(tail_start, tail, store=False)
    return cached


def _access(options: Mapping[str, Any]) -> StoreAccess | None:
    """Return how s3fs would reach the store; None for an option that is unknown."""
    options = {name: value for name, value in options.items() if value not in (None, False, {})}
    of_client = options.pop("client_kwargs", {})
    fields: dict[str, Any] = {}
    for given, honoured in ((of_client, _HONOURED_OF_CLIENT), (options, _HONOURED)):
        for name, value in given.items():
            if name in honoured:
                fields[honoured[name]] = value
            elif name not in _ELSEWHERE:
                return None
    return StoreAccess(**fields)


@lru_cache(1)
def _memory(variables: Variables) -> tuple[Config, ChunkMemory]:
    """Return the configuration, and the one memory of chunks of other filesystems' archives."""
    config = Config.from_environ(dict(variables))
    return config, ChunkMemory(config.cache_memory_bytes)


def _nothing() -> None:
    """Close nothing: the memory of chunks is for all archives."""
