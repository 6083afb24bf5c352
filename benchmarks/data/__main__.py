"""Archives in S3 under the libraries of data people, beside what these use today.

    python -m benchmarks data [--only STORY] [--quick] [--repetitions N] [--keep DIR]

A story is a real S3 server with data of its own, behind a proxy that delays each request and
throttles each connection. The contenders take turns, each in a process of its own with an empty
cache, in an environment whose Python BENCHMARKS_DATA_PYTHON names. What they read is compared with
what was packed. Tables go to standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.data.bench import measure, say
from benchmarks.data.report import goal_lines, table_lines, version_line
from benchmarks.data.story import Story
from benchmarks.remote.store import BANDWIDTH_MBS, LATENCY_MS, Store

__all__ = ["STORIES", "main"]

STORIES = ("images", "subjects", "zarr_chunks", "parquet", "words", "prefixes")
"""Modules of this package; each has its `STORY`."""
_PYTHON = "BENCHMARKS_DATA_PYTHON"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all stories, or those that are asked for, and print their tables."""
    options = _options(arguments)
    for number, name in enumerate(options.only or STORIES):
        story: Story = import_module(f"benchmarks.data.{name}").STORY
        if number:
            print()
        _tell(name, story, options)
    print(f"\nVersions: {version_line(os.environ[_PYTHON])}.")


def _tell(name: str, story: Story, options: argparse.Namespace) -> None:
    """Measure a story, and print its tables."""
    contenders = [each for each in story.contenders if each.name not in options.without]
    with tempfile.TemporaryDirectory() as scratch, Store.start(Path(scratch) / "store") as store:
        size = "quick" if options.quick else "full"
        directory = (options.keep or Path(scratch)) / name / size
        directory.mkdir(parents=True, exist_ok=True)
        say(f"{name}: packing and uploading")
        made = story.make(directory, store, options.quick)
        figures = measure(
            story,
            made,
            store,
            os.environ[_PYTHON],
            repetitions=options.repetitions or (1 if options.quick else 3),
            contenders=contenders,
        )
    print(f"### {story.title}\n\n{made.note}")
    print(f"S3: {LATENCY_MS} ms before each request, {BANDWIDTH_MBS} MB/s on each connection.\n")
    for line in table_lines(story, figures, contenders):
        print(line)
    print()
    for line in goal_lines(story.goals, figures, is_quick=options.quick):
        print(line, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks data", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only", action="append", choices=STORIES, help="may be given several times"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="CONTENDER",
        help="leave one out; may be given several times",
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where packed data is kept")
    parser.add_argument("--repetitions", type=int, metavar="N", help="3, or 1 with --quick")
    parser.add_argument(
        "--quick", action="store_true", help="less data, which not every goal is judged by"
    )
    options = parser.parse_args(arguments)
    if not os.environ.get(_PYTHON):
        parser.error(f"{_PYTHON} is not set: run `python3 noxfile.py -s bench -- data`")
    return options


if __name__ == "__main__":
    main()
