"""Which S3 operation an HTTP request asks for, and of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.cors import PREFLIGHT_METHOD
from s3archivefs_lambda.s3api.errors import (
    invalid_argument,
    method_not_allowed,
    no_such_bucket,
    not_implemented,
)
from s3archivefs_lambda.s3api.sub_resources import BUCKET_OPERATIONS, OBJECT_OPERATIONS
from s3archivefs_lambda.text import to_text

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from s3archivefs_lambda.endpoint.request_target import RequestTarget

__all__ = ["bucket_and_key", "check_method", "operation_of"]

_UNSERVED = frozenset(
    (  # noqa: SIM905 -- a list of words, not ten lines
        "abac analytics annotation intelligent-tiering inventory metadataConfiguration"
        " metadataTable metrics session torrent"
    ).split(" ")
)
"""Query parameters that ask for an operation that is not served."""
_SUB_RESOURCES = _UNSERVED.union(BUCKET_OPERATIONS, OBJECT_OPERATIONS)
"""Query parameters that ask for another operation than method and path say."""


def bucket_and_key(target: RequestTarget, named: str) -> tuple[str, str]:
    """Return the bucket and the key that a request is for; either may be empty.

    `named` is the bucket that the host names, if it does.
    """
    if named:
        return named, to_text(target.path[1:])
    bucket, _, key = to_text(target.path[1:]).partition("/")
    return bucket, key


def check_method(method: str) -> None:
    """Raise S3Error MethodNotAllowed (405) for a method that could write."""
    if method not in {"GET", "HEAD", PREFLIGHT_METHOD}:
        raise method_not_allowed(method, allowed="GET, HEAD")


def operation_of(
    method: str, bucket: str, key: str, query: Mapping[str, str], *, served: Container[str]
) -> str:
    """Return S3's name of the operation that a request asks for.

    A preflight request of a browser is Preflight.

    `served` are the buckets there are. Raises S3Error for what is not served.
    """
    is_head = method == "HEAD"
    is_of_service = not bucket and not key
    if bucket not in served and not is_of_service:
        raise no_such_bucket(bucket)
    if method == PREFLIGHT_METHOD:
        return "Preflight"
    if is_of_service:
        if is_head:
            raise method_not_allowed(method, allowed="GET")
        return "ListBuckets"
    if asked := _SUB_RESOURCES.intersection(query):
        served_here = OBJECT_OPERATIONS if key else BUCKET_OPERATIONS
        return _sub_resource(sorted(asked), {} if is_head else served_here)
    if is_head:
        return "HeadObject" if key else "HeadBucket"
    return "GetObject" if key else _read_of_bucket(query)


def _read_of_bucket(query: Mapping[str, str]) -> str:
    if "location" in query:
        return "GetBucketLocation"
    return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"


def _sub_resource(asked: list[str], served: Mapping[str, str]) -> str:
    """Return the operation that query parameters ask for, one of them at most."""
    if len(asked) > 1:
        message = f"Conflicting query string parameters: {', '.join(asked)}"
        raise invalid_argument(message, "ResourceType", asked[0])
    if asked[0] not in served:
        raise not_implemented(asked[0])
    return served[asked[0]]
