"""The conditions that a request puts on an object: its version, and the If-* headers.

The rules follow captured behaviour of Amazon S3.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.dates import http_date, parse_http_date
from s3archivefs_lambda.s3api.errors import invalid_argument
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_preconditions", "check_version"]


def check_version(query: Mapping[str, str]) -> None:
    """Refuse any version but `null`, the only one in a bucket without versions.

    Raises S3Error InvalidArgument (400).
    """
    version = query.get("versionId", "null")
    if version != "null":
        empty = "Version id cannot be the empty string"
        message = "Invalid version id specified" if version else empty
        raise invalid_argument(message, "versionId", version)


def check_preconditions(headers: Mapping[str, str], etag: str, modified: float) -> None:
    """Check an object's ETag and modification time against the If-* headers.

    `modified` is in seconds since the epoch. Raises S3Error PreconditionFailed (412) or NotModified
    (304), in S3's order of precedence: If-Match rules out If-Unmodified-Since, and If-None-Match
    rules out If-Modified-Since.
    """
    modified = int(modified)
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, etag):
            raise _precondition_failed("If-Match")
    elif (since := _header_time(headers, "if-unmodified-since")) is not None and modified > since:
        raise _precondition_failed("If-Unmodified-Since")
    unchanged = False
    if (unwanted := headers.get("if-none-match")) is not None:
        unchanged = _matches(unwanted, etag)
    elif (since := _header_time(headers, "if-modified-since")) is not None:
        unchanged = modified <= since <= datetime.now(UTC).timestamp()
    if unchanged:
        known = {"ETag": etag, "Last-Modified": http_date(modified)}
        raise S3Error("NotModified", 304, "Not Modified", headers=known)


def _matches(wanted: str, etag: str) -> bool:
    bare = etag.strip('"')
    return any(
        tag.strip() == "*" or tag.strip().removeprefix("W/").strip('"') == bare
        for tag in wanted.split(",")
    )


def _header_time(headers: Mapping[str, str], name: str) -> float | None:
    given = headers.get(name)
    time = None if given is None else parse_http_date(given)
    return None if time is None else time.timestamp()


def _precondition_failed(header: str) -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error("PreconditionFailed", 412, message, extra={"Condition": header})
