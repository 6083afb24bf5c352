"""ListBuckets and GetBucketLocation as Amazon S3 speaks them: parameters and XML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.errors import invalid_argument
from s3archivefs_lambda.s3api.listing import decode_token, encode_token
from s3archivefs_lambda.s3api.xml import OWNER_ID, S3_NAMESPACE, XML_HEAD, xml_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

__all__ = ["DEFAULT_REGION", "Bucket", "bucket_location", "list_buckets"]

DEFAULT_REGION = "us-east-1"
MAX_BUCKETS = 10_000
"""Buckets on a page: S3's limit."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, as ListBuckets shows it."""

    name: str
    region: str
    created: datetime
    """In UTC."""


def bucket_location(region: str) -> bytes:
    """Return the LocationConstraint document, UTF-8: S3 names every region but its first."""
    named = "" if region == DEFAULT_REGION else xml_text(region)
    root = f'<LocationConstraint xmlns="{S3_NAMESPACE}">{named}</LocationConstraint>'
    return f"{XML_HEAD}{root}".encode()


def list_buckets(query: Mapping[str, str], buckets: Sequence[Bucket]) -> bytes:
    """Return the ListAllMyBucketsResult document, UTF-8, of the page that is asked for.

    `buckets` are in byte order of their names. Raises S3Error InvalidArgument.
    """
    prefix = query.get("prefix", "")
    size = _max_buckets(query.get("max-buckets", ""))
    # Unlike that of a listing of objects, an empty token is none.
    token = query.get("continuation-token", "")
    after = decode_token(token) if token else b""
    region = query.get("bucket-region", "")
    found = [
        bucket
        for bucket in buckets
        if bucket.name.encode() > after
        and bucket.name.startswith(prefix)
        and region in {"", bucket.region}
    ]
    return "".join(_document(query, found[:size], more=len(found) > size)).encode()


_PARAMETERS = frozenset({"bucket-region", "continuation-token", "max-buckets", "prefix"})


def _document(query: Mapping[str, str], page: Sequence[Bucket], *, more: bool) -> Iterator[str]:
    yield f'{XML_HEAD}<ListAllMyBucketsResult xmlns="{S3_NAMESPACE}">'
    yield f"<Owner><ID>{OWNER_ID}</ID></Owner><Buckets>"
    for bucket in page:
        yield f"<Bucket><Name>{xml_text(bucket.name)}</Name>"
        yield f"<CreationDate>{bucket.created:%Y-%m-%dT%H:%M:%S.000Z}</CreationDate>"
        if not _PARAMETERS.isdisjoint(query):  # S3 tells regions to those who know its parameters
            yield f"<BucketRegion>{xml_text(bucket.region)}</BucketRegion>"
        yield "</Bucket>"
    yield "</Buckets>"
    if more:
        token = encode_token(page[-1].name.encode())
        yield f"<ContinuationToken>{token}</ContinuationToken>"
    if "prefix" in query:
        yield f"<Prefix>{xml_text(query['prefix'])}</Prefix>"
    yield "</ListAllMyBucketsResult>"


def _max_buckets(text: str) -> int:
    if text == "":
        return MAX_BUCKETS
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_BUCKETS:
        message = f"Argument max-buckets must be an integer between 1 and {MAX_BUCKETS}"
        raise invalid_argument(message, "max-buckets", text)
    return int(text)
