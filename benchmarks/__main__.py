"""Run a benchmark by its name; what follows the name goes to it.

    python -m benchmarks listing --members 10000,100000

They measure, and never judge a change: no test depends on time.
"""

from __future__ import annotations

import argparse
import compileall
import os
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("s3archivefs", "s3archivefs_lambda")


class Benchmark(NamedTuple):
    """A benchmark, run by the `main` of its module."""

    module: str
    measures: str


BENCHMARKS = {
    "bounds": Benchmark(
        "benchmarks.bounds",
        "pages over trees of next to nothing and many mappings; lines of a file",
    ),
    "cold-start": Benchmark(
        "benchmarks.cold_start", "a cold start of the Lambda function, and its parts"
    ),
    "command": Benchmark(
        "benchmarks.command", "the command on local images: its start, long listings, checksums"
    ),
    "data": Benchmark(
        "benchmarks.data.__main__", "archives in S3 under PyTorch, zarr, DuckDB, Dask, and peers"
    ),
    "endpoint": Benchmark(
        "benchmarks.endpoint.__main__", "the endpoint under load, beside rclone's and nginx"
    ),
    "extract": Benchmark(
        "benchmarks.extract.__main__", "extracting a source tree, beside unsquashfs; from S3 too"
    ),
    "listing": Benchmark(
        "benchmarks.listing.__main__",
        "a page of ListObjectsV2, in archives of 10,000 to 10,000,000 members",
    ),
    "many-archives": Benchmark(
        "benchmarks.many_archives", "a page over many small archives, and reads from them in turn"
    ),
    "mount": Benchmark(
        "benchmarks.mount.__main__", "mounted images, beside the kernel's, squashfuse and others"
    ),
    "pack": Benchmark(
        "benchmarks.pack.__main__", "packing a source tree, beside mksquashfs and gensquashfs"
    ),
    "packing": Benchmark(
        "benchmarks.packing.__main__", "reading in S3, by how an archive is packed"
    ),
    "reader": Benchmark(
        "benchmarks.reader.__main__", "reading local images, beside C programs and Python libraries"
    ),
    "remote": Benchmark(
        "benchmarks.remote.__main__", "reading archives in S3, beside other programs"
    ),
    "scale": Benchmark(
        "benchmarks.scale", "what a billion files cost, computed from what was measured"
    ),
}


def main() -> None:
    """Run the benchmark that the command line names."""
    names = "\n".join(f"  {name:14}{each.measures}" for name, each in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=f"Measure one of:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=BENCHMARKS, metavar="NAME")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="NAME --help lists them")
    options = parser.parse_args()
    _allow_bytecode()
    import_module(BENCHMARKS[options.name].module).main(options.arguments)


def _allow_bytecode() -> None:
    """Have processes start as after pip's installation, which compiles modules.

    Where that is forbidden, each process of each contender would compile anew what it imports:
    half of a short one's time.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for package in _PACKAGES:
        compileall.compile_dir(_ROOT / package, quiet=1)


if __name__ == "__main__":
    main()
