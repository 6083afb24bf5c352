"""What an extraction left in a directory, as the operating system has it."""

from __future__ import annotations

import os
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


def open_to_owner(top: Path) -> None:
    """Let its owner read and remove all of a tree, who need not be root."""
    os.chmod(top, 0o700)  # noqa: PTH101 -- as below
    for above, directories, files in os.walk(os.fsencode(top)):
        for name in directories + files:
            path = os.path.join(above, name)  # noqa: PTH118 -- no Path has bytes
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                os.chmod(path, 0o700 if stat.S_ISDIR(mode) else 0o600)  # noqa: PTH101


def mode_of(path: Path) -> int:
    """Permission bits of a path itself."""
    return stat.S_IMODE(path.lstat().st_mode)
