"""Files that have no name before they are complete, as Linux has them (O_TMPFILE).

An interruption leaves nothing of one. Other systems have none, which is found out here.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "PROC_HANDLES",
    "create_unnamed",
    "has_unnamed_files",
    "link_unnamed",
    "name_file",
    "open_handles",
    "temporary_name",
    "unnamed_file",
]

PROC_HANDLES = "/proc/self/fd"
"""Linux: where this process's open files have names."""


def unnamed_file(directory: Path, mode: int) -> int | None:
    """Create a file that may get a name in a directory; None where none can."""
    if sys.platform == "win32":  # which opens no directories
        return None
    try:
        opened = _open_directory(directory)
    except OSError:  # which creating one with a name tells
        return None
    try:
        return create_unnamed(opened, mode) if has_unnamed_files(opened) else None
    except OSError:
        return None
    finally:
        os.close(opened)


def name_file(handle: int, path: Path) -> None:
    """Give such a file its name. Raises FileExistsError where there is one, and OSError."""
    directory = _open_directory(path.parent)
    try:
        handles = open_handles()
        try:
            link_unnamed(handle, handles, os.fsencode(path.name), directory)
        finally:
            os.close(handles)
    finally:
        os.close(directory)


# ---- in open directories -------------------------------------------------------------------------


def temporary_name() -> bytes:
    """Return a name that no one else uses, for what is not complete."""
    return b".s3archivefs-" + os.urandom(8).hex().encode()


def has_unnamed_files(directory: int) -> bool:
    """Find out whether files there can be written before they have a name.

    It takes a temporary name, as Linux asks a file system for a link only after it has looked for
    the name. A process that is killed before that is free again leaves an empty file.
    """
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        handle = create_unnamed(directory)
    except OSError:
        return False
    try:
        handles = open_handles()
        try:
            name = temporary_name()
            link_unnamed(handle, handles, name, directory)
            os.unlink(name, dir_fd=directory)
        finally:
            os.close(handles)
    except OSError:  # /proc is not there, or the file system cannot do it
        return False
    finally:
        os.close(handle)
    return True


def create_unnamed(directory: int, mode: int = 0o600) -> int:
    """Create a file without a name, on the file system of an open directory."""
    return os.open(".", os.O_WRONLY | os.O_CLOEXEC | os.O_TMPFILE, mode, dir_fd=directory)


def open_handles() -> int:
    """Open PROC_HANDLES. Raises OSError where it is not there."""
    return _open_directory(PROC_HANDLES)


def link_unnamed(handle: int, handles: int, name: bytes, directory: int) -> None:
    """Give a file without a name one; `handles` is an open PROC_HANDLES."""
    os.link(str(handle), name, src_dir_fd=handles, dst_dir_fd=directory, follow_symlinks=True)


def _open_directory(path: str | Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
