"""Buckets of a store that tests share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

__all__ = ["new_bucket"]


@contextmanager
def new_bucket(client: S3Client, name: str) -> Iterator[None]:
    """Make a bucket, and delete it afterwards, with what it holds.

    Where pytest-xdist balances its workers, one may come to a module again, and make what the whole
    module shares again.
    """
    client.create_bucket(Bucket=name)
    yield
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for there in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=there["Key"])
    client.delete_bucket(Bucket=name)
