"""`s3archivefs compact`: drop the dead data of an image, and keep the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import count, examples
from s3archivefs.cli.changing import abandoned_by_errors, add_change_arguments, changed, report
from s3archivefs.cli.exit_codes import OK
from s3archivefs.cli.output import human_size, shown
from s3archivefs.cli.packing_advice import DEAD_PERCENT
from s3archivefs.cli.read_back import add_verify, faults_of
from s3archivefs.writer.compacting import ImageCompaction
from s3archivefs.writer.extending import Cost
from s3archivefs.writer.output import padded
from s3archivefs.writer.postponed import PostponedOutput

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs compact photos.sqfs", "drop what remove and append left behind"),
    ("s3archivefs compact --dry-run --threshold 0 s3://my-bucket/a.sqfs", "what it would take"),
    note="Dead data are blocks that no member refers to. Others stay as they are compressed, in "
    "their order. A block that small files share goes when the last of them is removed.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `compact`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="the image to compact, or its URL: s3://bucket/key"
    )
    parser.add_argument(
        "--threshold",
        type=count,
        default=DEAD_PERCENT,
        metavar="PERCENT",
        help="leave an image as it is of which less than that is dead (%(default)s)",
    )
    add_verify(parser)
    add_change_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Compact the image, where it is worth it, and say what that took."""
    with changed(options) as place:
        output = PostponedOutput()
        writer = ImageCompaction(place.image, output)
        with abandoned_by_errors(writer):
            dead, share = writer.dead, writer.share
            if not dead or share < options.threshold / 100:
                writer.abandon()
                _leave(options, place.image.superblock.bytes_used, dead)
                return _read_back(options)
            packed = writer.finish()
        if not options.dry_run:
            output.send(place.output(output.superblock))
        cost = place.cost(output.ranges, padded(packed.size))
        what = f"{human_size(dead)} of dead data {{}}dropped"
        report(options, packed.size, cost, what, dead=dead, compacted=not options.dry_run)
    return _read_back(options)


def _read_back(options: argparse.Namespace) -> int:
    """Return the exit code of reading the image, where that is asked for."""
    return faults_of(options.image) if options.verify and not options.dry_run else OK


def _leave(options: argparse.Namespace, size: int, dead: int) -> None:
    """Say that the image stays as it is."""
    if options.json:
        report(options, size, Cost(0, 0, 0, 0), "", dead=dead, compacted=False)
        return
    why = "nothing of it is dead"
    if dead:
        why = (
            f"{human_size(dead)} of {human_size(size)} are dead, {dead / size:.1%}, less than "
            f"the {options.threshold} % of --threshold"
        )
    print(f"{shown(options.image)}: stays as it is: {why}")
