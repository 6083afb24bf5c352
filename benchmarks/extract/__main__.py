"""Extract a tree of source code: this project's command beside unsquashfs, and from S3.

    python -m benchmarks extract [--quick] [--only ROW] [--keep DIR] [--repetitions N]

Measured are whole processes, their start included, which take turns and write to memory. The images
are those of the benchmark `reader`; `--keep DIR` keeps them for the next run. In S3 the image is
behind a proxy that delays each request and throttles each connection, and is held against boto3's
download of the same bytes. Tables go to standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.extract.rows import COLUMNS, LOCAL, of_s3
from benchmarks.reader.images import FULL, QUICK, Sizes, image_path
from benchmarks.reader.measuring import Bench
from benchmarks.reader.report import goal_lines, table_lines
from benchmarks.reader.rows import Row
from benchmarks.remote.store import BANDWIDTH_MBS, LATENCY_MS, Store

__all__ = ["main"]

_S3 = "s3"
_KEY = "source.sqfs"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all rows, or those that are asked for, and print the tables."""
    options = _options(arguments)
    names = options.only or [*LOCAL, _S3]
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
        if _S3 in names:
            rows[_S3] = _in_s3(stack, made, directory, sizes)
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


def _in_s3(stack: ExitStack, made: Path, directory: Path, sizes: Sizes) -> Row:
    """Return the row of an image in a store, which runs until the stack unwinds."""
    _say("starting a store")
    store = stack.enter_context(Store.start(made / "store"))
    image = image_path("source-gzip", sizes, directory)
    store.gateway.client().upload_file(str(image), store.bucket, _KEY)
    return of_s3(store.bucket, _KEY, store.environ())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks extract", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only", action="append", choices=[*LOCAL, _S3], help="may be given several times"
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
