"""Opening an S3 object in one round trip: both its ends, and its metadata."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda import accounting
from s3archivefs_lambda.store.device import Range, S3Device, get_range, head_object, pinned
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveReplacedError,
    ArchiveUnchangedError,
    object_url,
)
from s3archivefs_lambda.store.superblock_metadata import (
    SUPERBLOCK_BYTES,
    SUPERBLOCK_METADATA,
    fitting_superblock,
    superblock_in,
    user_metadata,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.store.device import Facts

__all__ = ["OpenedObject", "open_object"]

_LOG = logging.getLogger("s3archivefs")


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """An object's version, and the bytes that opening it fetched."""

    device: S3Device
    metadata: dict[str, str]
    """The user metadata, names in lower case."""
    head: bytes
    """The object's first bytes; empty if they were not fetched."""
    tail: bytes
    """The object's last bytes."""

    @property
    def has_superblock(self) -> bool:
        """Whether the user metadata holds a superblock that agrees with `head`."""
        found = superblock_in(self.metadata)
        return found is not None and found.startswith(self.head[:SUPERBLOCK_BYTES])

    def superblock(self) -> bytes | None:
        """Return the object's first 96 bytes, or None if it has fewer.

        They come from `head`, else from the user metadata, which may be another archive's.
        """
        if len(self.head) >= SUPERBLOCK_BYTES:
            return self.head[:SUPERBLOCK_BYTES]
        return superblock_in(self.metadata) if self.device.size >= SUPERBLOCK_BYTES else None


def open_object(
    client: S3Client,
    bucket: str,
    key: str,
    *,
    tail_bytes: int,
    head_bytes: int = SUPERBLOCK_BYTES,
    expect_superblock: bool = False,
    unless_etag: str | None = None,
) -> OpenedObject:
    """Open the current version of an object, in one round trip.

    One suffix GET fetches the last `tail_bytes` bytes, ETag, size and user metadata. Another GET,
    in parallel, fetches the first `head_bytes`; with `expect_superblock` it follows only if the
    metadata lacks the superblock, or has that of an image of another length. Stores that refuse the
    suffix get a HEAD and ordinary ranges. Raises ArchiveAccessError; ArchiveUnchangedError, after a
    single request, if the object has the ETag `unless_etag`.
    """
    is_conditional = unless_etag is not None
    condition = {"IfNoneMatch": unless_etag} if is_conditional else {}

    def attempt() -> OpenedObject:
        with ThreadPoolExecutor(max_workers=1) as executor:
            early: Future[_Read] | None = None
            if not expect_superblock and not is_conditional:
                read_head = accounting.with_current_request(_read_range)
                early = executor.submit(read_head, client, bucket, key, Range(0, head_bytes))
            read = _read_tail(client, bucket, key, tail_bytes, **condition)
            device, tail = read.device, read.data
            metadata = user_metadata(read.facts)
            if len(tail) == device.size:
                head = tail[:head_bytes]
            elif early:
                head = early.result().data
                if not device.is_same_version(early.result().device):
                    raise ArchiveReplacedError.of(bucket, key, "the object was replaced meanwhile")
            elif fitting_superblock(metadata, device.size) is None:
                head = device.pread(0, min(head_bytes, device.size))
            else:
                head = b""
        return OpenedObject(device, metadata, head, tail)

    try:
        opened = attempt()
    except ArchiveReplacedError:  # between two requests; twice in a row is no coincidence
        opened = attempt()
    mentioned = SUPERBLOCK_METADATA in opened.metadata and opened.head
    if mentioned and opened.head[:SUPERBLOCK_BYTES] != superblock_in(opened.metadata):
        _LOG.warning(
            "%s: its user metadata %s is not its first %d bytes in base64, and is ignored",
            object_url(bucket, key),
            SUPERBLOCK_METADATA,
            SUPERBLOCK_BYTES,
        )
    return opened


class _Read(NamedTuple):
    """Bytes of an object, their version, and the store's answer."""

    device: S3Device
    data: bytes
    facts: Facts


def _read_range(
    client: S3Client,
    bucket: str,
    key: str,
    wanted: Range,
    **condition: Any,  # noqa: ANN401 -- GetObject's
) -> _Read:
    """Read the range of the current version."""
    answer = get_range(client, bucket, key, wanted, **condition)
    if answer.device.etag == condition.get("IfNoneMatch"):  # the store ignores conditions
        answer.body.close()
        raise _unchanged(answer.device)
    length = answer.end - answer.start
    data = b"".join(answer.device.stream(answer.start, length, length, answer.body))
    return _Read(answer.device, data, answer.facts)


def _read_tail(
    client: S3Client,
    bucket: str,
    key: str,
    length: int,
    **condition: Any,  # noqa: ANN401 -- likewise
) -> _Read:
    """Read the last `length` bytes of the current version, or all if it is shorter."""
    try:
        return _read_range(client, bucket, key, Range(None, length), **condition)
    except ArchiveAccessError as error:
        # 400, 501: no suffix ranges here. 416: an empty object, or one shorter than the suffix.
        if error.status not in {400, 416, 501} or isinstance(error, ArchiveForbiddenError):
            raise
        refused = error
    try:
        facts = head_object(client, bucket, key)
    except ArchiveCredentialsError as error:
        # 400 without a word. If it is not the credentials, as of an object with a customer's key
        # (SSE-C), GET was told what it is.
        if refused.status == error.status == 400 and refused.code is not None:
            raise refused from error
        raise
    device = pinned(client, bucket, key, facts, facts.get("ContentLength"))
    if device.etag == condition.get("IfNoneMatch"):
        raise _unchanged(device)
    start = max(0, device.size - length)
    return _Read(device, device.pread(start, device.size - start), facts)


def _unchanged(device: S3Device) -> ArchiveUnchangedError:
    error = ArchiveUnchangedError.of(device.bucket, device.key, "the object is unchanged")
    error.version_id = device.version_id
    return error
