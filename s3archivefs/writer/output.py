"""Where an image goes: bytes in order, and at the end its first bytes."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s3archivefs.errors import PackingError
from s3archivefs.replaceable import is_replaceable
from s3archivefs.unnamed_files import name_file, unnamed_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, TextIO

__all__ = ["FileOutput", "Output", "StreamOutput", "new_lines", "padded"]

_PADDING = 4096
"""Bytes that the length is a multiple of: Linux mounts no part of a sector."""
_MODE = 0o666
"""The mode of a new file, less what the umask takes."""


def padded(length: int) -> int:
    """Return the bytes that an image of so many takes with its padding."""
    return length + -length % _PADDING


class Output(Protocol):
    """Takes an image under way.

    `write` appends. `finish` puts the superblock in place of the first bytes, and makes the image
    appear; `abandon` leaves nothing, and does nothing once the image is whole.
    """

    def write(self, content: bytes) -> None:
        """Append to the image."""

    def finish(self, superblock: bytes) -> None:
        """Replace the first bytes by the superblock; the image is whole."""

    def abandon(self) -> None:
        """Remove what was written."""


def new_lines(path: str) -> TextIO:
    """Open a new file for lines of text. Raises FileExistsError where there is one."""
    return open(path, "x", encoding="utf-8")  # noqa: PTH123 -- pathlib takes 10 ms to import


class StreamOutput:
    """Writes to a binary file that can be sought, from its current position on.

    The file stays open. What an abandoned image has written stays in it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = file.tell()

    def write(self, content: bytes) -> None:
        """Append to the image."""
        self._file.write(content)

    def finish(self, superblock: bytes) -> None:
        """Write the padding and the superblock."""
        length = self._file.tell() - self._start
        self._file.write(b"\0" * (-length % _PADDING))
        end = self._file.tell()
        self._file.seek(self._start)
        self._file.write(superblock)
        self._file.seek(end)
        self._file.flush()

    def abandon(self) -> None:
        """Leave the file as it is."""


class FileOutput(StreamOutput):
    """Writes a new file, which appears under its name when the image is whole.

    It has none before, where the file system can do that, so that nothing stays of a process that
    is killed; else one of its own, `.NAME.….partial`.

    With `replace`, it takes the place of a file of that name. Linux lets only a file with a name do
    so: it has one of its own for a moment at the end. Raises FileExistsError where there is
    one and it may not, IsADirectoryError for a directory, PackingError for a device or the like,
    and OSError where none can be made.
    """

    def __init__(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        self._path = Path(path)
        self._replace = replace
        if not replace and os.path.lexists(self._path):
            raise self._exists()
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if os.fspath(path).endswith("/"):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        if not is_replaceable(os.fspath(path)):
            raise PackingError(f"{path}: no regular file: nothing can take its place")
        self._partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.partial")
        unnamed = self._unnamed()
        self._is_unnamed = unnamed is not None
        with self._named():
            self._own = unnamed or self._partial.open("xb")
        super().__init__(self._own)

    @property
    def identities(self) -> frozenset[tuple[int, int]]:
        """Device and inode of the file, and of what it replaces: none is input."""
        found = [os.fstat(self._own.fileno())]
        with suppress(OSError):
            found.append(self._path.stat())
        return frozenset((each.st_dev, each.st_ino) for each in found)

    def write(self, content: bytes) -> None:
        """Append to the image. Raises OSError that names the file, as for a full disk."""
        with self._named():
            super().write(content)

    def finish(self, superblock: bytes) -> None:
        """Write the padding and the superblock; give the file its name."""
        with self._named(), self._own:
            super().finish(superblock)
            os.fsync(self._own.fileno())
            if self._is_unnamed:
                name_file(self._own.fileno(), self._partial if self._replace else self._path)
        if self._replace or not self._is_unnamed:
            self._appear()

    def _unnamed(self) -> BinaryIO | None:
        """Return a new file that has no name yet; None where there are none."""
        handle = unnamed_file(self._path.parent, _MODE)
        return None if handle is None else os.fdopen(handle, "wb")

    def _appear(self) -> None:
        """Give the file its name in place of the partial one."""
        if self._replace:
            self._partial.replace(self._path)
            return
        try:
            os.link(self._partial, self._path, follow_symlinks=False)
        except FileExistsError:
            self.abandon()
            raise self._exists() from None
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise
            if os.path.lexists(self._path):  # a file system without hard links, such as FAT
                self.abandon()
                raise self._exists() from None
            self._partial.replace(self._path)
            return
        self._partial.unlink()

    def abandon(self) -> None:
        """Remove the file, unless it has its name."""
        with suppress(OSError):  # what could not be written
            self._own.close()
        with suppress(OSError):
            self._partial.unlink()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def _exists(self) -> FileExistsError:
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._path))
