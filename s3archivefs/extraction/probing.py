"""What the target's file system can do, found out by trying."""

from __future__ import annotations

import os
from typing import NamedTuple

from s3archivefs.unnamed_files import has_unnamed_files, temporary_name

__all__ = ["PRIVATE", "Abilities", "create_named", "probe"]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


PRIVATE = 0o600
"""The mode of a file that is for its owner alone."""


class Abilities(NamedTuple):
    """What the target's file system can do."""

    unnamed_files: bool
    """Whether a file can be written before it has a name."""
    ignores_case: bool
    """Whether names that differ in case alone are the same."""


def create_named(name: bytes, directory: int, mode: int = PRIVATE) -> int:
    """Create a file and open it for writing."""
    return os.open(name, _CREATE, mode, dir_fd=directory)


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
    return Abilities(has_unnamed_files(directory), ignores_case)
