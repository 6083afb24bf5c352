"""Mode, owner, times and extended attributes of what is extracted, set on an open file."""

from __future__ import annotations

import os
from typing import NamedTuple, TypeAlias

from s3archivefs.printed import printed
from s3archivefs.unnamed_files import PROC_HANDLES

__all__ = [
    "LEFT",
    "NO_ID",
    "Attributes",
    "Xattrs",
    "set_attributes",
    "set_link_attributes",
    "set_mode",
]

Xattrs: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Names and values of extended attributes."""

NO_ID = -1
"""The owner or group that leaves it as it is."""


class Attributes(NamedTuple):
    """The attributes to be set; None or NO_ID leaves one to the system."""

    mode: int | None = None
    uid: int = NO_ID
    gid: int = NO_ID
    mtime: int | None = None
    """Seconds since the epoch."""
    xattrs: Xattrs = ()


LEFT = Attributes()
"""All attributes left to the operating system."""


def set_attributes(handle: int, wanted: Attributes) -> list[str]:
    """Set the attributes of an open file or directory.

    Returns why extended attributes are not set, of which the file system may take none or not all.
    """
    # In this order: a new owner clears setuid and capabilities, and a mode may forbid the owner to
    # set extended attributes.
    if wanted.uid != NO_ID or wanted.gid != NO_ID:
        os.chown(handle, wanted.uid, wanted.gid)
    unset = _set_xattrs(handle, wanted, follow_symlinks=True) if wanted.xattrs else []
    if wanted.mode is not None:
        os.fchmod(handle, wanted.mode)
    if wanted.mtime is not None:
        os.utime(handle, (wanted.mtime, wanted.mtime))
    return unset


def set_link_attributes(directory: int, name: bytes, wanted: Attributes) -> list[str]:
    """Set likewise the attributes of a symlink or special file itself, in an open directory.

    The mode is left out: a symlink has none, and that of a special file is set otherwise.
    """
    unset = []
    if wanted.uid != NO_ID or wanted.gid != NO_ID:
        os.chown(name, wanted.uid, wanted.gid, dir_fd=directory, follow_symlinks=False)
    if wanted.xattrs:  # for which there is no call relative to a directory
        path = os.fsencode(f"{PROC_HANDLES}/{directory}/") + name
        unset = _set_xattrs(path, wanted, follow_symlinks=False)
    if wanted.mtime is not None:
        times = (wanted.mtime, wanted.mtime)
        os.utime(name, times, dir_fd=directory, follow_symlinks=False)
    return unset


def set_mode(place: int, mode: int) -> None:
    """Set the mode of what is open with O_PATH, for which fchmod(2) is none."""
    os.chmod(f"{PROC_HANDLES}/{place}", mode)  # noqa: PTH101 -- an open file


def _set_xattrs(place: int | bytes, wanted: Attributes, *, follow_symlinks: bool) -> list[str]:
    unset = []
    for name, value in wanted.xattrs:
        try:
            os.setxattr(place, name, value, follow_symlinks=follow_symlinks)
        except OSError as error:
            unset.append(f"the extended attribute {printed(name)} is not set: {error.strerror}")
    return unset
