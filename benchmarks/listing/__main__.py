"""The cost of a page of ListObjectsV2, by archive size and by place.

    python -m benchmarks listing [--members 10000,1000000] [--keep DIR]

Measured is the processor time of the operation itself, XML included, over an image in a local file.
Each listing of each archive has a process of its own, so its memory is its own. The processes take
turns, so that other work on the machine befalls all alike. Tables go to standard output, in
Markdown. Packing ten million members takes minutes: `--keep DIR` keeps images for the next run.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.listing.images import PER_DIRECTORY
from benchmarks.listing.measuring import measure
from benchmarks.listing.pages import LISTINGS, PAGE
from benchmarks.listing.report import report, surroundings

__all__ = ["main"]


def _sizes(text: str) -> list[int]:
    sizes = sorted({int(each) for each in text.split(",")})
    if any(size < PAGE or size % PER_DIRECTORY for size in sizes):
        raise argparse.ArgumentTypeError("archives have a multiple of 1,000 members")
    return sizes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure listings, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks listing", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--members",
        type=_sizes,
        default=[10_000, 100_000, 1_000_000, 10_000_000],
        metavar="N,...",
        help="sizes of archives, each a multiple of 1,000",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where images are kept")
    options = parser.parse_args(arguments)
    with ExitStack() as ending:
        if options.keep is None:
            directory = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        else:
            directory = options.keep.resolve()
            directory.mkdir(parents=True, exist_ok=True)
        for line in (*surroundings(), "", *report(measure(LISTINGS, options.members, directory))):
            print(line, flush=True)


if __name__ == "__main__":
    main()
