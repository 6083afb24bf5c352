"""Opening an archive in S3: its current version, or a known one.

A version that one process has open is opened by others without a request.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.archives.s3 import S3Opener
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.config.settings import Config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from s3archivefs import BlockDevice
    from s3archivefs_lambda.archives.s3 import OpenedDevice
    from s3archivefs_lambda.config.location import Location
    from s3archivefs_lambda.store.access import StoreAccess
    from s3archivefs_lambda.store.version import S3Version

    Variables: TypeAlias = tuple[tuple[str, str], ...]
    Files: TypeAlias = tuple[tuple[str, int], ...]

__all__ = ["PinnedVersion", "Settings", "current_settings", "open_current", "opener_for"]

_REQUESTS = 32  # of one reader at a time, as the reader's bulk reading makes them
_OPENERS = 16  # stores, or ways to reach one, that a process remembers
_FILES = (
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ("AWS_CONFIG_FILE", "~/.aws/config"),
)
"""Files of settings that variables name, and those without."""


class Settings(NamedTuple):
    """What decides how an archive is read."""

    variables: Variables
    """Variables of the environment, sorted."""
    files: Files
    """AWS's files of settings, and when each changed, in ns.

    A client keeps the credentials that it found there.
    """


@dataclass(frozen=True, slots=True)
class PinnedVersion:
    """One version of an archive, as a pickle takes it to other processes and machines.

    Where it is opened, the environment there decides the settings, and `access` the credentials
    that it has.
    """

    location: Location
    version: S3Version
    access: StoreAccess
    known: tuple[tuple[int, bytes], ...]
    """Bytes of the archive that need not be fetched, each behind their place."""
    part: tuple[int, int] | None = None
    """The bytes [start, stop) that are read, and none of which are fetched for others."""

    def of_part(self, start: int, stop: int) -> PinnedVersion:
        """Return the version for who reads only the bytes [start, stop) of contents."""
        return replace(self, part=(start, stop))

    def __call__(self) -> BlockDevice:
        """Return the device; its reads raise ArchiveReplacedError where the version is gone."""
        opener = opener_for(current_settings(), self.access)
        device = opener.reopen_device(self.location, self.version)
        for start, data in self.known:
            device.preload(start, data, store=False)
        if self.part is None:
            return _pinned(device, self.location, self.version, self.access)
        return opener.device_of_part(device, self.location, self.version, self.part)


def open_current(opener: S3Opener, location: Location, access: StoreAccess) -> OpenedDevice:
    """Open the current version of an object, and record it for the next time.

    Raises ArchiveAccessError.
    """
    before = opener.recall(location)
    opened = opener.open_device(location, before)
    version = opened.version
    if version is not None and version != before:
        opener.remember(location, version)
    if version is not None and isinstance(opened.device, CachedDevice):
        _pinned(opened.device, location, version, access)
    return opened


def _pinned(
    device: CachedDevice, location: Location, version: S3Version, access: StoreAccess
) -> CachedDevice:
    """Let a device tell others how to open the version."""

    def pin(ranges: Iterable[tuple[int, int]]) -> PinnedVersion:
        known = tuple((start, device.pread(start, stop - start)) for start, stop in ranges)
        return PinnedVersion(location, version, access, known)

    device.pinned = pin
    return device


def current_settings() -> Settings:
    """Return the settings that decide how an archive is read, as they are now."""
    prefixes = ("AWS_", "S3ARCHIVEFS_")
    variables = sorted(each for each in os.environ.items() if each[0].startswith(prefixes))
    return Settings(tuple(variables), tuple(_times_of_files()))


def _times_of_files() -> Iterator[tuple[str, int]]:
    for variable, default in _FILES:
        path = os.path.expanduser(os.environ.get(variable) or default)  # noqa: PTH111 -- a Path raises where there is no home
        with suppress(OSError):
            yield path, os.stat(path).st_mtime_ns  # noqa: PTH116 -- likewise


def opener_for(settings: Settings, access: StoreAccess) -> S3Opener:
    """Return the opener of a store: one client and one memory of chunks.

    Where AWS's files have changed it has a new client, and the same memory.
    """
    return _way(settings.variables, access).opener(settings.files)


@lru_cache(_OPENERS)
def _way(variables: Variables, access: StoreAccess) -> _Way:
    return _Way(variables, access)


class _Way:
    """A way to reach a store. Thread-safe: at worst, a client more is made."""

    def __init__(self, variables: Variables, access: StoreAccess) -> None:
        self._make_client = partial(make_archive_client, requests=_REQUESTS, access=access)
        opener = S3Opener(Config.from_environ(dict(variables)), self._make_client)
        self._latest: tuple[Files, S3Opener] = (), opener

    def opener(self, files: Files) -> S3Opener:
        """Return the opener whose client has the credentials of the files at these times."""
        known, opener = self._latest
        if known != files:
            opener = opener.with_client(self._make_client)
            self._latest = files, opener
        return opener
