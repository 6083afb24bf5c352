"""Pack a tree of source code: this project's command beside mksquashfs and squashfs-tools-ng.

    python -m benchmarks pack [--quick] [--only ROW] [--repetitions N]

The tree is that of the benchmark `reader`, as files in memory, where the images go too. Measured
are whole processes, their start included, which take turns. Tables go to standard output, in
Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pack.rows import COLUMNS, rows_of
from benchmarks.reader.images import FULL, QUICK
from benchmarks.reader.measuring import Bench
from benchmarks.reader.report import goal_lines, table_lines
from benchmarks.reader.runs import ROOT

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all rows, or those that are asked for, and print the tables."""
    options = _options(arguments)
    sizes = QUICK if options.quick else FULL
    repetitions = options.repetitions or (1 if options.quick else 5)
    memory = Path("/dev/shm")  # noqa: S108 -- a private directory in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        scratch = Path(name)
        source = scratch / "source"
        _say("writing the tree")
        writing = [sys.executable, "-m", "benchmarks.pack.tree", str(source), str(sizes.source)]
        subprocess.run(writing, cwd=ROOT, check=True)
        rows = rows_of(source)
        rows = {row: rows[row] for row in options.only or rows}
        bench = Bench(scratch, scratch, sizes=sizes, repetitions=repetitions)
        outcomes = {}
        for row, each in rows.items():
            _say(row)
            outcomes[row] = bench.measure(each)
    print(
        f"*source* is {sizes.source:,} files. Wall / processor / memory of whole processes, medians"
        f" of {repetitions}, and the image's size. What takes more than 20 s ran once.\n"
    )
    for line in (
        *table_lines(rows, outcomes, COLUMNS),
        "",
        *goal_lines(rows, outcomes, is_quick=options.quick),
    ):
        print(line)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks pack", description=(__doc__ or "").splitlines()[0]
    )
    names = rows_of(Path())
    parser.add_argument("--only", action="append", choices=names, help="may be given several times")
    parser.add_argument("--repetitions", type=int, metavar="N", help="5, or 1 with --quick")
    parser.add_argument(
        "--quick", action="store_true", help="a smaller tree, which not every goal is judged by"
    )
    return parser.parse_args(arguments)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
