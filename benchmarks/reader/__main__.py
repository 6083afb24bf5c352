"""Read local images beside other readers: this project, C programs and Python libraries.

    python -m benchmarks reader [--quick] [--only ROW] [--keep DIR] [--repetitions N]

Measured are whole processes, their start included. The readers take turns, so that other work on
the machine befalls all alike, and what they find is held against what was packed. The benchmark
packs its images, which are in the page cache when they are read; `--keep DIR` keeps them for the
next run. Peers come from an environment of their own, with the dependency group `peers`; the
variable BENCHMARKS_PEERS_PYTHON names its Python. Tables go to standard output, in Markdown. The
benchmark `remote` measures how a file of 200 MB is read from S3.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.reader.images import FULL, QUICK
from benchmarks.reader.measuring import Bench
from benchmarks.reader.report import goal_lines, setting_lines, table_lines, version_lines
from benchmarks.reader.rows import ROWS
from benchmarks.reader.ways import PEERS_PYTHON

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all rows, or those that are asked for, and print the tables."""
    options = _options(arguments)
    rows = {name: ROWS[name] for name in options.only or ROWS}
    with ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        memory = Path("/dev/shm")  # noqa: S108 -- a private directory in it
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        )
        sizes = QUICK if options.quick else FULL
        repetitions = options.repetitions or (1 if options.quick else 3)
        bench = Bench(directory, Path(scratch), sizes=sizes, repetitions=repetitions)
        _say("packing, unless the images are there")
        bench.pack(rows.values())
        outcomes = {}
        for name, row in rows.items():
            _say(name)
            bench.check(row)
            outcomes[name] = bench.measure(row)
    for line in (
        *setting_lines(sizes, repetitions),
        "",
        *table_lines(rows, outcomes),
        "",
        *goal_lines(rows, outcomes, is_quick=options.quick),
        "| 200 MB file from S3 | ≥ 80 % of a parallel download | see benchmark *remote* | |",
        "",
        *version_lines(os.environ[PEERS_PYTHON]),
    ):
        print(line)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks reader", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=ROWS, help="may be given several times")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where images are kept")
    parser.add_argument("--repetitions", type=int, metavar="N", help="3, or 1 with --quick")
    parser.add_argument(
        "--quick", action="store_true", help="smaller images, which not every goal is judged by"
    )
    options = parser.parse_args(arguments)
    if not os.environ.get(PEERS_PYTHON):
        parser.error(f"{PEERS_PYTHON} is not set: run `python3 noxfile.py -s bench -- reader`")
    return options


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
