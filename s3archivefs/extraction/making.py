"""Members made in open directories: files, symlinks, hard links and special files.

A file is written without a name, or under a temporary one, and gets its own when it is complete. So
an interruption leaves no half file.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

from s3archivefs.content import is_hole
from s3archivefs.extraction.attributes import (
    Attributes,
    set_attributes,
    set_link_attributes,
    set_mode,
)
from s3archivefs.extraction.probing import PRIVATE, create_named, probe
from s3archivefs.unnamed_files import (
    create_unnamed,
    link_unnamed,
    open_handles,
    temporary_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from s3archivefs.extraction.folders import Existing, Folder, Folders

__all__ = ["Identity", "Maker", "Spot"]

Identity: TypeAlias = "tuple[int, ...]"
"""What tells a file from any other: device, inode, mode, size and time."""

_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV,
                       errno.EMLINK})  # fmt: skip


class Spot(Protocol):
    """Where a member is to be."""

    @property
    def folder(self) -> Folder:
        """The directory that it is to be in."""

    @property
    def name(self) -> bytes:
        """The name that it is to have there."""


class Maker:
    """Makes members; what stands under their names is kept, replaced or an error."""

    def __init__(self, folders: Folders, existing: Existing) -> None:
        self._folders = folders
        self._replaces = existing == "replace"
        top = folders.handle(folders.top)
        self._has_unnamed, self.ignores_case = probe(top)
        self._handles = -1
        if self._has_unnamed:
            self._handles = open_handles()

    def close(self) -> None:
        """Close what is open."""
        if self._has_unnamed:
            os.close(self._handles)

    def identity(self, spot: Spot) -> Identity | None:
        """Return the identity of what stands there, or None."""
        directory = self._folders.handle(spot.folder)
        try:
            there = os.stat(spot.name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return there.st_dev, there.st_ino, there.st_mode, there.st_size, there.st_mtime_ns

    def file(
        self, spot: Spot, pieces: Iterable[bytes | memoryview], size: int, wanted: Attributes
    ) -> list[str]:
        """Make a regular file of pieces, holes among them; return what `set_attributes` does.

        Raises OSError, FileExistsError where something stands there, and what `pieces` raises.
        """
        directory = self._folders.handle(spot.folder)
        # As the umask has it, unless a mode is set when all else is.
        mode = 0o666 if wanted.mode is None else PRIVATE
        handle, temporary = self._created(directory, mode)
        try:
            _write(handle, pieces, size)
            unset = set_attributes(handle, wanted)
            if temporary is None:
                self._put(directory, spot.name, partial(link_unnamed, handle, self._handles))
            else:
                self._put_renamed(directory, spot.name, temporary)
        finally:
            os.close(handle)
            if temporary is not None:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)
        return unset

    def symlink(self, spot: Spot, target: bytes, wanted: Attributes) -> list[str]:
        """Make a symlink; return and raise likewise."""

        def make(name: bytes, directory: int) -> list[str]:
            os.symlink(target, name, dir_fd=directory)
            return set_link_attributes(directory, name, wanted)

        return self._made_elsewhere(spot, make)

    def special(self, spot: Spot, kind: int, device: int, wanted: Attributes) -> list[str]:
        """Make a device, fifo or socket, `kind` being its bits of the mode; likewise."""

        def make(name: bytes, directory: int) -> list[str]:
            os.mknod(name, kind | PRIVATE, device, dir_fd=directory)
            unset = set_link_attributes(directory, name, wanted)
            if wanted.mode is not None:
                _set_mode(name, directory, kind, wanted.mode)
            return unset

        return self._made_elsewhere(spot, make)

    def link(self, first: Spot, spot: Spot) -> bool:
        """Make another name of what was made first; return whether the file system can."""
        source = os.dup(self._folders.handle(first.folder))  # the next handle may close it

        def make(name: bytes, directory: int) -> None:
            os.link(
                first.name,
                name,
                src_dir_fd=source,
                dst_dir_fd=directory,
                follow_symlinks=False,
            )

        try:
            self._put(self._folders.handle(spot.folder), spot.name, make)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
        finally:
            os.close(source)
        return True

    # ---- names -----------------------------------------------------------------------------------

    def _created(self, directory: int, mode: int) -> tuple[int, bytes | None]:
        """Return a new open file, and its temporary name if it has one."""
        if self._has_unnamed:
            try:
                return create_unnamed(directory, mode), None
            except OSError as error:  # another file system may be mounted there
                if error.errno not in _NO_UNNAMED:
                    raise
        temporary = temporary_name()
        return create_named(temporary, directory, mode), temporary

    def _made_elsewhere(self, spot: Spot, make: Callable[[bytes, int], list[str]]) -> list[str]:
        """Make something under a temporary name, and give it its own when it is complete."""
        directory = self._folders.handle(spot.folder)
        temporary = temporary_name()
        try:
            unset = make(temporary, directory)
            self._put_renamed(directory, spot.name, temporary)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
        return unset

    def _put(self, directory: int, name: bytes, make: Callable[[bytes, int], None]) -> None:
        """Make something under a name, in place of what stands there if so wanted."""
        try:
            make(name, directory)
        except FileExistsError:
            if not self._replaces:
                raise
            temporary = temporary_name()
            try:
                make(temporary, directory)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            finally:  # also where both are names of one file, which rename(2) leaves alone
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=directory)

    def _put_renamed(self, directory: int, name: bytes, temporary: bytes) -> None:
        """Give what has a temporary name its own."""
        if not self._replaces:
            try:
                os.link(
                    temporary,
                    name,
                    src_dir_fd=directory,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                )
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
            else:
                return
            # Without links only this is left: between look and renaming another may come.
            with suppress(FileNotFoundError):
                os.stat(name, dir_fd=directory, follow_symlinks=False)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def _write(handle: int, pieces: Iterable[bytes | memoryview], size: int) -> None:
    write = os.write
    ends_in_hole = False
    for piece in pieces:
        length = len(piece)
        ends_in_hole = is_hole(piece)
        if ends_in_hole:
            os.lseek(handle, length, os.SEEK_CUR)
            continue
        written = write(handle, piece)
        while written < length:  # as where a disk fills up: the next write says why
            written += write(handle, memoryview(piece)[written:])
    if ends_in_hole:
        os.ftruncate(handle, size)


def _set_mode(name: bytes, directory: int, kind: int, mode: int) -> None:
    """Set the mode of a special file, never of another in its place."""
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_IFMT(os.fstat(handle).st_mode) == kind:
            set_mode(handle, mode)
    finally:
        os.close(handle)
