"""Files that lie on other machines, or behind another process: even their attributes may hang."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["may_hang"]

_MOUNTS = Path("/proc/self/mountinfo")  # proc_pid_mountinfo(5)
_FIELDS = 6  # at least, before the hyphen
_REMOTE = frozenset(
    {
        *("9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "glusterfs"),
        *("gpfs", "lustre", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "virtiofs"),
    }
)
"""File systems that ask somebody; besides those of FUSE, `fuse.*`."""


def may_hang(path: str, mounts: Path = _MOUNTS) -> bool:
    """Return whether a file lies in a file system that asks another machine or process.

    Without a list of mounts, as on other systems than Linux, none is known to.
    """
    try:
        # As bytes: names may hold what ends a line of text elsewhere, such as a carriage return.
        lines = mounts.read_bytes().split(b"\n")
        file = Path(path).resolve()
    except (OSError, RuntimeError):  # or symlinks lead in a circle
        return False
    above = {os.fsencode(each) for each in (file, *file.parents)}
    longest, kind = b"", ""
    for line in lines:
        mounted, _, system = line.partition(b" - ")
        if len(fields := mounted.split(b" ")) < _FIELDS:
            continue
        point = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), fields[4])
        if point in above and len(point) >= len(longest):  # of two at one point, the later one
            longest, kind = point, os.fsdecode(system.partition(b" ")[0])
    return kind in _REMOTE or kind.startswith("fuse.")
