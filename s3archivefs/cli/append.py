"""`s3archivefs append`: add members to an image, which keeps the data that it has."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import count, examples
from s3archivefs.cli.changing import (
    abandoned_by_errors,
    add_change_arguments,
    changed,
    counts,
    inner_path,
    report,
)
from s3archivefs.cli.output import counted, human_size
from s3archivefs.cli.pack_sources import members_of, source_of
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.inode import FileKind
from s3archivefs.names import encode
from s3archivefs.printed import unprinted
from s3archivefs.writer.entries import Entry
from s3archivefs.writer.extending import ImageExtension, kept_bytes
from s3archivefs.writer.inputs.arranged import Exclusion, below
from s3archivefs.writer.output import padded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from s3archivefs.writer.entries import Member

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs append photos.sqfs new", "what is in the directory new"),
    ("s3archivefs append photos.sqfs new --into 2026/may", "below a directory of the image"),
    ("tar c docs | s3archivefs append a.sqfs -", "a tar stream"),
    ("s3archivefs append --dry-run s3://my-bucket/a.sqfs new", "what it would take"),
    note="Paths are as pack has them. A member of a path that the image has takes the place of "
    "what is there; a directory gets the members of both. Data of the image stays where it lies.",
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
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a directory, a tar stream (- is standard input), a zip archive, a squashfs image, "
        "any other file, or s3://bucket/prefix/",
    )
    parser.add_argument(
        "--into",
        default="/",
        metavar="PATH",
        help="directory of the image that the members go into, made if need be (/)",
    )
    parser.add_argument(
        "--level", type=count, metavar="N", help="the compressor's level for what is added"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out what matches, as pack does; may be given several times",
    )
    parser.add_argument(
        "--checksums",
        action="store_true",
        help="give each file that is added its SHA-256 as the attribute user.sha256",
    )
    parser.add_argument(
        "--xattrs",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add extended attributes of files on disk, which is the default",
    )
    add_progress(parser)
    add_change_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Add the sources to the image, and say what that took."""
    exclusion = Exclusion(options.exclude)
    into = inner_path(encode(unprinted(options.into)))
    with ExitStack() as opened, changed(options) as place:
        output = place.output() if not options.dry_run else _Nowhere()
        writer = ImageExtension(
            place.image, output, level=options.level, checksums=options.checksums
        )
        opened.enter_context(abandoned_by_errors(writer))
        sources = [
            source_of(
                each,
                exclusion,
                opened,
                xattrs=options.xattrs,
                without=place.identities,
                packed=_ignore,
            )
            for each in options.sources
        ]
        members: Iterable[Member] = members_of(sources, exclusion, [])
        if into:
            members = below(members, into)
        with progress_shown(options.progress) as progress:
            for member in members:
                is_file = isinstance(member, Entry) and member.kind is FileKind.FILE
                progress(is_file, writer.add(member))
        packed = writer.finish()
        files = counted(packed.files, "file", "files")
        what = f"{files} of {human_size(packed.content_bytes)} {{}}added"
        cost = place.cost([(0, kept_bytes(place.image))], padded(packed.size))
        report(options, packed.size, cost, what, **counts(packed))
    return 0


def _ignore(_: object) -> None:
    """Keep no list of what is added."""
