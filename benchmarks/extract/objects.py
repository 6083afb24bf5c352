"""The files of *source* as objects, 32 at a time, without an archive.

    python -m benchmarks.extract.objects put BUCKET PREFIX FILES
    python -m benchmarks.extract.objects get BUCKET PREFIX DIRECTORY

A process of its own, since a measured process counts its parent's memory as its own.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from benchmarks.reader.source_tree import SOURCE, File

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["get", "put"]

_THREADS = 32


def put(bucket: str, prefix: str, files: int) -> None:
    """Upload so many files of the tree."""
    client = _client()

    def put_one(file: File) -> None:
        client.put_object(Bucket=bucket, Key=f"{prefix}{file.path}", Body=file.content)

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(put_one, SOURCE.files(files)):
            pass


def get(bucket: str, prefix: str, directory: Path) -> None:
    """Download all objects below a prefix."""
    client = _client()

    def get_one(key: str) -> None:
        path = directory / key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())

    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    with ThreadPoolExecutor(_THREADS) as threads:
        for page in pages:
            for _ in threads.map(get_one, [each["Key"] for each in page["Contents"]]):
                pass


def _client() -> S3Client:
    """Return a client for all threads."""
    return boto3.client("s3", config=Config(max_pool_connections=_THREADS))


if __name__ == "__main__":
    _work, _bucket, _prefix, _last = sys.argv[1:]
    if _work == "put":
        put(_bucket, _prefix, int(_last))
    else:
        get(_bucket, _prefix, Path(_last))
