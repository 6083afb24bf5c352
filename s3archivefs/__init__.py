"""Read squashfs 4.0 images, in pure Python, over anything that returns a range of bytes.

import s3archivefs

with s3archivefs.open("linux.sqfs") as fs:
    print(fs.listdir("/"), fs.read_bytes("/README"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from s3archivefs.cached_only import NotCachedError, may_wait, only_cached
from s3archivefs.device import BlockDevice, BytesDevice, FileDevice, ReadAhead
from s3archivefs.entry import DirEntry
from s3archivefs.errors import (
    CodecUnavailableError,
    CorruptImageError,
    FormatError,
    LimitExceededError,
    NotSquashfsError,
    SquashfsError,
    TruncatedImageError,
    UnsupportedError,
    leads_nowhere,
)
from s3archivefs.file import SquashFile
from s3archivefs.forks import renew_after_fork
from s3archivefs.format import Compression, Superblock
from s3archivefs.image import SquashFS
from s3archivefs.image import open_image as open  # noqa: A004 -- as tarfile.open: callers write s3archivefs.open
from s3archivefs.inode import FileKind, Stat
from s3archivefs.locks import Lock
from s3archivefs.offset_device import OffsetDevice
from s3archivefs.single_flight import Flight, SingleFlight
from s3archivefs.sources import is_squashfs

if TYPE_CHECKING:
    from s3archivefs.extraction.errors import (
        AbsoluteLinkError,
        AbsolutePathError,
        ExtractionError,
        FilterError,
        LinkOutsideDestinationError,
        NameCollisionError,
        OutsideDestinationError,
        SpecialFileError,
    )
    from s3archivefs.extraction.filters import (
        Member,
        data_filter,
        fully_trusted_filter,
        tar_filter,
    )
    from s3archivefs.extraction.manner import Counts
    from s3archivefs.limits import Limits
    from s3archivefs.path import Path
    from s3archivefs.verify import Problem

__version__ = "0.1.0"
"""The distribution's version, as Semantic Versioning has it. It stands here and nowhere else."""

__all__ = [
    "AbsoluteLinkError",
    "AbsolutePathError",
    "BlockDevice",
    "BytesDevice",
    "CodecUnavailableError",
    "Compression",
    "CorruptImageError",
    "Counts",
    "DirEntry",
    "ExtractionError",
    "FileDevice",
    "FileKind",
    "FilterError",
    "Flight",
    "FormatError",
    "LimitExceededError",
    "Limits",
    "LinkOutsideDestinationError",
    "Lock",
    "Member",
    "NameCollisionError",
    "NotCachedError",
    "NotSquashfsError",
    "OffsetDevice",
    "OutsideDestinationError",
    "Path",
    "Problem",
    "ReadAhead",
    "SingleFlight",
    "SpecialFileError",
    "SquashFS",
    "SquashFile",
    "SquashfsError",
    "Stat",
    "Superblock",
    "TruncatedImageError",
    "UnsupportedError",
    "__version__",
    "data_filter",
    "fully_trusted_filter",
    "is_squashfs",
    "leads_nowhere",
    "may_wait",
    "only_cached",
    "open",
    "renew_after_fork",
    "tar_filter",
]

_EXTRACTION_ERRORS = (
    "AbsoluteLinkError",
    "AbsolutePathError",
    "ExtractionError",
    "FilterError",
    "LinkOutsideDestinationError",
    "NameCollisionError",
    "OutsideDestinationError",
    "SpecialFileError",
)
_FILTERS = ("Member", "data_filter", "fully_trusted_filter", "tar_filter")
_ON_FIRST_USE = {
    **dict.fromkeys(_EXTRACTION_ERRORS, "s3archivefs.extraction.errors"),
    **dict.fromkeys(_FILTERS, "s3archivefs.extraction.filters"),
    "Counts": "s3archivefs.extraction.manner",
    "Limits": "s3archivefs.limits",
    "Path": "s3archivefs.path",
    "Problem": "s3archivefs.verify",
}
"""Modules that are imported when a program first uses a public name of theirs.

With pathlib and dataclasses, which they need, they take as long to import as all of the others.
"""

if not TYPE_CHECKING:  # type checkers would take every name for one of the module's

    def __getattr__(name: str) -> object:
        if name not in _ON_FIRST_USE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_ON_FIRST_USE[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
