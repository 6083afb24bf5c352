"""Pages over trees of next to nothing, pages under many mappings, lines of a file.

    python -m benchmarks bounds [--entries 100000]

None of these may cost more than it gives. They are measured in this process, without a transport,
over images from mksquashfs. A page that finds nothing ends early and says where to go on: the table
shows the worst page of each tree, beside a full one of 1,000 keys.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import s3archivefs
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask
from tests.support.images.trees import pack

__all__ = ["main"]

_LINES = 60_000
_DEPTH = 700
_HOPS = 39


def _full(tree: Path, _: int) -> None:
    for number in range(3000):
        (tree / f"{number:05}").write_bytes(b"x")


def _deep(tree: Path, _: int) -> None:
    path = tree.joinpath(*["d"] * _DEPTH)
    path.mkdir(parents=True)
    (path / "file").write_bytes(b"x")


def _empty(tree: Path, entries: int) -> None:
    for number in range(entries):
        (tree / f"{number:06}").mkdir()


def _dangling(tree: Path, entries: int) -> None:
    for number in range(entries):
        (tree / f"{number:06}").symlink_to("nowhere")


def _hops(tree: Path, entries: int) -> None:
    (tree / "zz").mkdir()
    for hop in range(_HOPS - 1):
        (tree / "zz" / f"{hop}").symlink_to(f"{hop + 1}")
    for number in range(entries // 5):
        (tree / f"{number:06}").symlink_to("zz/0")


TREES: dict[str, Callable[[Path, int], None]] = {
    "full pages of 1,000 keys": _full,
    f"one key below {_DEPTH} directories": _deep,
    "empty directories": _empty,
    "dangling links": _dangling,
    f"a fifth as many links of {_HOPS} hops": _hops,
}


def _operations(**environ: str) -> Operations:
    return Operations(Archives(Config.from_environ(environ), make_archive_client))


def _pages(operations: Operations, query: dict[str, str]) -> Iterator[float]:
    """Yield the seconds that each page of a listing takes."""
    token: dict[str, str] = {}
    while True:
        started = time.perf_counter()
        response = ask(operations, "ListObjectsV2", S3Request(query=query | token))
        document = b"".join(response.body)
        yield time.perf_counter() - started
        following = re.search(rb"<NextContinuationToken>([^<]+)<", document)
        if following is None:
            return
        token = {"continuation-token": following[1].decode()}


def _measure_trees(directory: Path, entries: int) -> None:
    print("| tree | pages | worst, ms | all, s |\n|---|---|---|---|")
    for number, (name, make) in enumerate(TREES.items()):
        tree = directory / f"tree{number}"
        tree.mkdir()
        make(tree, entries)
        image = pack(tree, directory / f"{number}.sqfs")
        operations = _operations(S3ARCHIVEFS_PREFIX_VMAP1=f"a|file://{image}")
        pages = list(_pages(operations, {"list-type": "2"}))
        print(f"| {name} | {len(pages)} | {1000 * max(pages):.0f} | {sum(pages):.2f} |")


def _measure_mappings(directory: Path) -> None:
    print("\n| mappings | read, s | page of one, ms | page of 1,000 keys, ms |\n|---|---|---|---|")
    image = directory / "0.sqfs"
    file = directory / "mappings"
    for count in (1, 1_000, 100_000):
        lines = (f"m{number // 1000:03}/x{number:06}|file://{image}" for number in range(count))
        file.write_text("\n".join(lines), encoding="utf-8")
        started = time.perf_counter()
        operations = _operations(S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE=str(file))
        start = time.perf_counter() - started
        one = {"list-type": "2", "prefix": "m000/x000000/", "max-keys": "10"}
        times = []
        for query in (one, {"list-type": "2"}):
            runs = [next(_pages(operations, query)) for _ in range(5)]
            times.append(f"{1000 * statistics.median(runs):.1f}")
        print(f"| {count:,} | {start:.2f} | {' | '.join(times)} |")


def _processor_ms(action: Callable[[], int]) -> float:
    runs = []
    for _ in range(9):
        started = time.process_time()
        assert action() == _LINES
        runs.append(1000 * (time.process_time() - started))
    return statistics.median(runs)


def _measure_lines(directory: Path) -> None:
    tree = directory / "lines"
    tree.mkdir()
    file = tree / "lines"
    file.write_text("".join(f"line {number} of many\n" for number in range(_LINES)))
    with s3archivefs.open(pack(tree, directory / "lines.sqfs")) as fs:

        def ours(mode: str) -> int:
            with fs.open("/lines", mode) as lines:
                return sum(1 for _ in lines)

        def local(mode: str) -> int:
            with open(file, mode, encoding=None if "b" in mode else "utf-8") as lines:  # noqa: PTH123 -- what ours is compared with
                return sum(1 for _ in lines)

        print(f"\n| {_LINES:,} lines, processor ms | image | local file |\n|---|---|---|")
        for mode, name in (("rb", "bytes"), ("r", "text")):
            times = [_processor_ms(partial(read, mode)) for read in (ours, local)]
            print(f"| {name} | {times[0]:.1f} | {times[1]:.1f} |")


def main(arguments: Sequence[str]) -> None:
    """Measure trees, mappings and lines, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks bounds", description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="in each tree of nothing")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(os.path.realpath(name))
        _measure_trees(directory, options.entries)
        _measure_mappings(directory)
        _measure_lines(directory)
