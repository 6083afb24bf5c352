"""Where an archive lies: in a local file, in S3, in another filesystem."""

from __future__ import annotations

import math
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, cast

from fsspec import AbstractFileSystem, filesystem, url_to_fs
from fsspec.config import conf
from fsspec.core import split_protocol
from fsspec.implementations.cached import CachingFileSystem, WholeFileCacheFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import tokenize

from s3archivefs.device import BlockDevice, open_file
from s3archivefs.filesystem.given_device import GivenDevice
from s3archivefs.filesystem.stored_device import StoredDevice, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping
    from typing import TypeAlias

    Options: TypeAlias = Mapping[str, Any]

__all__ = ["Opened", "Target", "find_target", "settled"]

_S3 = ("s3", "s3a")
_LOCAL = LocalFileSystem.protocol
_TRUSTED_SECONDS = 60.0  # as the adapter trusts an archive in S3
_NO_ARCHIVE = (
    "which archive? give fo=, or chain the URL of one:"
    " squashfs://path/inside::file:///path/of/archive.sqfs"
)


class Opened(NamedTuple):
    """A version of an archive, opened."""

    source: object
    """What `SquashFS` opens."""
    version: str
    """The text that identifies the version; empty if only the image itself can tell."""
    close: Callable[[], object]


class Target(Protocol):
    """An archive where it lies."""

    @property
    def key(self) -> Hashable:
        """What names the target in this process; None for one that nobody else can name."""

    @property
    def trusted_seconds(self) -> float:
        """Seconds for which a version that was seen counts as the current one."""

    def version(self) -> str:
        """Return the text that identifies the current version."""

    def open(self) -> Opened:
        """Open the current version."""


class LocalTarget:
    """A local file."""

    trusted_seconds = 0.0

    def __init__(self, path: str) -> None:
        self.key = "file", path
        self._path = path

    def version(self) -> str:
        """Return path, size and time of the file, and the number of its inode."""
        return _version_of_file(self._path, os.stat(self._path))  # noqa: PTH116 -- a plain path

    def open(self) -> Opened:
        """Open the file by its path."""
        return Opened(self._path, self.version(), _nothing)


class GivenTarget:
    """An open file, or a block device, that the caller gave and closes."""

    key = None
    trusted_seconds = math.inf

    def __init__(self, source: object) -> None:
        self._source = source

    def version(self) -> str:
        """Return nothing: only the image tells."""
        return ""

    def open(self) -> Opened:
        """Return what was given, as a device where it is one, or a file."""
        source = self._source
        device = source if isinstance(source, BlockDevice) else open_file(source)
        return Opened(source if device is None else GivenDevice(device), "", _nothing)


class StoredTarget:
    """A file of another fsspec filesystem, read by ranges through a cache of chunks."""

    trusted_seconds = _TRUSTED_SECONDS

    def __init__(self, fs: AbstractFileSystem, path: str) -> None:
        self.key = _key(fs, path)
        self._fs = fs
        # A cache of fsspec would list a directory to tell of a file in it.
        self._telling = fs.fs if isinstance(fs, CachingFileSystem) else fs
        self._path = path

    def version(self) -> str:
        """Return what the filesystem tells of the file now."""
        self._telling.invalidate_cache(self._telling._parent(self._path))  # noqa: SLF001 -- fsspec's hook
        return version_of(self._path, self._telling.info(self._path))

    def open(self) -> Opened:
        """Open the file of that size, by ranges."""
        info = self._telling.info(self._path)
        version = version_of(self._path, info)
        device = StoredDevice(self._fs, self._path, info["size"])
        return Opened(_by_chunks(device, version), version, _nothing)


class CopiedTarget:
    """A file that a cache of fsspec copies as a whole: the local copy."""

    trusted_seconds = _TRUSTED_SECONDS

    def __init__(self, fs: WholeFileCacheFileSystem, path: str) -> None:
        self.key = _key(fs, path)
        self._fs = fs
        self._path = path

    def version(self) -> str:
        """Return what tells the copy that the cache has now from others."""
        with self._fs.open(self._path, "rb") as file:
            return self._version(file)

    def open(self) -> Opened:
        """Open the copy, which is made first if it is not there."""
        file = self._fs.open(self._path, "rb")
        return Opened(file, self._version(file), file.close)

    def _version(self, file: BinaryIO) -> str:
        return _version_of_file(self._path, os.fstat(file.fileno()))


def settled(fo: object, protocol: str | None) -> object:
    """Return what names an archive; a local path made absolute.

    The archive is opened later, when the working directory may be another one.
    """
    if not isinstance(fo, str | os.PathLike) or not (path := os.fspath(fo)):
        return fo
    if protocol is None:
        protocol = None if "::" in path else split_protocol(path)[0] or "file"
    return LocalFileSystem._strip_protocol(path) if protocol in _LOCAL else fo  # noqa: SLF001 -- fsspec's hook


def find_target(fo: object, protocol: str | None, options: Options) -> Target:
    """Return the target that a filesystem's arguments name.

    `fo` is a path or URL of the filesystem for `protocol` with these options, a file that fsspec
    has not yet opened, an open one, or a block device. Raises ValueError where nothing is named.
    """
    if isinstance(getattr(fo, "fs", None), AbstractFileSystem) and not hasattr(fo, "read"):
        there = cast("Any", fo)  # fsspec's OpenFile, or a path of universal-pathlib
        return _on_filesystem(there.fs, there.path)
    if not isinstance(fo, str | os.PathLike):
        return GivenTarget(fo)
    path = os.fspath(fo)
    if not path:
        raise ValueError(_NO_ARCHIVE)
    if protocol is None:
        if "::" in path:
            return _on_filesystem(*url_to_fs(path, **options))
        protocol = split_protocol(path)[0] or "file"
    if protocol in _S3 and (target := _in_s3(protocol, path, options)) is not None:
        return target
    fs = filesystem(protocol, **options)
    return _on_filesystem(fs, fs._strip_protocol(path))  # noqa: SLF001 -- fsspec's hook


def _on_filesystem(fs: AbstractFileSystem, path: str) -> Target:
    if isinstance(fs, LocalFileSystem):
        return LocalTarget(path)
    if isinstance(fs, WholeFileCacheFileSystem):
        return CopiedTarget(fs, path)
    return StoredTarget(fs, path)


def _in_s3(protocol: str, path: str, options: Options) -> Target | None:
    """Return the target that an installed package has for an object in S3.

    Return None where there is no such package, or where it cannot honour an option.
    """
    url = f"s3://{path.removeprefix(protocol + '://')}"
    configured = {name: value for each in _S3 for name, value in conf.get(each, {}).items()}
    for entry in entry_points(group="s3archivefs.targets", name="s3"):
        try:
            find: Callable[[str, Options], Target | None] = entry.load()
        except ModuleNotFoundError:
            continue
        return find(url, {**configured, **options})
    return None


def _by_chunks(device: BlockDevice, version: str) -> BlockDevice:
    """Return a device that reads another by chunks, if a package has one."""
    for entry in entry_points(group="s3archivefs.chunks"):
        cached: BlockDevice = entry.load()(device, version)
        return cached
    return device


def _key(fs: AbstractFileSystem, path: str) -> Hashable:
    """Return what names a file of a filesystem in this process."""
    arguments = tokenize(fs.storage_args, fs.storage_options)
    return type(fs).__module__, type(fs).__qualname__, arguments, path


def _version_of_file(path: str, found: os.stat_result) -> str:
    return repr((path, found.st_size, found.st_mtime_ns, found.st_ino))


def _nothing() -> None:
    """Close nothing."""
