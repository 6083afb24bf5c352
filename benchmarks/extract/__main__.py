"""Extract a tree of source code: this project's command beside unsquashfs, and from S3.

    python -m benchmarks extract [--quick] [--only ROW] [--keep DIR] [--repetitions N]

Measured are whole processes, their start included, which take turns and write to memory. The images
are those of the benchmark `reader`; `--keep DIR` keeps them for the next run. In S3 the image is
behind a proxy that delays each request and throttles each connection; `paced` bounds all
connections together, as a machine's network does. There it is held against boto3's download of the
same bytes, with and without unsquashfs behind it, and a smaller image against the same files as
objects. Tables go to standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.extract.rows import COLUMNS, LOCAL, Bucket, of_image, of_objects
from benchmarks.reader.images import FULL, QUICK, Sizes, image_path
from benchmarks.reader.measuring import Bench
from benchmarks.reader.report import goal_lines, table_lines
from benchmarks.reader.rows import Row
from benchmarks.reader.runs import ROOT
from benchmarks.remote.store import BANDWIDTH_MBS, LATENCY_MS, Store

__all__ = ["main"]

_S3, _PACED, _OBJECTS = "s3", "paced", "objects"
_REMOTE = (_S3, _PACED, _OBJECTS)
_KEY, _SMALL_KEY, _PREFIX = "source.sqfs", "small.sqfs", "plain/"
_TOTAL_MBS = 100
"""Megabytes (10^6) a second on all connections together, as small machines have."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all rows, or those that are asked for, and print the tables."""
    options = _options(arguments)
    names = options.only or [*LOCAL, *_REMOTE]
    sizes = QUICK if options.quick else FULL
    repetitions = options.repetitions or (1 if options.quick else 5)
    with ExitStack() as stack:
        made = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory = options.keep or made / "images"
        directory.mkdir(parents=True, exist_ok=True)
        memory = Path("/dev/shm")  # noqa: S108 -- a private directory in it
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        )
        bench = Bench(directory, Path(scratch), sizes=sizes, repetitions=repetitions)
        _say("packing, unless the images are there")
        bench.pack(LOCAL.values())
        rows = {name: row for name, row in LOCAL.items() if name in names}
        if any(name in _REMOTE for name in names):
            remote = _remote(stack, made, directory, sizes)
            rows |= {name: row for name, row in remote.items() if name in names}
        outcomes = {}
        for name, row in rows.items():
            _say(name)
            outcomes[name] = bench.measure(row)
    print(
        f"*source* is {sizes.source:,} files. Wall / processor / memory of whole processes, medians"
        f" of {repetitions}. S3: {LATENCY_MS} ms before each request, {BANDWIDTH_MBS} MB/s on each"
        " connection.\n"
    )
    for line in (
        *table_lines(rows, outcomes, COLUMNS),
        "",
        *goal_lines(rows, outcomes, is_quick=options.quick),
    ):
        print(line)


def _remote(stack: ExitStack, made: Path, directory: Path, sizes: Sizes) -> dict[str, Row]:
    """Return the rows of images in stores, which run until the stack unwinds."""
    _say("starting a store, and uploading")
    store = stack.enter_context(Store.start(made / "store"))
    paced = stack.enter_context(Store.before(store.gateway, "paced", total_mbs=_TOTAL_MBS))
    image = image_path("source-gzip", sizes, directory)
    client = store.gateway.client()
    for each in (store, paced):
        client.upload_file(str(image), each.bucket, _KEY)
    packing = [sys.executable, "-m", "benchmarks.reader.images", str(directory)]
    subprocess.run([*packing, "source-gzip", "--quick"], cwd=ROOT, check=True)
    small = image_path("source-gzip", QUICK, directory)
    client.upload_file(str(small), store.bucket, _SMALL_KEY)

    putting = [sys.executable, "-m", "benchmarks.extract.objects", "put", store.bucket, _PREFIX]
    environ = {**os.environ, **store.environ()}
    subprocess.run([*putting, str(QUICK.source)], env=environ, cwd=ROOT, check=True)
    bucket, behind = (Bucket(each.bucket, each.environ()) for each in (store, paced))
    return {
        _S3: of_image(bucket, _KEY, "in S3"),
        _PACED: of_image(behind, _KEY, f"in S3, {_TOTAL_MBS} MB/s in all"),
        _OBJECTS: of_objects(bucket, _SMALL_KEY, _PREFIX, QUICK.source),
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks extract", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only", action="append", choices=[*LOCAL, *_REMOTE], help="may be given several times"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where images are kept")
    parser.add_argument("--repetitions", type=int, metavar="N", help="5, or 1 with --quick")
    parser.add_argument(
        "--quick", action="store_true", help="smaller images, which not every goal is judged by"
    )
    return parser.parse_args(arguments)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
