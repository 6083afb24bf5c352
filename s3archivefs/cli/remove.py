"""`s3archivefs remove`: remove members from an image, which keeps the data of all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import PATH_HELP, examples
from s3archivefs.cli.changing import (
    abandoned_by_errors,
    add_change_arguments,
    changed,
    counts,
    inner_path,
    report,
)
from s3archivefs.cli.exit_codes import OK
from s3archivefs.cli.opened import place_meant
from s3archivefs.cli.output import counted
from s3archivefs.cli.read_back import add_verify, faults_of
from s3archivefs.writer.extending import ImageExtension
from s3archivefs.writer.output import padded
from s3archivefs.writer.postponed import PostponedOutput

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs remove photos.sqfs /2019", "a directory, with all below it"),
    ("s3archivefs remove --dry-run s3://my-bucket/a.sqfs /old", "what it would take"),
    note="The data of what is removed stays in the image, though nothing shows it any more, until "
    "s3archivefs compact drops it.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `remove`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="the image to remove from, or its URL: s3://bucket/key"
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help=PATH_HELP)
    add_verify(parser)
    add_change_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Remove the paths from the image, and say what that took."""
    with changed(options) as place:
        output = PostponedOutput()
        writer = ImageExtension(place.image, output)
        with abandoned_by_errors(writer):
            for path in options.paths:
                writer.remove(inner_path(place_meant(place.image, path)))
            packed = writer.finish()
        if not options.dry_run:
            output.send(place.output(output.superblock))
        what = counted(len(options.paths), "path", "paths") + " {}removed"
        cost = place.cost(output.ranges, padded(packed.size))
        report(options, packed.size, cost, what, **counts(packed))
    return faults_of(options.image) if options.verify and not options.dry_run else OK
