"""`s3archivefs cp`: copy a file or directory out of an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import (
    PATH_HELP,
    UsageError,
    add_image,
    add_no_op,
    examples,
)
from s3archivefs.cli.extracting import LIMITS, add_manner, check_manner, extract
from s3archivefs.cli.opened import opened
from s3archivefs.inode import FileKind
from s3archivefs.names import decode
from s3archivefs.replaceable import is_replaceable

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs cp docs.sqfs /README.md .", "one file, to ./README.md"),
    ("s3archivefs cp s3://bucket/a.sqfs/linux linux-6.1", "a directory, under another name"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `cp`."""
    add_image(parser)
    parser.add_argument("paths", nargs="?", metavar="PATH", help=PATH_HELP)
    parser.add_argument(
        "destination",
        metavar="DEST",
        help="the copy, or a directory that it is put into, under its own name",
    )
    parser.set_defaults(default_path=None)
    add_no_op(
        parser, "-r", "-R", "--recursive", why="changes nothing: directories are copied whole"
    )
    add_manner(parser)


def run(options: argparse.Namespace) -> int:
    """Copy the file or directory that the path, or a symlink, leads to."""
    check_manner(options)
    options.paths = [] if options.paths is None else [options.paths]
    with opened(options, LIMITS) as found:
        (path,) = found.paths
        with found.faults.reported(path):
            place = found.image.realpath(path, strict=True)
            found.paths[:] = [place]
            own = _name_of(path) or _name_of(place)
            is_directory = found.image.stat(place).kind is FileKind.DIRECTORY
            target, name = _place(options.destination, own, is_directory=is_directory)
            extract(found, target, options, name=name)
    return found.faults.code


def _name_of(path: bytes) -> str:
    """Return the last name of a path, empty where that is none of a member."""
    name = decode(path.rstrip(b"/").rpartition(b"/")[2])
    return "" if name in {".", ".."} else name


def _place(destination: str, name: str, *, is_directory: bool) -> tuple[str, str | None]:
    """Return the directory of the copy and its name, None for the root's contents."""
    if not destination:
        raise UsageError("DEST is empty: give the copy's name, or a directory such as .")
    if os.path.isdir(destination):  # noqa: PTH112 -- pathlib takes 10 ms to import
        return destination, name or None
    if not is_replaceable(destination):
        raise UsageError(f"{destination} is no regular file: write there with s3archivefs cat")
    if destination.endswith("/") and not is_directory:
        raise UsageError(f"there is no directory {destination} to put a file into")
    above, _, name = destination.rstrip("/").rpartition("/")
    above = above or ("/" if destination.startswith("/") else ".")
    if not os.path.isdir(above):  # noqa: PTH112 -- likewise
        raise UsageError(f"there is no directory {above} to put {name} into")
    return above, name
