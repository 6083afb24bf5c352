"""`s3archivefs verify`: read all of an image and name what is damaged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import add_image, add_json, examples
from s3archivefs.cli.exit_codes import OK, exit_code
from s3archivefs.cli.faults import complain
from s3archivefs.cli.opened import opened
from s3archivefs.cli.output import human_size, named, shown, write_json
from s3archivefs.cli.progress import add_progress, progress_shown
from s3archivefs.errors import FormatError
from s3archivefs.names import encode

if TYPE_CHECKING:
    import argparse

    from s3archivefs.verify import Problem

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs verify docs.sqfs", "read everything; exit code 0 if it is sound, 4 if damaged"),
    ("s3archivefs verify --checksums docs.sqfs", "compare checksums that pack stored, too"),
    ("s3archivefs verify --json docs.sqfs > problems", "problems for a program"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `verify`."""
    add_image(parser)
    parser.add_argument(
        "--checksums",
        action="store_true",
        help="hold each file against its SHA-256 in the attribute user.sha256, as pack and append "
        "set it with --checksums",
    )
    add_json(parser)
    add_progress(parser)


def run(options: argparse.Namespace) -> int:
    """Write each problem on a line, and at the end what was read."""
    code, count = OK, 0
    with_checksum = {True: 0, False: 0}

    def note(has_one: bool) -> None:  # noqa: FBT001 -- verify calls it so
        with_checksum[has_one] += 1

    with opened(options) as found:
        inode_count = found.image.superblock.inode_count
        with progress_shown(options.progress, files=inode_count, noun="inodes") as progress:
            for problem in found.image.verify(
                progress=progress, on_checksum=note if options.checksums else None
            ):
                count += 1
                code = max(code, exit_code(problem.error))
                if options.json:
                    write_json(_described(problem))
                else:
                    print(f"{shown(problem.path)}: {problem.error}")
        sys.stdout.flush()  # so that a terminal shows both in their order
        what = f"{progress.files:,} inodes and {human_size(progress.size)} of content read"
        if options.checksums:
            what += (
                f", {with_checksum[True]:,} of {sum(with_checksum.values()):,} files with checksums"
            )
        complain(f"{shown(found.name, sys.stderr)}: {what}, {_counted(count)}")
    return code


def _counted(count: int) -> str:
    if not count:
        return "no problem"
    return f"{count:,} problem{'' if count == 1 else 's'}"


def _described(problem: Problem) -> dict[str, object]:
    """Return a problem as an object of JSON (docs/json.md, "Problems")."""
    error = problem.error
    return {
        **named("path", encode(problem.path)),
        "error": type(error).__name__,
        "message": str(error),
        "offset": error.offset if isinstance(error, FormatError) else None,
    }
