"""`s3archivefs remove`: remove members from an image, which keeps the data of all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import PATH_HELP, examples
from s3archivefs.cli.changing import add_change_arguments, changed, inner_path, report
from s3archivefs.cli.opened import place_meant
from s3archivefs.cli.output import counted

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs remove photos.sqfs /2019", "a directory, with all below it"),
    ("s3archivefs remove --dry-run s3://my-bucket/a.sqfs /old", "what it would take"),
    note="The data of what is removed stays in the image, though nothing shows it any more: pack "
    "the image anew to be rid of it.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `remove`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="the image to remove from, or its URL: s3://bucket/key"
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help=PATH_HELP)
    add_change_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Remove the paths from the image, and say what that took."""
    with changed(options) as change:
        for path in options.paths:
            change.writer.remove(inner_path(place_meant(change.place.image, path)))
        packed = change.writer.finish()
        report(options, change, packed, counted(len(options.paths), "path", "paths") + " {}removed")
    return 0
