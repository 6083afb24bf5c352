"""Mount local images beside the kernel and other programs, and use them as programs do.

    python -m benchmarks mount [--remote] [--quick] [--only IMAGE] [--without NAME] [--keep DIR]

Each image is mounted by one after the other, as often as there are repetitions, and the same work
is done. That takes root, /dev/fuse, a loop device, and squashfuse; ratarmount and rclone come from
an environment of their own, as with the benchmark `reader`. Told are the seconds that a program
waits, and behind them those of the processor in the process that answers.

With --remote the images lie in S3, behind the proxy of the benchmark `remote`; each mount begins
with an empty cache. Told are also what it takes until the tree is there, as some programs read much
by then, and the requests that reach the store, those of mounting with those of the first work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from benchmarks.mount.contenders import CONTENDERS, PEERS_PYTHON, Contender, remote_environ
from benchmarks.mount.works import LARGE_BYTES, REMOTE_WORKS, WORKS, Work
from benchmarks.reader.images import FULL, QUICK, Sizes, image_path
from benchmarks.reader.source_tree import File
from benchmarks.remote.store import Store

__all__ = ["main"]

_OURS = "s3archivefs"
_AHEAD = tuple((peer, 1 / 3, f"≤ 1/3 of {peer}") for peer in ("ratarmount", "rclone mount"))
"""Goals of all work."""


class Task(NamedTuple):
    """What each contender does with an image."""

    mounting: Work
    works: Sequence[Work]
    image: str
    files: int
    """The number of files in it."""
    store: Store | None
    """Where it lies, if not on disk."""


class Took(NamedTuple):
    """What a piece of work took."""

    wall: float
    processor: float
    """Seconds of the process that answers."""
    requests: float = 0
    """Requests to the store."""


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
        return Took(*map(median, zip(*measured, strict=True)))

    def was_stopped(self, work: Work, name: str) -> bool:
        """Return whether the work took too long."""
        return None in self.took.get((work.title, name), [])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    options = _options(arguments)
    sizes = QUICK if options.quick else FULL
    all_works = REMOTE_WORKS if options.remote else WORKS
    names = options.only or [*all_works]
    contenders = [
        each
        for each in CONTENDERS
        if each.name not in options.without and (each.remote_command or not options.remote)
    ]
    table = Table()
    with ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        point = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = {name: str(_image(name, sizes, directory)) for name in names}
        store = None
        if options.remote:
            served = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = stack.enter_context(Store.start(served))
            for name, image in images.items():
                images[name] = f"{store.bucket}/{store.upload_image(Path(image), name)}"
        for number in range(options.repetitions):
            for name, image in images.items():
                for contender in contenders:
                    _say(f"{contender.name}: {name}, {number + 1} of {options.repetitions}")
                    task = Task(_mounting(name), all_works[name], image, sizes.source, store)
                    _measure(table, contender, task, point)
    rows = [work for name in names for work in (_mounting(name), *all_works[name])]
    works = [work for name in names for work in all_works[name]]
    columns = [each.name for each in contenders]
    for line in (
        *_table_lines(rows, columns, table, is_remote=options.remote),
        "",
        *_goal_lines(works, columns, table),
    ):
        print(line)


def _mounting(name: str) -> Work:
    return Work(f"mount *{name}*", lambda point, _: point.is_mount())


def _measure(table: Table, contender: Contender, task: Task, point: Path) -> None:
    name, store = contender.name, task.store
    try:
        with ExitStack() as stack:
            environ = None
            if store is not None:
                cache = stack.enter_context(tempfile.TemporaryDirectory())
                environ = remote_environ(store, Path(cache))
                store.forget()
            start = time.perf_counter()
            mount = stack.enter_context(contender.mounted(task.image, point, environ))
            began = Took(time.perf_counter() - start, mount.processor)
            table.took[task.mounting.title, name].append(began)
            for work in task.works:
                before = mount.processor
                wall = work.seconds(point, task.files)
                asked = 0
                if store is not None:
                    asked = len(store.requests())
                    store.forget()
                took = None if wall is None else Took(wall, mount.processor - before, asked)
                table.took[work.title, name].append(took)
            table.memory[name] = max(table.memory[name], mount.memory)
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        _say(f"{name} fails: {error}")


def _image(name: str, sizes: Sizes, directory: Path) -> Path:
    if name != "large":
        kind = "source-zstd" if name in {"source", "random"} else name
        return image_path(kind, sizes, directory)
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


def _table_lines(
    works: Sequence[Work], columns: Sequence[str], table: Table, *, is_remote: bool
) -> Iterator[str]:
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for work in works:
        cells = [_cell(work, column, table, is_remote=is_remote) for column in columns]
        yield f"| {work.title} | {' | '.join(cells)} |"
    used = [table.memory[each] for each in columns]
    cells = [f"{each / 1e6:.0f} MB" if each else "-" for each in used]
    yield f"| memory at most | {' | '.join(cells)} |"


def _cell(work: Work, name: str, table: Table, *, is_remote: bool) -> str:
    took = table.median(work, name)
    if took is None:
        return "> 180 s" if table.was_stopped(work, name) else "-"
    requests = f" / {took.requests:,.0f}" if is_remote else ""
    if work.reads:
        return f"{work.reads / took.wall:,.0f}/s{requests}"
    return f"{took.wall:.3g} s / {took.processor:.3g} s{requests}"


def _goal_lines(works: Sequence[Work], columns: Sequence[str], table: Table) -> Iterator[str]:
    yield "| work | goal | measured | |"
    yield "|---|---|---|---|"
    for work in works:
        for against, most, text in (*work.goals, *_AHEAD):
            if against in columns:
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
    parser.add_argument("--remote", action="store_true", help="images in S3, behind a proxy")
    parser.add_argument(
        "--only", action="append", choices=REMOTE_WORKS, help="may be given several times"
    )
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
    if not options.remote and "random" in (options.only or []):
        parser.error("`random` is work with --remote; `source` has it else")
    if os.geteuid() != 0:
        parser.error("mounting and emptying the kernel's caches takes root")
    if not os.environ.get(PEERS_PYTHON):
        parser.error(f"{PEERS_PYTHON} is not set: run `python3 noxfile.py -s bench -- mount`")
    return options


def _say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
