"""A cold start of the function by its parts: sources alone, bytecode, its own boto3.

    python -m benchmarks cold-start [--repetitions 15]

Lambda's own runtime client runs each zip behind a stand-in for the Object Lambda access point, each
time as a new process. The archive is in a real S3 server, behind the proxy of `remote`. The zips
take turns. A table goes to standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from urllib.request import urlopen

from benchmarks.remote.store import LATENCY_MS, Store
from deploy.lambda_zip import Build, build
from tests.support.aws.lambda_runtime import RuntimeApi
from tests.support.aws.object_lambda import AccessPoint
from tests.support.images.trees import pack, standard_library_tree

__all__ = ["main"]

ZIPS = {
    "sources alone": Build(with_bytecode=False),
    "with bytecode": Build(),
    "and its own boto3": Build(with_boto3=True),
}
PYTHON_VARIABLE = "BENCHMARKS_LAMBDA_PYTHON"
"""Names the Python that has the packages of Lambda's, and no others."""

_ACCESS_POINT = "archive"
_FILE = "lib/argparse.py"
_KEY = "cold-start/image.sqfs"

# The handler, timed by part. A module counts in the part that imports it first.
PROBE = """
import gc, os, time
gc.disable()  # as the function itself does, until it has started
_parts, _last = {}, float(os.environ["BENCHMARK_STARTED"])

def _done(part):
    global _last
    now = time.monotonic()
    _parts[part], _last = now - _last, now

_done("Python and Lambda's runtime client")
import construct
_done("construct")
import s3archivefs
_done("s3archivefs")
import botocore.session, botocore.client
_done("botocore")
import s3archivefs_lambda.archives.archives, s3archivefs_lambda.object_lambda.transport
import s3archivefs_lambda.bucket.operations
_done("s3archivefs_lambda")
import s3archivefs_lambda.handler
_done("the function itself, with its two S3 clients")

def handler(event, context):
    global _last
    if event == "parts":
        return _parts
    _last = time.monotonic()
    import zstandard
    _done("zstandard, on first use")
    answer = s3archivefs_lambda.handler.lambda_handler(event, context)
    _done("GetObject")
    return answer
"""
IN_ALL = "cold start, until the client has the file"
"""The time seen by the client, outside the function."""


def main(arguments: Sequence[str]) -> None:
    """Measure cold starts, and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks cold-start")
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args(arguments)
    python = os.environ.get(PYTHON_VARIABLE)
    if python is None:
        parser.error(f"{PYTHON_VARIABLE} is not set: run `python3 noxfile.py -s bench`, which does")
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        store = stack.enter_context(Store.start(Path(directory, "store")))
        _upload(store, Path(directory))
        access_point = stack.enter_context(AccessPoint(store.url, bucket=_ACCESS_POINT))
        roots = {name: _unpacked(wanted, Path(directory)) for name, wanted in ZIPS.items()}
        taken: dict[str, defaultdict[str, list[float]]] = {
            name: defaultdict(list) for name in roots
        }
        for turn in range(options.repetitions + 1):
            for name, root in roots.items():
                for part, seconds in _cold_start(python, root, store, access_point):
                    if turn:  # the first turn fills the system's file cache
                        taken[name][part].append(seconds)
    print(_table(taken, options.repetitions))


def _upload(store: Store, directory: Path) -> None:
    tree = directory / "tree"
    standard_library_tree(tree / "lib")
    fast = ["-Xcompression-level", "1"]
    content = pack(tree, directory / "image.sqfs", compressor="zstd", extra=fast).read_bytes()
    superblock = base64.b64encode(content[:96]).decode()
    store.gateway.client().put_object(
        Bucket=store.bucket, Key=_KEY, Body=content, Metadata={"s3archivefs-superblock": superblock}
    )


def _unpacked(wanted: Build, directory: Path) -> Path:
    root = Path(tempfile.mkdtemp(dir=directory))
    with zipfile.ZipFile(build(wanted, root / "zip").path) as archive:
        archive.extractall(root / "task")
    (root / "probe.py").write_text(PROBE)
    return root


def _cold_start(
    python: str, root: Path, store: Store, access_point: AccessPoint
) -> Iterator[tuple[str, float]]:
    """Start the function and read a file; yield each part and its seconds."""
    environ = {**store.environ(), "AWS_ENDPOINT_URL_S3": access_point.url}
    with tempfile.TemporaryDirectory(dir=root) as cache, ExitStack() as stack:
        started = time.monotonic()
        environ |= {
            "S3ARCHIVEFS_PREFIX_VMAP1": f"|s3://{store.bucket}/{_KEY}",
            "S3ARCHIVEFS_CACHE_DIR": cache,
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's folders are read-only
            "BENCHMARK_STARTED": str(started),
        }
        access_point.function = function = stack.enter_context(
            RuntimeApi(
                environ,
                handler="probe.handler",
                task_root=root / "task",
                modules=(root,),
                python=python,
            )
        )
        with urlopen(f"{access_point.url}/{_ACCESS_POINT}/{_FILE}") as answer:  # noqa: S310 -- of our own stand-in, over http
            answer.read()
        yield IN_ALL, time.monotonic() - started
        yield from function.invoke("parts").items()


def _table(taken: dict[str, defaultdict[str, list[float]]], repetitions: int) -> str:
    parts = [part for part in next(iter(taken.values())) if part != IN_ALL]
    widest = max(
        (high - low) / middle
        for values in taken.values()
        for low, middle, high in [quantiles(values[IN_ALL], n=4)]
    )
    machine = (
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} CPUs"
    )
    lines = [
        f"Milliseconds, medians of {repetitions}; {LATENCY_MS} ms to S3, {machine}.",
        f"Half of the cold starts lie within {widest:.0%} of their median.",
        "",
        "| | " + " | ".join(taken) + " |",
        "|---|" + "--:|" * len(taken),
    ]
    for part in [*parts, IN_ALL]:
        cells = [f"{1000 * median(values[part]):.0f}" for values in taken.values()]
        lines.append(f"| {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
