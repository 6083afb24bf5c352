"""The identity of an archive's bytes in S3, for caches, pinned versions and ETags.

An identity names the store, the bucket, the key and the version, because a bucket's name has a
meaning within its store only, and an ETag within its object. Two names for the same bytes cost one
more fetch.

The account is part of the bucket's name: the ARN of an access point holds it, and within a
partition of AWS a bucket's name belongs to one account. Credentials take no part, although they
choose the account in some stores: they change while the bytes do not.
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
    """Identify an object, whatever its version, in the store that `client` reaches."""
    return _joined(*_store(client), bucket, key)


def version_identity(
    client: S3Client, bucket: str, key: str, *, etag: str, version_id: str | None, size: int
) -> str:
    """Identify one version of an object of `size` bytes.

    `version_id` is None if the bucket keeps no versions.
    """
    return _joined(*_store(client), bucket, key, etag.strip('"'), version_id, size)


def _store(client: S3Client) -> tuple[str | int | None, ...]:
    """Return the address of the store, without the user and password of its URL.

    The region is part of it: some stores choose the object by the region of the signature.
    """
    url = urlsplit(client.meta.endpoint_url)
    port = url.port or _PORTS.get(url.scheme)  # urlsplit has scheme and hostname in lower case
    return url.scheme, url.hostname, port, url.path.rstrip("/"), client.meta.region_name


def _joined(*parts: str | int | None) -> str:
    """Return one string of the parts, different for different parts."""
    return json.dumps(parts)
