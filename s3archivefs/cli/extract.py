"""`s3archivefs extract`: make files and directories of an image in a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import UsageError, add_image, add_json, add_paths, count, examples
from s3archivefs.cli.extracting import LIMITS, add_manner, check_manner, extract
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import write_json
from s3archivefs.extraction.manner import Counts
from s3archivefs.extraction.selection import Selection

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs extract docs.sqfs -C out", "everything, below out/"),
    ("s3archivefs extract s3://bucket/a.sqfs /docs /src --exclude '*.tmp'", "two directories"),
    ("s3archivefs extract docs.sqfs --strip-components 1 -n -C out", "go on where it was ended"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `extract`."""
    add_image(parser)
    add_paths(parser, default="/")
    parser.add_argument(
        "-C",
        "--directory",
        default=".",
        metavar="DIR",
        help="where members are made, by their paths; made itself if it is missing (.)",
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="GLOB",
        help="only what matches, and all below: a pattern without a slash matches names at any "
        "depth, one with a slash paths from the image's root; may be given several times",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="likewise what is left out, whatever includes it",
    )
    parser.add_argument(
        "--strip-components",
        type=count,
        default=0,
        metavar="N",
        help="leave the first N names of each path out",
    )
    add_manner(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Extract the paths; with --json, write at the end what was made, whatever ends it."""
    if not options.directory:
        raise UsageError("give a directory after -C, as . for the one you are in")
    check_manner(options)
    try:
        Selection(options.include, options.exclude)
    except ValueError as error:
        raise UsageError(str(error)) from error
    made = Counts()
    with opened(options, LIMITS) as found:
        try:
            extract(
                found,
                options.directory,
                options,
                made=made,
                include=options.include,
                exclude=options.exclude,
                strip_components=options.strip_components,
            )
        finally:
            if options.json:
                write_json(
                    {
                        "files": made.files,
                        "size": made.bytes,
                        "directories": made.directories,
                        "others": made.others,
                        "kept": made.kept,
                    }
                )
    return found.faults.code
