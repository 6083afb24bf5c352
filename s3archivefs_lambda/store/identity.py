"""What identifies an archive's bytes in S3: the one rule for every cache, pinned state and ETag.

A bucket's name means something within its store alone, and an ETag within its object. Two that
differ in any part are kept apart, which costs a fetch where they are the same after all.

Of the account only what names the bucket tells: the ARN of an access point holds it, and within a
partition of AWS a bucket's name belongs to one account. Credentials, which may decide it in other
stores, take no part: they change while the bytes do not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["object_identity", "version_identity"]

_PORTS = {"http": 80, "https": 443}


def object_identity(client: S3Client, bucket: str, key: str) -> str:
    """Identify an object, whatever its version: its store, as `client` reaches it, and its name."""
    return _joined(*_store(client), bucket, key)


def version_identity(
    client: S3Client, bucket: str, key: str, *, etag: str, version_id: str | None, size: int
) -> str:
    """Identify one version of an object, of `size` bytes; `version_id` is None where the bucket
    keeps no versions.
    """
    return _joined(*_store(client), bucket, key, etag.strip('"'), version_id, size)


def _store(client: S3Client) -> tuple[str | int | None, ...]:
    """Where requests go; never the user and password that an endpoint's URL may hold.

    The region is a part of it, for a store may heed the one that a request is signed for.
    """
    url = urlsplit(client.meta.endpoint_url)
    port = url.port or _PORTS.get(url.scheme)  # urlsplit has scheme and hostname in lower case
    return url.scheme, url.hostname, port, url.path.rstrip("/"), client.meta.region_name


def _joined(*parts: str | int | None) -> str:
    """One string of them, which no other parts make."""
    return json.dumps(parts)
