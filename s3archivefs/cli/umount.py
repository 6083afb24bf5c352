"""`s3archivefs umount`: unmount what `mount` mounted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import examples, filled
from s3archivefs.cli.exit_codes import OK
from s3archivefs.mount.mounting import MountError, mounted_at, unmount
from s3archivefs.mount.options import FILESYSTEM
from s3archivefs.printed import printed

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs umount /mnt", "unmount it, if no program uses it"),
    ("s3archivefs umount --lazy /mnt", "hide it now, and end it when no program uses it any more"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `umount`."""
    parser.add_argument(
        "directory", type=filled, metavar="DIR", help="directory that it is mounted at"
    )
    parser.add_argument(
        "-l",
        "--lazy",
        action="store_true",
        help="do not wait until no program uses it; a tree whose process was killed goes so too",
    )


def run(options: argparse.Namespace) -> int:
    """Unmount a tree of this package's."""
    directory = os.path.realpath(options.directory)
    found = mounted_at(directory)
    if found is not None and found.filesystem != FILESYSTEM:
        what = f"a {printed(found.filesystem)} is mounted there: unmount it with umount"
        raise MountError(f"{printed(directory)}: {what}")
    unmount(directory, lazily=options.lazy)
    return OK
