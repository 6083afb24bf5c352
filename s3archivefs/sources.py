"""The sources that an image can be opened by, and the device for each."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from s3archivefs.device import BlockDevice, open_file
from s3archivefs.device_reads import read_exactly
from s3archivefs.errors import SquashfsError, UnsupportedError
from s3archivefs.named_tuples import NamedTuple
from s3archivefs.superblock import is_image_start

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["PinnedSource", "StoredSource", "is_squashfs", "open_source", "portable"]

_PATH_MAX = 4096
_TAKEN = "an image is a path, a URL, a seekable binary file or a block device"


class StoredSource(NamedTuple):
    """An image at a URL, and by which options its filesystem is reached."""

    url: str
    options: Mapping[str, Any]
    """Options of the URL's filesystem, or by protocol of those of its chain."""


class Pin(Protocol):
    """What a device's `pinned(ranges)` returned, which can be pickled.

    It opens a device with the same bytes, which asks nobody whether they are, nor for the ranges
    [start, stop) that `pinned` was given.
    """

    def __call__(self) -> BlockDevice:
        """Open the device."""

    def of_part(self, start: int, stop: int) -> Pin:
        """Return likewise what opens it for a reader of the bytes [start, stop) of contents."""


class PinnedSource(NamedTuple):
    """One version of an image at a URL, which is opened without asking for it."""

    url: str
    open: Pin

    def of_part(self, start: int, stop: int) -> PinnedSource:
        """Return the source for a reader of no contents but the bytes [start, stop)."""
        return self._replace(open=self.open.of_part(start, stop))


def open_source(source: object) -> tuple[BlockDevice, Callable[[], None]]:
    """Return the device for a source, and the function that closes it.

    `source` is a block device, a seekable binary file, a memory-mapped one, a path, or a URL. An
    installed package registers its scheme of URLs (as `s3://bucket/key`) in the entry-point group
    `s3archivefs.devices`, and what opens URLs of all other schemes in `s3archivefs.urls`.

    Raises TypeError for anything else, naming what an image can be opened by.
    """
    if isinstance(source, type):
        raise TypeError(f"{_TAKEN}, not the class {source.__name__}")
    if isinstance(source, BlockDevice):
        return source, lambda: None
    if isinstance(source, PinnedSource):
        return source.open(), lambda: None
    if isinstance(source, StoredSource):
        return _open_stored(source)
    if scheme := _scheme(source):
        return _open_url(scheme, cast("str", source))
    if isinstance(source, bytes) and (b"\0" in source or len(source) > _PATH_MAX):
        raise TypeError(f"{_TAKEN}; bytes are taken for a path: wrap content in BytesDevice")
    if (device := open_file(source)) is not None:
        return device, getattr(device, "close", lambda: None)
    hint = (
        "which names no local file: give what its open('rb') returns"
        if hasattr(source, "as_posix")
        else "wrap content in BytesDevice"
    )
    raise TypeError(f"{_TAKEN}, not {type(source).__name__}; {hint}")


def portable(source: object) -> object:
    """Return the source in the form that another process needs: a path made absolute."""
    if isinstance(source, str | bytes | os.PathLike) and not _scheme(source):
        return os.path.abspath(os.fspath(source))  # noqa: PTH100 -- bytes too, and no symlink is followed
    return source


def _scheme(source: object) -> str | None:
    """Return the scheme of a URL or of a chain's first; None for anything else."""
    found = re.match(r"([a-z][a-z0-9+.-]*)(://|::)", source) if isinstance(source, str) else None
    return found[1] if found else None


def is_squashfs(source: object) -> bool:
    """Return whether a source starts with the magic number of a squashfs 4.0 image.

    `source` is what `open` takes: a path, a binary file, a block device or a registered URL. A
    missing file or a directory is no image; a file object keeps its position. Raises whatever else
    the source itself raises, and TypeError for what is no source.

    Format: "The Superblock".
    """
    position = _position(source)
    try:
        device, close = open_source(source)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    try:
        return is_image_start(read_exactly(device, 0, 4, "the magic number"))
    except SquashfsError:
        return False
    finally:
        close()
        if position is not None:
            cast("BinaryIO", source).seek(position)


def _position(source: object) -> int | None:
    """Return the position of a seekable file object, or None for any other source."""
    try:
        return cast("BinaryIO", source).tell()
    except (AttributeError, OSError):
        return None


def _open_stored(source: StoredSource) -> tuple[BlockDevice, Callable[[], None]]:
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 10 ms that a local image need not pay

    url = source.url
    scheme = _scheme(url) or "file"
    options = dict(source.options)
    if "::" not in url:
        options |= options.pop(scheme, {})
    for entry in entry_points(group="s3archivefs.targets", name=scheme):
        with suppress(ModuleNotFoundError):
            if (target := entry.load()(url, options)) is not None:
                opened = target.open()
                return opened.source, opened.close
    return _open_url(scheme, url, options)


def _open_url(
    scheme: str, url: str, options: Mapping[str, Any] | None = None
) -> tuple[BlockDevice, Callable[[], None]]:
    from importlib.metadata import entry_points  # noqa: PLC0415 -- 10 ms that a local image need not pay

    extra = "lambda" if scheme == "s3" else "fsspec"
    hint = f"; pip install 's3archivefs[{extra}]'"
    devices = entry_points(group="s3archivefs.devices", name=scheme)
    for entry in devices if options is None else ():
        try:
            device = entry.load()(url)
        except ModuleNotFoundError as error:
            raise UnsupportedError(f"{scheme}:// URLs need {error.name}{hint}") from error
        return device, getattr(device, "close", lambda: None)
    for entry in entry_points(group="s3archivefs.urls"):
        try:
            open_any = entry.load()
        except ModuleNotFoundError as error:
            raise UnsupportedError(f"{scheme}:// URLs need {error.name}{hint}") from error
        return _open_any(partial(open_any, options=options) if options else open_any, url)
    raise UnsupportedError(f"no installed package opens {scheme}:// URLs{hint}")


def _open_any(
    open_any: Callable[[str], tuple[object, Callable[[], object]]], url: str
) -> tuple[BlockDevice, Callable[[], None]]:
    """Open the source that a URL leads to; return its device, and what closes it."""
    source, close_source = open_any(url)
    try:
        device, close_device = open_source(source)
    except BaseException:
        close_source()
        raise

    def close() -> None:
        try:
            close_device()
        finally:
            close_source()

    return device, close
