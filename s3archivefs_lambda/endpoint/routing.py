"""Which S3 operation an HTTP request asks for, and of what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.errors import method_not_allowed, no_such_bucket, not_implemented
from s3archivefs_lambda.text import to_text

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from s3archivefs_lambda.endpoint.request_target import RequestTarget

__all__ = ["bucket_and_key", "check_method", "operation_of"]

_SUB_RESOURCES = frozenset(
    (  # noqa: SIM905 -- a list of words, not thirty lines
        "abac accelerate acl analytics annotation attributes cors encryption intelligent-tiering"
        " inventory legal-hold lifecycle logging metadataConfiguration metadataTable metrics"
        " notification object-lock ownershipControls policy policyStatus publicAccessBlock"
        " replication requestPayment retention session tagging torrent uploadId uploads versioning"
        " versions website"
    ).split(" ")
)
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
    """Raise S3Error MethodNotAllowed (405) for a method that does not read."""
    if method not in {"GET", "HEAD"}:
        raise method_not_allowed(method, allowed="GET, HEAD")


def operation_of(
    method: str, bucket: str, key: str, query: Mapping[str, str], *, served: Container[str]
) -> str:
    """Return S3's name of the operation that a GET or HEAD asks for.

    `served` are the buckets there are. Raises S3Error for what is not served.
    """
    is_head = method == "HEAD"
    if not bucket and not key:
        if is_head:
            raise method_not_allowed(method, allowed="GET")
        return "ListBuckets"
    if bucket not in served:
        raise no_such_bucket(bucket)
    if unknown := sorted(_SUB_RESOURCES.intersection(query)):
        raise not_implemented(unknown[0])
    if key:
        return "HeadObject" if is_head else "GetObject"
    if is_head:
        return "HeadBucket"
    if "location" in query:
        return "GetBucketLocation"
    return "ListObjectsV2" if query.get("list-type") == "2" else "ListObjects"
