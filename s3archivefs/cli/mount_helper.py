"""`mount.s3archivefs`: what mount(8) runs for a line of /etc/fstab of that type."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.command import main as run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount as mount(8) asks for, and return the exit code.

    Its arguments are those that mount(8) gives each helper: a source, a directory, and options.
    """
    parser = argparse.ArgumentParser(
        prog="mount.s3archivefs",
        description="Mount an image for mount(8). People use `s3archivefs mount`.",
    )
    parser.add_argument("source", metavar="IMAGE", help="path or URL of an image")
    parser.add_argument("directory", metavar="DIR", help="directory to mount at")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="OPTIONS")
    parser.add_argument("-f", dest="fake", action="store_true", help="check the arguments alone")
    for flag in "nsvrw":
        parser.add_argument(f"-{flag}", action="store_true", help=argparse.SUPPRESS)
    for option in "tN":
        parser.add_argument(f"-{option}", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.fake:
        return 0
    options = [f"-o{words}" for words in given.options]
    return run_command(["mount", *options, "--", given.source, given.directory])


if __name__ == "__main__":  # pragma: no cover -- a process of its own, which nothing measures
    sys.exit(main())
