"""`s3archivefs mount`: mount an image, or several, as a read-only tree of files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, count, examples, filled
from s3archivefs.cli.exit_codes import OK, exit_code
from s3archivefs.cli.faults import complain, line_of
from s3archivefs.cli.opened import open_named
from s3archivefs.limits import Limits
from s3archivefs.mount.memory import default_cache_mib
from s3archivefs.mount.options import parse_options
from s3archivefs.mount.program import Archives, mount_in_background, mount_in_foreground
from s3archivefs.names import encode

if TYPE_CHECKING:
    import argparse

    from s3archivefs.image import SquashFS

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs mount docs.sqfs /mnt", "the image at /mnt, until it is unmounted"),
    ("s3archivefs mount -f s3://bucket/a.sqfs /mnt", "one in S3, until Ctrl-C"),
    ("s3archivefs mount a=one.sqfs b/c=two.sqfs /mnt", "several, at /mnt/a and /mnt/b/c"),
    ("s3archivefs umount /mnt", "the end of it"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `mount`."""
    parser.add_argument(
        "archives",
        nargs="+",
        metavar="[PREFIX=]IMAGE",
        help="path or URL of an image; of several, each with the path that it gets below DIR",
    )
    parser.add_argument("directory", type=filled, metavar="DIR", help="directory to mount at")
    parser.add_argument(
        "--offset",
        type=count,
        metavar="BYTES",
        help="byte of the file at which each image starts (0)",
    )
    parser.add_argument(
        "-f",
        "--foreground",
        action="store_true",
        help="stay until it is unmounted, and tell faults here, not in the system's log",
    )
    parser.add_argument(
        "--allow-other",
        action="store_true",
        help="let other users in, as far as the modes in the image let them",
    )
    parser.add_argument(
        "-o",
        dest="options",
        action="append",
        default=[],
        metavar="OPTIONS",
        help="options as in /etc/fstab, with commas in between, such as cache_mib=N for the MiB of"
        " decoded blocks to keep of each image; docs/mount.md lists them",
    )


def run(options: argparse.Namespace) -> int:
    """Mount, and return once the tree is there, or is unmounted if in the foreground."""
    words = [*options.options]
    words += ["allow_other"] if options.allow_other else []
    words += [] if options.offset is None else [f"offset={options.offset}"]
    how = parse_options(",".join(words))
    sources = _sources(options.archives)
    cache_mib = default_cache_mib(len(sources)) if how.cache_mib is None else how.cache_mib
    limits = Limits(cache_bytes=cache_mib << 20)

    def open_image(source: str) -> SquashFS:
        options.image = source  # for the line of an error
        return open_named(source, offset=how.offset, limits=limits)

    archives = Archives(sources, open_image)
    if options.foreground:
        mount_in_foreground(archives, options.directory, how, complain)
        # A thread may still wait for a store, and the interpreter would wait for the thread.
        os._exit(OK)

    def explain(error: Exception) -> int:
        complain(line_of(error, getattr(options, "image", None)))
        return exit_code(error)

    return mount_in_background(archives, options.directory, how, explain)


def _sources(archives: list[str]) -> dict[bytes, str]:
    """Return the images by their paths in the tree.

    A single one may be all of it.
    """
    sources: dict[bytes, str] = {}
    for archive in archives:
        prefix, equals, source = archive.partition("=")
        if len(archives) == 1 and (not equals or ":" in prefix or os.path.lexists(archive)):
            return {b"": archive}
        path = encode(prefix.strip("/"))
        if not equals or not path or not source:
            raise UsageError(f"of several images each needs a path below DIR: PREFIX={archive}")
        if path in sources:
            raise UsageError(f"two images at the same path: {prefix}")
        sources[path] = source
    return sources
