"""The members of a directory on disk, files of one directory together."""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.errors import PackingError
from s3archivefs.inode import FORMAT_BITS, FileKind
from s3archivefs.printed import printed
from s3archivefs.writer.entries import Entry, HardLink
from s3archivefs.writer.inputs.sizes import sizes_below
from s3archivefs.writer.xattrs import has_place

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.inputs.sizes import Sizes, Takes

__all__ = ["DirectoryInput", "FileInput"]

_KINDS = {bits: kind for kind, bits in FORMAT_BITS.items()}
_WITHOUT_XATTRS = {errno.ENOTSUP, errno.EPERM, errno.EACCES}


class FileInput:
    """Yields one file, or whatever else a path names, as the member of that name.

    Raises PackingError where it cannot be read.
    """

    def __init__(self, path: str | bytes | os.PathLike[str], *, xattrs: bool = True) -> None:
        self._path = os.fsencode(path)
        self._xattrs = xattrs

    def __iter__(self) -> Iterator[Member]:
        try:
            name = os.path.basename(os.path.abspath(self._path))  # noqa: PTH100, PTH119 -- bytes
            yield _entry(name, self._path, os.lstat(self._path), xattrs=self._xattrs)
        except OSError as error:
            raise _unreadable(error, error.filename) from error


class DirectoryInput:
    """Yields the members of a directory: its files and links by name, then its directories.

    Symlinks are members, and not followed. `takes` says of a path in the image, and of whether it
    is a directory, whether to take it with all below; `without` are files to leave out, by device
    and inode. Raises PackingError for what cannot be read.

    `size` and `repeated_sizes` look at all files first, by one walk for both, in this order.
    """

    def __init__(
        self,
        directory: str | bytes | os.PathLike[str],
        *,
        takes: Takes | None = None,
        without: Container[tuple[int, int]] = (),
        xattrs: bool = True,
    ) -> None:
        self._top = os.fsencode(directory)
        self._takes = takes
        self._without = without
        self._xattrs = xattrs
        self._sizes: Sizes | None = None

    def __iter__(self) -> Iterator[Member]:
        try:
            yield from self._members()
        except OSError as error:
            raise _unreadable(error, error.filename) from error

    def size(self) -> int:
        """Return the bytes of all files. Raises PackingError."""
        found = self._all_sizes()
        assert found is not None  # noqa: S101 -- nothing ended the walk
        return found.total

    def repeated_sizes(self) -> Container[int] | None:
        """Return the sizes that several files have, in bytes. Raises PackingError.

        None where files are so small that to find out takes longer than to hash them all.
        """
        found = self._all_sizes(if_worthwhile=True)
        return found.repeated if found is not None else None

    def _all_sizes(self, *, if_worthwhile: bool = False) -> Sizes | None:
        if self._sizes is None:
            try:
                self._sizes = sizes_below(
                    self._top, self._takes, self._without, if_worthwhile=if_worthwhile
                )
            except OSError as error:
                raise _unreadable(error, error.filename) from error
        return self._sizes

    def _members(self) -> Iterator[Member]:
        yield _entry(b"", self._top, os.stat(self._top), xattrs=self._xattrs)  # noqa: PTH116 -- bytes
        linked: dict[tuple[int, int], bytes] = {}
        pending = [(b"", self._top)]
        while pending:
            above, directory = pending.pop()
            below = []
            for name in sorted(os.listdir(directory)):  # noqa: PTH208 -- likewise
                path, place = (above + b"/" + name if above else name), directory + b"/" + name
                found = os.lstat(place)
                is_directory = stat.S_ISDIR(found.st_mode)
                if self._takes is not None and not self._takes(path, is_directory=is_directory):
                    continue
                inode = found.st_dev, found.st_ino
                if inode in self._without:
                    continue
                if is_directory:
                    below.append((path, place))
                    yield _entry(path, place, found, xattrs=self._xattrs)
                elif found.st_nlink > 1 and (first := linked.setdefault(inode, path)) is not path:
                    yield HardLink(path, first)
                else:
                    yield _entry(path, place, found, xattrs=self._xattrs)
            pending += reversed(below)


def _entry(path: bytes, place: bytes, found: os.stat_result, *, xattrs: bool) -> Entry:
    kind = _KINDS[stat.S_IFMT(found.st_mode)]
    mtime = found.st_mtime_ns // 1_000_000_000
    attributes = (path, kind, found.st_mode, found.st_uid, found.st_gid, mtime)
    own = _xattrs_of(place) if xattrs else ()
    if kind is FileKind.FILE:
        size = found.st_size
        return Entry(*attributes, partial(_File, place, size), size, True, b"", 0, own, True)  # noqa: FBT003 -- by name it takes longer
    if kind is FileKind.SYMLINK:
        return Entry(*attributes, target=os.readlink(place), xattrs=own)  # noqa: PTH115 -- likewise
    return Entry(*attributes, rdev=found.st_rdev, xattrs=own)


class _File:
    """The content of a file, opened, and nothing that has taken its place meanwhile.

    Reading costs one system call where a file is shorter than what is asked for, and still of the
    size that it was listed with; Python's own files take three.
    """

    __slots__ = ("_descriptor", "_is_at_end", "_left")

    def __init__(self, place: bytes, size: int) -> None:
        self._left = size
        self._is_at_end = False
        try:
            self._descriptor = os.open(
                place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except OSError as error:
            raise _unreadable(error, place) from error

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        if self._is_at_end:
            return b""
        # One byte more shows whether the file ends there.
        wanted = size if self._left < 0 else min(size, self._left + 1)
        content = os.read(self._descriptor, wanted)
        self._left -= len(content)
        self._is_at_end = not self._left and len(content) < wanted
        return content

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _xattrs_of(place: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the attributes that the format holds."""
    try:
        names = os.listxattr(place, follow_symlinks=False)
        if not names:
            return ()
        return tuple(
            (os.fsencode(name), os.getxattr(place, name, follow_symlinks=False))
            for name in names
            if has_place(os.fsencode(name))
        )
    except OSError as error:
        if error.errno in _WITHOUT_XATTRS:
            return ()
        raise


def _unreadable(error: OSError, place: str | bytes) -> PackingError:
    return PackingError(
        f"{printed(place)}: cannot be read: {error.strerror}; mend that, or leave it out"
    )
