"""The command on local images: its start, long listings, checksums, a search for damage.

    python -m benchmarks command [--repetitions 5] [--keep DIR]

Each row is a whole process, its output thrown away. The ways of a row take turns. Figures are wall
time / processor time / memory, medians; the verdict is that of the wall time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.reader.figures import Measured, times
from benchmarks.reader.images import FULL, image_path
from benchmarks.reader.runs import ROOT, Failure, Run, run

__all__ = ["main"]

_PROGRAM = "import sys; from s3archivefs.cli import main; sys.exit(main())"  # as the script has it
_OURS = (sys.executable, "-c", _PROGRAM)
_SECONDS_MAX = 120
_SMALL = ROOT / "fixtures" / "gzip.sqfs"


class _Row(NamedTuple):
    title: str
    image: str
    """Its name among the images of the reader's benchmark; empty for a small one."""
    arguments: tuple[str, ...]
    goal: float | None
    """Seconds of wall time, at most."""
    peer: tuple[str, ...] = ()
    """A command for the same; the image's path follows."""


_ROWS = (
    _Row("ls of a small image", "", ("ls",), 0.15),
    _Row("ls -1 of 200,000 names", "flat", ("ls", "-1"), None, ("unsquashfs", "-ls")),
    _Row("ls -l of 200,000 names", "flat", ("ls", "-l"), 1.5, ("unsquashfs", "-lls")),
    _Row("ls --json of 200,000 names", "flat", ("ls", "--json"), 1.5),
    _Row("find in *source*", "source-gzip", ("find",), None),
    _Row("du of *source*", "source-gzip", ("du",), None),
    _Row("info --scan of *source*", "source-gzip", ("info", "--scan"), None),
    _Row("hash *source*, 481 MB", "source-gzip", ("hash",), None),
    _Row("verify *source*, 481 MB", "source-gzip", ("verify",), None),
)


def main(arguments: Sequence[str]) -> None:
    """Measure each row, and print a table with goals and verdicts."""
    parser = argparse.ArgumentParser(prog="benchmarks command", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where images are, and stay")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        directory: Path = options.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        names = sorted({row.image for row in _ROWS if row.image})
        # In a process of its own, since a measured one counts its parent's memory.
        pack = (sys.executable, "-m", "benchmarks.reader.images", str(directory), *names)
        subprocess.run(pack, cwd=ROOT, check=True)
        print("| | s3archivefs | unsquashfs | goal | |\n|---|---|---|---|---|")
        for row in _ROWS:
            print(_line(row, _measured(row, directory, options.repetitions)))


def _measured(row: _Row, directory: Path, repetitions: int) -> list[Measured | Failure | None]:
    """Return what the row's own way took, and its peer's if there is one."""
    image = str(image_path(row.image, FULL, directory) if row.image else _SMALL)
    commands = [[*_OURS, *row.arguments, image], [*row.peer, image] if row.peer else []]
    runs: list[list[Run]] = [[], []]
    failures: list[Failure | None] = [None, None]
    for _ in range(repetitions):
        for number, command in enumerate(commands):
            if command and failures[number] is None:
                done = run(command, is_reader=False, seconds_max=_SECONDS_MAX)
                if isinstance(done, Failure):
                    failures[number] = done
                else:
                    runs[number].append(done)
    return [
        failure or (Measured.of(done) if done else None)
        for failure, done in zip(failures, runs, strict=True)
    ]


def _line(row: _Row, found: list[Measured | Failure | None]) -> str:
    cells = [
        "-" if each is None else each.text if isinstance(each, Failure) else times(each, {})
        for each in found
    ]
    goal = verdict = ""
    if row.goal is not None:
        goal = f"≤ {row.goal:g} s"
        own = found[0]
        verdict = "met" if isinstance(own, Measured) and own.wall <= row.goal else "**missed**"
    return f"| {' | '.join((row.title, *cells, goal, verdict))} |"
