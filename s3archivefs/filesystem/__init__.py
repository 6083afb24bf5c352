"""An fsspec filesystem over images: `squashfs://path/inside::s3://bucket/archive.sqfs`."""

from __future__ import annotations

try:
    from s3archivefs.filesystem.archive_filesystem import ArchiveFileSystem, register
except ModuleNotFoundError as error:
    if error.name != "fsspec":
        raise
    hint = "s3archivefs.filesystem needs fsspec: pip install 's3archivefs[fsspec]'"
    raise ModuleNotFoundError(hint, name=error.name) from error
from s3archivefs.filesystem.missing import MissingArchiveError

__all__ = ["ArchiveFileSystem", "MissingArchiveError", "register"]
