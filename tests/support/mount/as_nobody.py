"""The command as an ordinary user: a process that drops root's rights, then runs it.

What the command imports is imported before, since that user may not be let into the directory where
Python lies. In a namespace of mounts of its own, /dev/fuse is for everybody, as systems have it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import syslog  # noqa: F401 -- for the same reason
from pathlib import Path

import s3archivefs
from s3archivefs.cli import main, mount, umount  # noqa: F401 -- likewise

NOBODY = 65534


def run() -> int:
    image, *arguments = sys.argv[1:]
    with s3archivefs.open(image) as fs:  # which imports what reading needs
        for top, _, names in fs.walk("/"):
            for name in names:
                with fs.open(f"{top}/{name}") as file:
                    file.read()
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    code = main(arguments)
    if not code:
        point = Path(arguments[-1])
        print(*sorted(each.name for each in point.iterdir()), (point / "block.txt").stat().st_size)
        return main(["umount", str(point)])
    return code


def share_fuse(at: Path) -> None:
    """In a new namespace, lay a node that everybody may open over /dev/fuse."""
    os.mknod(at, 0o020666, os.makedev(10, 229))
    at.chmod(0o666)
    subprocess.run(["mount", "--bind", str(at), "/dev/fuse"], check=True)


if __name__ == "__main__":
    sys.exit(run())
