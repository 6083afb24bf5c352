"""The members of a zip archive, in the order of its directory."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from calendar import timegm
from contextlib import closing
from functools import partial
from importlib import import_module
from lzma import LZMAError
from typing import TYPE_CHECKING, Any, cast

from s3archivefs.errors import PackingError
from s3archivefs.format import SYMLINK_MAX
from s3archivefs.inode import FileKind
from s3archivefs.names import encode
from s3archivefs.printed import printed
from s3archivefs.writer.entries import Entry
from s3archivefs.writer.inputs.guarded import PARSING_FAULTS, GuardedContent
from s3archivefs.writer.inputs.tar import plain_path

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from typing import BinaryIO

    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.inputs.sizes import Takes

__all__ = ["ZipInput"]

_UNIX = 3  # of ZipInfo.create_system: external_attr >> 16 is a mode
_FAT = 0  # likewise, of MS-DOS and Windows
_ENCRYPTED = 0x1  # a bit of ZipInfo.flag_bits
_TIMESTAMP = 0x5455  # the extra field "UT": seconds since the epoch
_HAS_MTIME = 0x1
_LAST_SIGNED_YEAR = 2037
"""The last whole year before 2**31 s after the epoch."""
_FAULTS: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    RuntimeError,  # NotImplementedError too
    *PARSING_FAULTS,
)
try:
    _zstd: Any = import_module("compression.zstd")
except ImportError:  # before Python 3.14, whose zipfile decodes zstd
    pass
else:
    _FAULTS = (*_FAULTS, _zstd.ZstdError)


class ZipInput:
    """Yields the members of a zip archive: files, directories and symlinks.

    Times that say no zone are taken for UTC. `takes` says of a path, and of whether it is a
    directory, whether to take it. Raises PackingError for what is no zip archive, is damaged,
    encrypted, or compressed in a way that Python's zipfile does not know.
    """

    def __init__(self, path: str | os.PathLike[str], *, takes: Takes | None = None) -> None:
        self._path = path
        self._takes = takes

    def __iter__(self) -> Iterator[Member]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                for info in archive.infolist():
                    path, is_directory = _path_of(info)
                    if self._takes is None or self._takes(path, is_directory=is_directory):
                        yield self._entry(archive, info, path, is_directory=is_directory)
        except _FAULTS as error:
            what = f"{self._path}: is no zip archive, or a damaged one: {error}"
            raise PackingError(what) from error

    def size(self) -> int:
        """Return the bytes of all files. Raises PackingError."""
        return sum(member.size or 0 for member in self if isinstance(member, Entry))

    def _entry(
        self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: bytes, *, is_directory: bool
    ) -> Entry:
        what = f"{self._path}: {printed(path)}"
        if info.flag_bits & _ENCRYPTED:
            raise PackingError(f"{what}: is encrypted; leave it out")
        mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
        mtime = _mtime(info)
        if is_directory:
            return Entry(path, FileKind.DIRECTORY, stat.S_IMODE(mode) or 0o755, mtime=mtime)
        if stat.S_ISLNK(mode):
            return Entry(
                path, FileKind.SYMLINK, 0o777, mtime=mtime, target=_target(archive, info, what)
            )
        return Entry(
            path,
            FileKind.FILE,
            stat.S_IMODE(mode) or 0o644,
            mtime=mtime,
            open=partial(_content, archive, info, what),
            size=info.file_size,
            reopens=True,
        )


def _path_of(info: zipfile.ZipInfo) -> tuple[bytes, bool]:
    """Return a member's path, and whether it is a directory.

    Programs of Windows wrote backslashes between names; Info-ZIP takes them for slashes likewise.
    """
    name = info.filename
    if info.create_system == _FAT and "/" not in name:
        name = name.replace("\\", "/")
    return plain_path(encode(name)), name.endswith("/")


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> GuardedContent:
    try:
        return GuardedContent(cast("BinaryIO", archive.open(info)), what, _FAULTS)
    except _FAULTS as error:
        raise PackingError(f"{what}: cannot be read: {error}; leave it out") from error


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> bytes:
    """Return a symlink's target; of one too long, no more than shows that."""
    with closing(_content(archive, info, what)) as content:
        return content.read(SYMLINK_MAX + 1)


def _mtime(info: zipfile.ZipInfo) -> int:
    """Return the time of the last change, in seconds since the epoch."""
    year, month, *rest = info.date_time
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _TIMESTAMP and len(field) >= 5 and field[0] & _HAS_MTIME:
            # Signed, but for writers that go on to 2106; the date, which begins in 1980, tells.
            return int.from_bytes(field[1:5], "little", signed=year < _LAST_SIGNED_YEAR)
    # Who has no date writes zeros, for month and day too; timegm knows days of 0 alone.
    return timegm((year, min(max(month, 1), 12), *rest, 0, 0, 0))
