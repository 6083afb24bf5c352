"""Objects of the store as it answers for them: status, headers, and a resumed body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.store.body import Patience
from s3archivefs_lambda.store.device import answered_range, pinned
from s3archivefs_lambda.store.errors import (
    ArchiveCredentialsError,
    ArchiveUnavailableError,
    mapped_errors,
    refusals,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.store.device import Facts, S3Device

__all__ = ["StoredObject", "get_object", "head_object"]

_PIECE_BYTES = 1 << 20
"""Bytes of a body's piece: what an answer holds in memory."""
_PATIENCE = Patience(renewing_bytes=512 * 1024)
"""As for ranges of archives, but a body may take hours."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The store's answer to a GET or HEAD of an object."""

    status: int
    headers: Mapping[str, str]
    """All header fields, by their names in lower case."""
    length: int
    """Bytes of the body; of HEAD, those that GET would have."""
    body: Generator[bytes | memoryview, None, None]
    """Pieces, of HEAD none; close it in any case. Raises ArchiveAccessError."""


def head_object(
    client: S3Client,
    bucket: str,
    key: str,
    parameters: Mapping[str, Any],
    *,
    by_url: bool = False,
) -> StoredObject:
    """Return the answer to HEAD with HeadObject's further parameters.

    Of a bare 400, a GET asks why, unless the request may be at fault or goes `by_url`, by a URL
    signed for HEAD alone. Raises StoreRefusedError and ArchiveAccessError.
    """
    concerns_request = by_url or not parameters.keys().isdisjoint(
        {"PartNumber", "Range", "VersionId"}
    )
    try:
        with mapped_errors(bucket, key), refusals(concerns_request=concerns_request):
            facts: Facts = client.head_object(Bucket=bucket, Key=key, **parameters)
    except ArchiveCredentialsError as error:
        if error.status == 400 and error.code is None:
            get_object(client, bucket, key, {**parameters, "Range": "bytes=0-0"}).body.close()
        raise
    return _answer(facts, facts.get("ContentLength", 0), _nothing())


def get_object(
    client: S3Client, bucket: str, key: str, parameters: Mapping[str, Any]
) -> StoredObject:
    """Return the answer to GET with GetObject's further parameters.

    A body that breaks off is resumed, in the same version. Raises as `head_object` does.
    """
    with mapped_errors(bucket, key), refusals(concerns_request=True):
        facts: Facts = client.get_object(Bucket=bucket, Key=key, **parameters)
    answered = answered_range(facts)
    try:
        if answered is None:
            status = facts["ResponseMetadata"]["HTTPStatusCode"]
            what = f"the store answered with status {status} and a length of its own"
            raise ArchiveUnavailableError.of(bucket, key, what, status)
        start, end, size = answered
        device = pinned(client, bucket, key, facts, size, patience=_PATIENCE)
    except ArchiveUnavailableError:
        facts["Body"].close()
        raise
    body = _pieces(device, start, end, facts)
    next(body)  # from now on, closing it closes the store's
    return _answer(facts, end - start, body)


def _answer(
    facts: Facts, length: int, body: Generator[bytes | memoryview, None, None]
) -> StoredObject:
    metadata = facts["ResponseMetadata"]
    return StoredObject(metadata["HTTPStatusCode"], metadata["HTTPHeaders"], length, body)


def _pieces(
    device: S3Device, position: int, end: int, facts: Facts
) -> Generator[bytes | memoryview, None, None]:
    """Yield nothing, then the pieces of a body, from as many GETs as it takes."""
    try:
        yield b""
        yield from device.stream(position, end - position, _PIECE_BYTES, facts["Body"])
    finally:
        facts["Body"].close()


def _nothing() -> Generator[bytes | memoryview, None, None]:
    yield from ()
