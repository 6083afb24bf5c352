"""What `pack` and `append` share: the sources, and how what they hold becomes members."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, count
from s3archivefs.cli.pack_sources import STANDARD_INPUT, Manifest, members_of, source_of
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.cli.read_back import add_verify
from s3archivefs.inode import FileKind
from s3archivefs.writer.entries import Entry
from s3archivefs.writer.inputs.arranged import Exclusion
from s3archivefs.writer.inputs.ordered import order_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from contextlib import ExitStack

    from s3archivefs.cli.pack_sources import Source
    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.image_writer import ImageWriter

__all__ = ["Packing", "add_packing_arguments", "add_sources"]


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the sources."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a directory, a tar stream (compressed or not; - is standard input), a zip archive, a "
        "squashfs image, any other file, or s3://bucket/prefix/, for all objects below it",
    )


def add_packing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is said of sources, and of what becomes of them."""
    parser.add_argument(
        "--level", type=count, metavar="N", help="the compressor's level for what is packed"
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out what matches, and all below: a pattern without a slash matches names at "
        "any depth, one with a slash paths from the source's root; may be given several times",
    )
    parser.add_argument(
        "--order",
        metavar="FILE",
        help="store the files first that this file names: a path a line, as ls -R prints it, from "
        "the image's root",
    )
    parser.add_argument(
        "--checksums",
        action="store_true",
        help="give each file that is packed its SHA-256 as the attribute user.sha256",
    )
    parser.add_argument(
        "--xattrs",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="pack extended attributes of files on disk, which is the default",
    )
    parser.add_argument(
        "--manifest",
        metavar="FILE",
        help="write a line of JSON to FILE for each object of S3 that is packed: key, etag, size",
    )
    add_verify(parser)
    add_progress(parser)


class Packing:
    """What the arguments ask to be packed; `opened` closes what is read.

    Raises UsageError for standard input given twice, and for a manifest that exists; none is
    written `without_manifest`.
    """

    def __init__(
        self, options: argparse.Namespace, opened: ExitStack, *, without_manifest: bool = False
    ) -> None:
        if options.sources.count(STANDARD_INPUT) > 1:
            raise UsageError("-: standard input comes once, and was given twice")
        self._options = options
        self._opened = opened
        self._exclusion = Exclusion(options.exclude)
        self._first = order_of(options.order) if options.order else []
        self._manifest = Manifest(None if without_manifest else options.manifest, opened)

    def sources(self, target: str, without: Container[tuple[int, int]]) -> list[Source]:
        """Return the sources, but what lies at a target's URL and files of inodes `without`."""
        return [
            source_of(
                each,
                self._exclusion,
                self._opened,
                xattrs=self._options.xattrs,
                target=target,
                without=without,
                packed=self._manifest.add,
            )
            for each in self._options.sources
        ]

    def members(self, sources: list[Source], into: bytes = b"") -> Iterable[Member]:
        """Return the members of the sources, below a directory, as `--order` wants them."""
        return members_of(sources, self._exclusion, self._first, into)

    def add(self, members: Iterable[Member], writer: ImageWriter) -> None:
        """Add members to an image, and show how far that is."""
        with progress_shown(self._options.progress) as progress:
            for member in members:
                is_file = isinstance(member, Entry) and member.kind is FileKind.FILE
                progress(is_file, writer.add(member))
