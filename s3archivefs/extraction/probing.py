"""What the target's file system can do, found out by trying."""

from __future__ import annotations

import os
from typing import NamedTuple

from s3archivefs.extraction.attributes import PROC_HANDLES

__all__ = [
    "PRIVATE",
    "Abilities",
    "create_named",
    "create_unnamed",
    "has_unnamed_files",
    "link_unnamed",
    "probe",
    "temporary_name",
]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_TMPFILE", 0)


PRIVATE = 0o600
"""The mode of a file that is for its owner alone."""


class Abilities(NamedTuple):
    """What the target's file system can do."""

    unnamed_files: bool
    """Whether a file can be written before it has a name."""
    ignores_case: bool
    """Whether names that differ in case alone are the same."""


def temporary_name() -> bytes:
    """Return a name that no one else uses, for what is not complete."""
    return b".s3archivefs-" + os.urandom(8).hex().encode()


def create_named(name: bytes, directory: int, mode: int = PRIVATE) -> int:
    """Create a file and open it for writing."""
    return os.open(name, _CREATE, mode, dir_fd=directory)


def create_unnamed(directory: int, mode: int = PRIVATE) -> int:
    """Create a file without a name, on the file system of an open directory."""
    return os.open(".", _UNNAMED, mode, dir_fd=directory)


def link_unnamed(handle: int, handles: int, name: bytes, directory: int) -> None:
    """Give a file without a name one; `handles` is an open PROC_HANDLES."""
    os.link(str(handle), name, src_dir_fd=handles, dst_dir_fd=directory, follow_symlinks=True)


def probe(directory: int) -> Abilities:
    """Find out what the file system of an open directory can do.

    Nothing is left of what is tried. Raises OSError where nothing can be created there.
    """
    name = temporary_name() + b"-Aa"
    os.close(create_named(name, directory))
    ignores_case = True
    try:
        os.stat(name.swapcase(), dir_fd=directory, follow_symlinks=False)
    except OSError:
        ignores_case = False
    os.unlink(name, dir_fd=directory)
    return Abilities(has_unnamed_files(directory, name), ignores_case)


def has_unnamed_files(directory: int, name: bytes) -> bool:
    """Find out whether files there can be written before they have a name.

    The name is used for that, and free again: Linux asks a file system for a link only after it has
    looked for the name. A process that is killed between the two leaves an empty file.
    """
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        handle = create_unnamed(directory)
    except OSError:
        return False
    try:
        handles = os.open(PROC_HANDLES, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            link_unnamed(handle, handles, name, directory)
            os.unlink(name, dir_fd=directory)
        finally:
            os.close(handles)
    except OSError:  # /proc is not there, or the file system cannot do it
        return False
    finally:
        os.close(handle)
    return True
