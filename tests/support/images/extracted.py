"""What an extraction left in a directory, as the operating system has it."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, TypeAlias

import s3archivefs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.images.built import Image

Tree: TypeAlias = "dict[str, bytes | str | None]"
"""By path: a file's content, a symlink's target, None for a directory or special file."""


def opened(image: Image) -> s3archivefs.SquashFS:
    """The image, open."""
    return s3archivefs.open(s3archivefs.BytesDevice(bytes(image)))


def tree_of(top: Path) -> Tree:
    """All that is below a directory, not following symlinks."""
    found: Tree = {}
    for path in top.rglob("*"):
        name = path.relative_to(top).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = str(path.readlink())
        else:
            found[name] = path.read_bytes() if stat.S_ISREG(mode) else None
    return found


def mode_of(path: Path) -> int:
    """Permission bits of a path itself."""
    return stat.S_IMODE(path.lstat().st_mode)
