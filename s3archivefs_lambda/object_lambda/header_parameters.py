"""Headers of an answer as parameters of WriteGetObjectResponse, each of its type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.s3api.dates import parse_http_date
from s3archivefs_lambda.text import header_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["header_parameters"]

_METADATA = "x-amz-meta-"


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _iso_8601(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


_TEXTS = {
    "Accept-Ranges": "AcceptRanges",
    "Cache-Control": "CacheControl",
    "Content-Disposition": "ContentDisposition",
    "Content-Encoding": "ContentEncoding",
    "Content-Language": "ContentLanguage",
    "Content-Range": "ContentRange",
    "Content-Type": "ContentType",
    "ETag": "ETag",
    "x-amz-expiration": "Expiration",
    "x-amz-object-lock-legal-hold": "ObjectLockLegalHoldStatus",
    "x-amz-object-lock-mode": "ObjectLockMode",
    "x-amz-replication-status": "ReplicationStatus",
    "x-amz-restore": "Restore",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "x-amz-storage-class": "StorageClass",
    "x-amz-version-id": "VersionId",
}
"""Headers, and the parameters that take their text."""
_OTHERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "Content-Length": ("ContentLength", _integer),
    "Expires": ("Expires", parse_http_date),
    "Last-Modified": ("LastModified", parse_http_date),
    "x-amz-delete-marker": ("DeleteMarker", _boolean),
    "x-amz-missing-meta": ("MissingMeta", _integer),
    "x-amz-mp-parts-count": ("PartsCount", _integer),
    "x-amz-object-lock-retain-until-date": ("ObjectLockRetainUntilDate", _iso_8601),
    "x-amz-server-side-encryption-bucket-key-enabled": ("BucketKeyEnabled", _boolean),
    "x-amz-tagging-count": ("TagCount", _integer),
}
"""Headers whose parameters are no text, and what parses them; None if it cannot."""
_CHECKSUMS = {
    "x-amz-checksum-sha256": "ChecksumSHA256",
    "x-amz-checksum-sha1": "ChecksumSHA1",
    "x-amz-checksum-crc64nvme": "ChecksumCRC64NVME",
    "x-amz-checksum-crc32c": "ChecksumCRC32C",
    "x-amz-checksum-crc32": "ChecksumCRC32",
}
"""Checksums that each supported boto3 knows; it refuses a parameter that it does not."""


def header_parameters(status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the headers of an answer of that status as parameters of WriteGetObjectResponse.

    A value that is not of its parameter's type is left out; text is `header_text`.
    """
    parameters: dict[str, Any] = {
        parameter: header_text(headers[header])
        for header, parameter in _TEXTS.items()
        if header in headers
    }
    for header, (parameter, parse) in _OTHERS.items():
        if header in headers and (value := parse(headers[header])) is not None:
            parameters[parameter] = value
    if status == 200:
        parameters |= _checksum(headers)
    metadata = {
        name.removeprefix(_METADATA): header_text(value)
        for name, value in headers.items()
        if name.startswith(_METADATA)
    }
    if metadata:
        parameters["Metadata"] = metadata
    return parameters


def _checksum(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the parameter of a whole body's checksum, if there is one.

    S3 takes one, and compares it. One with a hyphen is made of those of parts, and is no body's.
    """
    for header, parameter in _CHECKSUMS.items():
        if header in headers and "-" not in headers[header]:
            return {parameter: headers[header]}
    return {}
