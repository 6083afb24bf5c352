"""Mount local images beside the kernel and other programs, and use them as programs do.

    python -m benchmarks mount [--quick] [--only IMAGE] [--without NAME] [--keep DIR]

Each image is mounted by one after the other, as often as there are repetitions, and the same work
is done. That takes root, /dev/fuse, a loop device, and squashfuse; ratarmount and rclone come from
an environment of their own, as with the benchmark `reader`. Told are the seconds that a program
waits, and behind them those of the processor in the process that answers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from benchmarks.mount.contenders import CONTENDERS, PEERS_PYTHON, Contender
from benchmarks.mount.works import LARGE_BYTES, READS, WORKS, Work
from benchmarks.reader.images import FULL, QUICK, Sizes, image_path
from benchmarks.reader.source_tree import File

__all__ = ["main"]

_OURS = "s3archivefs"
_AHEAD = tuple((peer, 1 / 3, f"≤ 1/3 of {peer}") for peer in ("ratarmount", "rclone mount"))
"""Goals of all work."""


class Task(NamedTuple):
    """What each contender does with an image."""

    works: Sequence[Work]
    image: Path
    files: int
    """The number of files in it."""


class Took(NamedTuple):
    """What a piece of work took."""

    wall: float
    processor: float
    """Seconds of the process that answers."""


@dataclass(frozen=True, slots=True)
class Table:
    """What was measured."""

    took: dict[tuple[str, str], list[Took | None]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By titles of works and contenders' names; None for more than three minutes."""
    memory: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Bytes at most, by the contender's name."""

    def median(self, work: Work, name: str) -> Took | None:
        """Return the medians; None for what was not measured, or stopped."""
        took = self.took.get((work.title, name), [])
        measured = [each for each in took if each is not None]
        if not measured or len(measured) < len(took):
            return None
        walls, processors = zip(*measured, strict=True)
        return Took(median(walls), median(processors))

    def was_stopped(self, work: Work, name: str) -> bool:
        """Return whether the work took too long."""
        return None in self.took.get((work.title, name), [])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    options = _options(arguments)
    sizes = QUICK if options.quick else FULL
    names = options.only or [*WORKS]
    contenders = [each for each in CONTENDERS if each.name not in options.without]
    table = Table()
    with ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        point = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = {name: _image(name, sizes, directory) for name in names}
        for number in range(options.repetitions):
            for name, image in images.items():
                for contender in contenders:
                    _say(f"{contender.name}: {name}, {number + 1} of {options.repetitions}")
                    task = Task(WORKS[name], image, sizes.source)
                    _measure(table, contender, task, point)
    works = [work for name in names for work in WORKS[name]]
    columns = [each.name for each in contenders]
    for line in (
        *_table_lines(works, columns, table),
        "",
        *_goal_lines(works, table),
    ):
        print(line)


def _measure(table: Table, contender: Contender, task: Task, point: Path) -> None:
    name = contender.name
    try:
        with contender.mounted(task.image, point) as mount:
            for work in task.works:
                before = mount.processor
                wall = work.seconds(point, task.files)
                took = None if wall is None else Took(wall, mount.processor - before)
                table.took[work.title, name].append(took)
            table.memory[name] = max(table.memory[name], mount.memory)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        _say(f"{name} fails: {error}")


def _image(name: str, sizes: Sizes, directory: Path) -> Path:
    if name != "large":
        return image_path({"source": "source-zstd"}.get(name, name), sizes, directory)
    image = directory / "large.sqfs"
    if not image.exists():
        _say("packing a large file")
        random = Random(1)
        with tempfile.TemporaryDirectory() as top:
            with (Path(top) / "large.bin").open("wb") as file:
                for _ in range(LARGE_BYTES >> 20):
                    file.write(File("", 1 << 20, random.random()).content)
            options = ("-comp", "zstd", "-b", "128K", "-quiet", "-no-progress")
            subprocess.run(["mksquashfs", top, str(image), *options], check=True)
    return image


def _table_lines(works: Sequence[Work], columns: Sequence[str], table: Table) -> Iterator[str]:
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for work in works:
        cells = [_cell(work, column, table) for column in columns]
        yield f"| {work.title} | {' | '.join(cells)} |"
    used = [table.memory[each] for each in columns]
    cells = [f"{each / 1e6:.0f} MB" if each else "-" for each in used]
    yield f"| memory at most | {' | '.join(cells)} |"


def _cell(work: Work, name: str, table: Table) -> str:
    took = table.median(work, name)
    if took is None:
        return "> 180 s" if table.was_stopped(work, name) else "-"
    if work.is_rate:
        return f"{READS / took.wall:,.0f}/s"
    return f"{took.wall:.3g} s / {took.processor:.3g} s"


def _goal_lines(works: Sequence[Work], table: Table) -> Iterator[str]:
    yield "| work | goal | measured | |"
    yield "|---|---|---|---|"
    for work in works:
        for against, most, text in (*work.goals, *_AHEAD):
            yield f"| {work.title} | {text} | {_verdict(work, against, most, table)} |"


def _verdict(work: Work, against: str, most: float, table: Table) -> str:
    own, other = table.median(work, _OURS), table.median(work, against)
    if own is None:
        return "- | not measured"
    if other is None:
        is_slow = table.was_stopped(work, against)
        return f"{own.wall:.3g} s | {'met: the other was stopped' if is_slow else 'not measured'}"
    figure = own.wall / other.wall
    return f"{figure:.2f} x | {'met' if figure <= most else '**missed**'}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks mount", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=WORKS, help="may be given several times")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=[each.name for each in CONTENDERS],
        help="leave one out; may be given several times",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where images are kept")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="3")
    parser.add_argument("--quick", action="store_true", help="smaller images")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        parser.error("mounting and emptying the kernel's caches takes root")
    if not os.environ.get(PEERS_PYTHON):
        parser.error(f"{PEERS_PYTHON} is not set: run `python3 noxfile.py -s bench -- mount`")
    return options


def _say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
