"""What packing decides of reading in S3: block size, codec, fragments, order, metadata.

    python -m benchmarks packing [--only records]

Trees of files are packed in one way after another, each differing from the first in one respect,
and read through the S3 operations from a real S3 server, behind the proxy of `remote`: each time
with an empty cache and the archive opened anew. What is read is compared with what was packed. What
is told of reading, requests and bytes, is the same on every run. Of time, only processor time is
told: the packer's, and the reader's from a local image, which is mostly the codec's. Tables go to
standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import base64
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import s3archivefs
from benchmarks.packing_data import TREES, Operation, Read, Run, Tree
from benchmarks.packing_options import FACTORS, SORT_FILE, Packing
from benchmarks.remote_reader import range_header
from benchmarks.remote_store import BUCKET, Store
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.trees import pack

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["main"]

_KEY = "image.sqfs"
_SUPERBLOCK_BYTES = 96
_PIECE_BYTES = 1 << 20
_REPETITIONS = 5
"""Of what is timed."""


class Count(NamedTuple):
    """Requests to S3 and the bytes they brought."""

    requests: float
    bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A tree packed in one way, and what reading it took."""

    image_bytes: int
    metadata_bytes: int
    packing_seconds: float
    """Of processor time."""
    opening: Count
    counts: dict[str, Count]
    """By the operations' names."""
    cpu_seconds: dict[str, float]
    """Likewise: of the reader, from a local image."""


# ---- Measuring -----------------------------------------------------------------------------------


def measure(tree: Tree, packing: Packing, store: Store, client: S3Client, image: Path) -> Measured:
    """Pack the tree as `image`, upload that, and do the tree's operations."""
    seconds = _packed(tree, packing, image)
    with image.open("rb") as file:
        superblock = file.read(_SUPERBLOCK_BYTES)
        file.seek(0)
        store.gateway.client().put_object(
            Bucket=BUCKET,
            Key=_KEY,
            Body=file,
            Metadata={"s3archivefs-superblock": base64.b64encode(superblock).decode()},
        )
    size = image.stat().st_size
    openings: list[Count] = []
    counts = {}
    for operation in tree.operations:
        found = [_counted(tree, run, packing.settings, store, client) for run in operation.runs]
        openings += [opening for opening, _ in found]
        counts[operation.name] = _mean([count for _, count in found])
    return Measured(
        image_bytes=size,
        metadata_bytes=size - s3archivefs.Superblock.decode(superblock).inode_table_start,
        packing_seconds=seconds,
        opening=_mean(openings),
        counts=counts,
        cpu_seconds={
            each.name: _cpu_seconds(each, image) for each in tree.operations if each.is_timed
        },
    )


def _packed(tree: Tree, packing: Packing, image: Path) -> float:
    """Pack; returns the packer's processor time."""
    with tempfile.NamedTemporaryFile("w", suffix=".sort") as sort:
        sort.writelines(f"{path} 1\n" for path in tree.random_paths)
        sort.flush()
        extra = [sort.name if option == SORT_FILE else option for option in packing.options]
        before = _children_seconds()
        pack(
            tree.path,
            image,
            compressor=packing.compressor,
            block_size=packing.block_size,
            tool=packing.tool,
            extra=extra,
        )
        return _children_seconds() - before


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _counted(
    tree: Tree, run: Run, settings: Mapping[str, str], store: Store, client: S3Client
) -> tuple[Count, Count]:
    """What opening the archive took, and what the run's reads took."""
    # Behind the reads, chunks are still being written: to a directory that may be gone.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        config = Config.from_environ(
            {
                "S3ARCHIVEFS_CACHE_DIR": cache,
                "S3ARCHIVEFS_PREFIX_VMAP1": f"|s3://{BUCKET}/{_KEY}",
                **settings,
            }
        )
        archives = Archives(config, lambda: client)
        operations = Operations(archives)
        store.forget()
        for mapping in archives.mappings:
            archives.get(mapping.location)
        opening = _count(store)
        for read in run.before:
            _read(operations, read)
        store.forget()
        for read in run.reads:
            if _read(operations, read) != tree.content(read):
                raise ValueError(f"{read}: not what was packed")
        return opening, _count(store)


