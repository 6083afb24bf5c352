"""`s3archivefs umount`: unmount what `mount` mounted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import examples, filled
from s3archivefs.cli.exit_codes import OK
from s3archivefs.mount.mounting import unmount

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
    """Unmount."""
    unmount(os.path.realpath(options.directory), lazily=options.lazy)
    return OK
