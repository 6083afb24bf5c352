"""The image and the directory in it that the URL of a dataset names."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING

from s3archivefs.image import SquashFS
from s3archivefs.inode import FileKind
from s3archivefs.names import os_error
from s3archivefs.sources import StoredSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from s3archivefs.limits import Limits

__all__ = ["open_tree"]

_CHAINED = ("squashfs://", "s3archivefs://")


def open_tree(
    url: object, offset: int, limits: Limits | None, options: Mapping[str, Any] | None = None
) -> tuple[SquashFS, str]:
    """Return the image that a URL names, open, and a directory in it.

    That is the root, unless `squashfs://path::` stands before the URL of the image. `options` are
    those of the filesystems that the URL leads through. Raises what `SquashFS` and `stat` raise,
    NotADirectoryError where the path leads to no directory, and TypeError for options of what is
    no URL nor path.
    """
    if options and not isinstance(url, str):
        raise TypeError(f"storage_options are for a URL, not {type(url).__name__}")
    within = archive = ""
    if isinstance(url, str) and url.startswith(_CHAINED):
        within, _, archive = url.partition("://")[2].partition("::")
    if not archive:
        return SquashFS(_source(url, options), offset=offset, limits=limits), "/"
    top = f"/{within.strip('/')}"
    image = SquashFS(_source(archive, options), offset=offset, limits=limits)
    with ExitStack() as ends:
        ends.callback(image.close)
        if image.stat(top).kind is not FileKind.DIRECTORY:
            raise os_error(errno.ENOTDIR, top)
        ends.pop_all()
    return image, top


def _source(url: object, options: Mapping[str, Any] | None) -> object:
    return StoredSource(url, {**options}) if options and isinstance(url, str) else url