def _read(operations: Operations, read: Read) -> bytes:
    headers = {}
    if read.length is not None:
        headers["range"] = range_header(read.offset, read.length)
    return b"".join(operations.get_object(S3Request(key=read.path, headers=headers)).body)


def _count(store: Store) -> Count:
    requests = store.requests()
    return Count(len(requests), sum(request["bytes"] for request in requests))


def _mean(counts: Sequence[Count]) -> Count:
    return Count(*(fmean(values) for values in zip(*counts, strict=True)))


def _cpu_seconds(operation: Operation, image: Path) -> float:
    """Processor time of the reads alone, the archive being open and its inodes known."""
    return median(
        fmean(_run_seconds(run.reads, image) for run in operation.runs) for _ in range(_REPETITIONS)
    )


def _run_seconds(reads: Sequence[Read], image: Path) -> float:
    with s3archivefs.open(image) as fs:
        lengths = [read.length or fs.stat(read.path).size for read in reads]
        start = time.process_time()
        for read, length in zip(reads, lengths, strict=True):
            with fs.open(read.path) as file:
                file.seek(read.offset)
                for place in range(0, length, _PIECE_BYTES):
                    file.read(min(_PIECE_BYTES, length - place))
        return time.process_time() - start


# ---- Telling -------------------------------------------------------------------------------------


def table(tree: Tree, rows: Mapping[str, Measured]) -> Iterator[str]:
    """One tree's ways of packing, each with what reading took."""
    names = [operation.name for operation in tree.operations]
    timed = [operation.name for operation in tree.operations if operation.is_timed]
    heads = ["image, MB", "packing, s", "metadata, KB", "opening", *names]
    heads += [f"{name}, ms" for name in timed]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * len(heads)}"
    for name, row in rows.items():
        cells = [
            f"{row.image_bytes / 1e6:.1f}",
            f"{row.packing_seconds:.1f}",
            f"{row.metadata_bytes / 1e3:,.0f}",
            _cell(row.opening),
            *(_cell(row.counts[each]) for each in names),
            *(_milliseconds(row.cpu_seconds[each]) for each in timed),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(count: Count) -> str:
    return f"{count.requests:.3g} / {count.bytes / 1e3:,.0f}"


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"


def _surroundings() -> str:
    lines = []
    for command in (["mksquashfs", "-version"], ["gensquashfs", "--version"]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        lines.append(ran.stdout.splitlines()[0])
    return ", ".join([*lines, f"{platform.python_implementation()} {platform.python_version()}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks packing")
    parser.add_argument("--only", action="append", choices=TREES, help="may be given several times")
    options = parser.parse_args(arguments)
    print(f"Of reading, requests / KB; seconds and ms are processor time. {_surroundings()}.")
    for name in options.only or TREES:
        with tempfile.TemporaryDirectory() as made:
            for line in _measured(name, Path(made)):
                print(line, flush=True)


def _measured(name: str, directory: Path) -> Iterator[str]:
    """One tree's title and table. Its store is its own: that keeps what was replaced, in memory."""
    tree = TREES[name](directory / name)
    rows = {}
    with ExitStack() as stack:
        store = stack.enter_context(Store.start(directory / "store"))
        stack.enter_context(patch.dict(os.environ, store.environ()))
        client = make_archive_client()
        stack.callback(client.close)
        for packing in FACTORS[name]:
            print(
                f"{time.strftime('%H:%M:%S')} {name}: {packing.name}", file=sys.stderr, flush=True
            )
            rows[packing.name] = measure(tree, packing, store, client, directory / "image.sqfs")
    yield f"\n### {name}: {len(tree.files):,} files, {tree.size / 1e6:.0f} MB\n"
    yield from table(tree, rows)


if __name__ == "__main__":
    main()
