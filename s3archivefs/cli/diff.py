"""`s3archivefs diff`: tell how an image differs from another, or from a directory."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, add_image, add_json, add_no_op, examples
from s3archivefs.cli.colours import add_colours, colours_of, painted
from s3archivefs.cli.differences import Aspects, differences
from s3archivefs.cli.exit_codes import DIFFERENT, OK, TROUBLE
from s3archivefs.cli.faults import Faults
from s3archivefs.cli.output import json_line, named, shown
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.cli.sides import side_of

if TYPE_CHECKING:
    from s3archivefs.cli.differences import Difference
    from s3archivefs.cli.sides import Side

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs diff old.sqfs s3://bucket/new.sqfs", "two images; exit code 1 if they differ"),
    ("s3archivefs diff docs.sqfs/linux linux", "a directory of an image, and one on disk"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `diff`."""
    add_image(parser)
    parser.add_argument(
        "other",
        metavar="IMAGE|DIR",
        help="another image, to which a path inside may be appended too; either may be a directory "
        "on disk",
    )
    parser.add_argument(
        "--owners",
        action=argparse.BooleanOptionalAction,
        help="compare owners and groups (of two images, not with a directory)",
    )
    parser.add_argument(
        "--times", action="store_true", help="compare times of modification, in seconds"
    )
    add_no_op(parser, "-r", "--recursive", why="changes nothing: all below is compared")
    add_json(parser)
    add_colours(parser)
    add_progress(parser)


def run(options: argparse.Namespace) -> int:
    """Write each difference on a line; return 0 for none, 1 for some, else more."""
    with ExitStack() as opened:
        sides: list[Side] = []
        for location, offset in ((options.image, options.offset), (options.other, 0)):
            faults = Faults(location)
            with faults.reported():
                sides.append(opened.enter_context(side_of(location, offset)))
            if faults.code:
                return max(faults.code, TROUBLE)
        one, other = sides
        if not one.is_image and not other.is_image:
            raise UsageError("neither is an image: diff -r compares two directories")
        progress = opened.enter_context(progress_shown(options.progress, noun="paths"))
        form = _object if options.json else _line
        colour = None if options.json or colours_of(options) is None else _coloured
        code = OK
        for each in differences(one, other, _aspects(options, sides), progress):
            line = form(one, other, each)
            sys.stdout.write(line if colour is None else colour(each, line))
            code = DIFFERENT
        fault = max(one.faults.code, other.faults.code)
    return max(fault, TROUBLE) if fault else code


def _aspects(options: argparse.Namespace, sides: list[Side]) -> Aspects:
    """Return what is to be compared: with a directory on disk, what any extraction keeps."""
    if all(side.is_image for side in sides):
        return Aspects(options.owners is not False, options.times, symlink_modes=True, xattrs=b"")
    return Aspects(bool(options.owners), options.times, symlink_modes=False, xattrs=b"user.")


def _line(one: Side, other: Side, found: Difference) -> str:
    """Return a difference as a line in the manner of diff -rq."""
    for what, side in (("only_in_first", one), ("only_in_second", other)):
        if found.what == what:
            above, _, name = found.place.rpartition(b"/")
            return f"Only in {shown(side.name + above or b'/')}: {shown(name)}\n"
    first, second = (shown(side.name + found.place or b"/") for side in (one, other))
    return f"Files {first} and {second} differ: {_what(found)}\n"


def _coloured(found: Difference, line: str) -> str:
    """Return a line: red if it is gone, green if it is new, else yellow."""
    code = {"only_in_first": "31", "only_in_second": "32"}.get(found.what, "33")
    return painted(line.rstrip("\n"), code) + "\n"


def _what(found: Difference) -> str:
    if found.xattr is not None:
        return f"{found.what} {shown(found.xattr)}"
    if found.first is None:
        return found.what
    first, second = (
        shown(value) if isinstance(value, bytes) else value for value in (found.first, found.second)
    )
    return f"{found.what} {first}, {second}"


def _object(one: Side, other: Side, found: Difference) -> str:  # noqa: ARG001 -- as _line
    """Return a difference as a line of JSON (docs/json.md, "Differences")."""
    item: dict[str, object] = {**named("path", found.place or b"/"), "difference": found.what}
    if found.xattr is not None:
        item |= named("name", found.xattr)
    for key, value in (("first", found.first), ("second", found.second)):
        if isinstance(value, bytes):
            item |= named(key, value)
        elif value is not None:
            item[key] = value
    return json_line(item)
