"""`mount.s3archivefs`: what mount(8) runs for a line of /etc/fstab of that type."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.command import main as run_command
from s3archivefs.cli.exit_codes import INTERRUPTED, OK, USAGE
from s3archivefs.cli.faults import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_WRONG = 1
_FAILED = 32
_CODES = {OK: 0, USAGE: _WRONG, INTERRUPTED: 8}
"""Exit codes of mount(8) by those of the command; the others are failures."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount as mount(8) asks for, and return an exit code as mount(8) has it.

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
    try:
        given = parser.parse_args(arguments)
    except SystemExit as ended:
        return _WRONG if ended.code else 0
    if given.fake:
        return 0
    words = [word for given_words in given.options for word in given_words.split(",")]
    if "remount" in words:
        complain("the options of a mounted tree cannot be changed: unmount it, and mount it again")
        return _WRONG
    words = [word for word in words if word != "dirsync"]  # nothing is written
    options = [f"-o{','.join(words)}"] if words else []
    code = run_command(["mount", *options, "--", given.source, given.directory])
    return _CODES.get(code, _FAILED)


if __name__ == "__main__":  # pragma: no cover -- a process of its own, which nothing measures
    sys.exit(main())
