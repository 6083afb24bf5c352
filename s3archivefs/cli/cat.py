"""`s3archivefs cat`: write files of an image to standard output."""

from __future__ import annotations

import argparse
import re
import sys
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import add_image, add_paths, examples
from s3archivefs.cli.opened import opened

if TYPE_CHECKING:
    from s3archivefs.file import SquashFile

__all__ = ["EXAMPLES", "add_arguments", "run"]

EXAMPLES = examples(
    ("s3archivefs cat docs.sqfs /README.md", "one file"),
    ("s3archivefs cat --range 0-1023 s3://bucket/a.sqfs/big.bin", "its first 1,024 bytes"),
    ("s3archivefs cat --range -100 docs.sqfs /log", "the last 100 bytes"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `cat`."""
    add_image(parser)
    add_paths(parser)
    parser.add_argument(
        "--range",
        type=_range,
        metavar="A-B",
        help="of each file only bytes A to B, both included and counted from 0; A- to the end, "
        "-N the last N",
    )


def run(options: argparse.Namespace) -> int:
    """Write the files one after another; go on behind one that is not there."""
    with opened(options) as found:
        for path in found.paths:
            with found.faults.reported(path), found.image.open(path) as file:
                _write(file, options.range)
    return found.faults.code


def _write(file: SquashFile, part: tuple[int | None, int | None] | None) -> None:
    start, stop = 0, file.size
    if part is not None:
        first, last = part
        if first is None:
            start = max(0, file.size - (last or 0))
        else:
            start, stop = first, file.size if last is None else min(last + 1, file.size)
    if start >= stop:
        return
    file.seek(start)
    file.will_read(stop)
    for piece in file.pieces(stop):
        sys.stdout.buffer.write(piece)


def _range(text: str) -> tuple[int | None, int | None]:
    """Return both ends of a range, None for one that is open."""
    found = re.fullmatch(r"([0-9]{0,4000})-([0-9]{0,4000})", text)
    if found is None or text == "-":
        raise argparse.ArgumentTypeError(f"{text!r} is no range: A-B, A- or -N, in bytes")
    first, last = (int(each) if each else None for each in found.groups())
    if first is not None and last is not None and last < first:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it starts")
    return first, last
