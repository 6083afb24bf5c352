"""`s3archivefs append`: add members to an image, which keeps the data that it has."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import examples
from s3archivefs.cli.changing import (
    abandoned_by_errors,
    add_change_arguments,
    changed,
    counts,
    inner_path,
    report,
)
from s3archivefs.cli.exit_codes import OK
from s3archivefs.cli.output import counted, human_size
from s3archivefs.cli.pack_sources import size_of
from s3archivefs.cli.packing import Packing, add_packing_arguments, add_sources
from s3archivefs.cli.read_back import faults_of
from s3archivefs.names import encode
from s3archivefs.printed import unprinted
from s3archivefs.writer.extending import ImageExtension, kept_bytes
from s3archivefs.writer.output import padded

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs append photos.sqfs new", "what is in the directory new"),
    ("s3archivefs append photos.sqfs new --into 2026/may", "below a directory of the image"),
    ("tar c docs | s3archivefs append a.sqfs -", "a tar stream"),
    ("s3archivefs append --dry-run s3://my-bucket/a.sqfs new", "what it would take"),
    note="Paths are as pack has them. A member of a path that the image has takes the place of "
    "what is there; a directory gets the members of both. Data of the image stays where it lies. "
    "In S3, --dry-run too fetches what it compares with files that are added.",
)


class _Nowhere:
    """Takes an image that nobody keeps."""

    def keep(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Do nothing."""

    def write(self, content: bytes) -> None:
        """Do nothing."""

    def finish(self, superblock: bytes) -> None:
        """Do nothing."""

    def abandon(self) -> None:
        """Do nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `append`."""
    parser.add_argument(
        "image", metavar="IMAGE", help="the image to add to, or its URL: s3://bucket/key"
    )
    add_sources(parser)
    parser.add_argument(
        "--into",
        default="/",
        metavar="PATH",
        help="directory of the image that the members go into, made if need be (/)",
    )
    add_packing_arguments(parser)
    add_change_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Add the sources to the image, and say what that took."""
    into = inner_path(encode(unprinted(options.into)))
    with ExitStack() as opened, changed(options) as place:
        packing = Packing(options, opened, without_manifest=options.dry_run)
        sources = packing.sources(options.image, place.identities)
        added = partial(size_of, sources)
        output = place.output(added=added) if not options.dry_run else _Nowhere()
        writer = ImageExtension(
            place.image,
            output,
            level=options.level,
            checksums=options.checksums,
            claimed=place.claimed,
        )
        opened.enter_context(abandoned_by_errors(writer))
        packing.add(packing.members(sources, into), writer)
        packed = writer.finish()
        cost = place.cost([(0, kept_bytes(place.image))], padded(packed.size))
    code = OK
    if options.verify and not options.dry_run:
        code = faults_of(options.image, checksums=options.checksums)
    files = counted(packed.files, "file", "files")
    what = f"{files} of {human_size(packed.content_bytes)} {{}}added"
    report(options, packed.size, cost, what, **counts(packed))
    return code
