"""`mount.s3archivefs`: what mount(8) runs for a line of /etc/fstab of that type."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.command import main as run_command
from s3archivefs.cli.exit_codes import INTERRUPTED, OK, USAGE
from s3archivefs.cli.faults import complain
from s3archivefs.mount.options import OptionError, parse_options

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MEANINGS", "NAME", "main", "make_parser"]

NAME = "mount.s3archivefs"

_WRONG = 1
_FAILED = 32
_INTERRUPTED = 8
_CODES = {OK: 0, USAGE: _WRONG, INTERRUPTED: _INTERRUPTED}
"""Exit codes of mount(8) by those of the command; the others are failures."""
MEANINGS = {
    0: "mounted",
    _WRONG: "wrong arguments or options",
    _INTERRUPTED: "ended by Ctrl-C",
    _FAILED: "the mount failed",
}
"""By code what it means, in the words of a help text."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Mount as mount(8) asks for, and return an exit code as mount(8) has it."""
    parser = make_parser()
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
    if given.sloppy:
        words = [word for word in words if _is_known(word)]
    options = [f"-o{','.join(words)}"] if words else []
    code = run_command(["mount", *options, "--", given.source, given.directory])
    return _CODES.get(code, _FAILED)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of what mount(8) gives each helper: a source, a directory, options."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Mount an image for mount(8), as a line of /etc/fstab of the type s3archivefs"
        " asks for. People use `s3archivefs mount`, which tells of the options.",
    )
    parser.add_argument("source", metavar="IMAGE", help="path or URL of an image")
    parser.add_argument("directory", metavar="DIR", help="directory to mount at")
    parser.add_argument(
        "-o",
        dest="options",
        action="append",
        default=[],
        metavar="OPTIONS",
        help="as `s3archivefs mount` takes, with commas between them; may be given several times",
    )
    parser.add_argument("-f", dest="fake", action="store_true", help="check the arguments alone")
    parser.add_argument("-s", dest="sloppy", action="store_true", help="pass unknown options over")
    for flag in "nvrw":
        parser.add_argument(f"-{flag}", action="store_true", help=argparse.SUPPRESS)
    for option in "tN":
        parser.add_argument(f"-{option}", help=argparse.SUPPRESS)
    return parser


def _is_known(word: str) -> bool:
    try:
        parse_options(word)
    except OptionError:
        return False
    return True


if __name__ == "__main__":  # pragma: no cover -- a process of its own, which nothing measures
    sys.exit(main())
