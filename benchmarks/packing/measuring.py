"""Pack a tree in one way, and measure what reading it takes."""

from __future__ import annotations

import base64
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

import s3archivefs
from benchmarks.packing.options import SORT_FILE, Packing
from benchmarks.packing.trees import Operation, Read, Run, Tree
from benchmarks.remote.reader import range_header
from benchmarks.remote.store import Store
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask
from tests.support.images.trees import pack

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["Count", "Measured", "measure"]

_KEY = "image.sqfs"
_SUPERBLOCK_BYTES = 96
_PIECE_BYTES = 1 << 20
_REPETITIONS = 5
"""Of each timed operation; the median counts."""


class Count(NamedTuple):
    """Requests to S3 and the bytes they brought."""

    requests: float
    bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way to pack a tree, and the cost of reading it."""

    image_bytes: int
    metadata_bytes: int
    packing_seconds: float
    """The packer's processor time."""
    opening: Count
    counts: dict[str, Count]
    """By operation."""
    cpu_seconds: dict[str, float]
    """By operation, the reader's processor time, from a local image."""


def measure(tree: Tree, packing: Packing, store: Store, client: S3Client, image: Path) -> Measured:
    """Pack the tree as `image`, upload that, and run the tree's operations."""
    seconds = _packed(tree, packing, image)
    with image.open("rb") as file:
        superblock = file.read(_SUPERBLOCK_BYTES)
        file.seek(0)
        store.gateway.client().put_object(
            Bucket=store.bucket,
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
    """Pack the tree; return the packer's processor time."""
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
    """Return the cost of opening the archive, and that of the run's reads."""
    # A background thread still writes chunks when the directory is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        config = Config.from_environ(
            {
                "S3ARCHIVEFS_CACHE_DIR": cache,
                "S3ARCHIVEFS_PREFIX_VMAP1": f"|s3://{store.bucket}/{_KEY}",
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
    return b"".join(ask(operations, "GetObject", S3Request(key=read.path, headers=headers)).body)


def _count(store: Store) -> Count:
    requests = store.requests()
    return Count(len(requests), sum(request["bytes"] for request in requests))


def _mean(counts: Sequence[Count]) -> Count:
    return Count(*(fmean(values) for values in zip(*counts, strict=True)))


def _cpu_seconds(operation: Operation, image: Path) -> float:
    """Return the processor time of reads from an open archive with known inodes."""
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
