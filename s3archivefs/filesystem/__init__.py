"""An fsspec filesystem over images: `squashfs://path/inside::s3://bucket/archive.sqfs`."""

from __future__ import annotations

from s3archivefs.filesystem.archive_filesystem import ArchiveFileSystem, register
from s3archivefs.filesystem.missing import MissingArchiveError

__all__ = ["ArchiveFileSystem", "MissingArchiveError", "register"]
