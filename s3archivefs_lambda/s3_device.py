"""A block device over one version of one S3 object, read with ranged GETs.

Every answer is verified: its status, Content-Range, length and ETag must be those of the range and
the version asked for, so that neither a replaced object nor a careless store can become wrong
bytes. A body that breaks half-way is resumed at the byte reached, which no retry mode of botocore
does.
"""

from __future__ import annotations

import base64
import logging
import random
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.s3_errors import (
    ArchiveAccessError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
    client_faults,
    mapped_errors,
    object_url,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client

    # Not the stubs' type of an answer: that promises headers which only S3 itself always sends.
    Facts: TypeAlias = Mapping[str, Any]

__all__ = [
    "ArchiveAccessError",
    "ArchiveForbiddenError",
    "ArchiveNotFoundError",
    "ArchiveReplacedError",
    "ArchiveThrottledError",
    "ArchiveUnavailableError",
    "OpenedObject",
    "S3Device",
    "current_etag",
    "open_object",
]

_LOG = logging.getLogger("s3archivefs")

SUPERBLOCK_METADATA = "s3archivefs-superblock"
"""Name of the user metadata that holds the first `SUPERBLOCK_BYTES` bytes of an image in base64."""
SUPERBLOCK_BYTES = 96

# Five attempts, as mountpoint-s3 and s3transfer make. None begins after 15 s: with the client's own
# retries within one last request that stays below the 60 s S3 Object Lambda gives a function.
_ATTEMPTS = 5
_LAST_ATTEMPT_SECONDS = 15.0
# Doubled at each attempt. Short: a broken body, other than SlowDown, does not ask for patience.
_BACKOFF_SECONDS = 0.05
_PIECE_BYTES = 256 * 1024


class S3Device:
    """The bytes of one version of an S3 object, as a block device; threads may share it."""

    def __init__(self, client: S3Client, bucket: str, key: str, *, etag: str, size: int) -> None:
        self._client = client
        self.bucket = bucket
        self.key = key
        self.etag = etag
        """The version's ETag as S3 gave it, quotes included."""
        self.size = size
        """Length of the object, in bytes."""

    def pread(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, with one ranged GET (more where its body breaks).

        Raises ValueError for a range that is not inside [0, size), and ArchiveAccessError.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"bytes {offset} + {length} are not within the object's {self.size}")
        return self.complete(offset, length, None) if length else b""

    def complete(self, offset: int, length: int, body: StreamingBody | None) -> bytes:
        """As pread, but read first from `body`, the verified answer to a GET of this range."""
        pieces: list[bytes] = []
        missing = length
        started = time.monotonic()
        fault = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                if time.monotonic() - started > _LAST_ATTEMPT_SECONDS:
                    break
                url = object_url(self.bucket, self.key)
                _LOG.info("%s: %s with %d of %d bytes missing", url, fault, missing, length)
                time.sleep(random.uniform(0, _BACKOFF_SECONDS * 2**attempt))  # noqa: S311 -- jitter
            if attempt or body is None:
                body = self._request(offset + length - missing, missing)
            fault = "the body ended"
            try:
                with closing(body):  # gives the connection back to the pool once all is read
                    read = _reader(body)
                    while missing and (piece := read(min(missing, _PIECE_BYTES))):
                        pieces.append(piece)
                        missing -= len(piece)
            except client_faults() as error:
                fault = f"the body broke off ({type(error).__name__})"
            if not missing:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        what = f"{fault} with {missing} of {length} bytes missing, also when asked for again"
        raise ArchiveUnavailableError.of(self.bucket, self.key, what)

    def is_same_version(self, other: S3Device) -> bool:
        """Whether both are of the same content: ETag and size are equal."""
        return self.etag.strip('"') == other.etag.strip('"') and self.size == other.size

    def _request(self, offset: int, length: int) -> StreamingBody:
        """The verified, unread body of one GET pinned to this version."""
        wanted = _Range(offset, length)
        answer = _get(self._client, self.bucket, self.key, wanted, self.etag)
        if self.is_same_version(answer.device):
            return answer.body
        answer.body.close()  # the store ignores If-Match, as rclone does
        raise ArchiveReplacedError.of(self.bucket, self.key, "the object was replaced")


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """What opening an object brought."""

    device: S3Device
    metadata: dict[str, str]
    """User metadata, names in lower case: stores differ in the case they return."""
    head: bytes
    """The object's first bytes; empty where they were not fetched."""
    tail: bytes
    """The object's last bytes."""

    def superblock(self) -> bytes | None:
        """The object's first 96 bytes, from itself or from its user metadata; None if in neither.

        The object wins: its metadata may have been copied from another archive.
        """
        if len(self.head) >= SUPERBLOCK_BYTES:
            return self.head[:SUPERBLOCK_BYTES]
        return _superblock_in(self.metadata)


def open_object(
    client: S3Client,
    bucket: str,
    key: str,
    *,
    tail_bytes: int,
    head_bytes: int = SUPERBLOCK_BYTES,
    expect_superblock: bool = False,
) -> OpenedObject:
    """Open the current version of an object, in one round trip.

    One suffix GET brings the last `tail_bytes` bytes, ETag, size and user metadata. The first
    `head_bytes` come at the same time; with `expect_superblock` afterwards, and only where the
    metadata lacks the superblock. Stores that refuse the suffix get a HEAD and ordinary ranges.
    Raises ArchiveAccessError.
    """

    def attempt() -> OpenedObject:
        with ThreadPoolExecutor(max_workers=1) as executor:
            early: Future[_Read] | None = None
            if not expect_superblock:
                early = executor.submit(_read_range, client, bucket, key, _Range(0, head_bytes))
            read = _read_tail(client, bucket, key, tail_bytes)
            device, tail = read.device, read.data
            metadata = {k.lower(): v for k, v in read.facts.get("Metadata", {}).items()}
            if len(tail) == device.size:
                head = tail[:head_bytes]
            elif early:
                head = early.result().data
                if not device.is_same_version(early.result().device):
                    raise ArchiveReplacedError.of(bucket, key, "the object was replaced meanwhile")
            elif _superblock_in(metadata) is None:
                head = device.pread(0, min(head_bytes, device.size))
            else:
                head = b""
        return OpenedObject(device, metadata, head, tail)

    try:
        opened = attempt()
    except ArchiveReplacedError:  # between two of the requests; twice in a row is no coincidence
        opened = attempt()
    mentioned = SUPERBLOCK_METADATA in opened.metadata and opened.head
    if mentioned and opened.head[:SUPERBLOCK_BYTES] != _superblock_in(opened.metadata):
        _LOG.warning(
            "%s: its user metadata %s is not its first %d bytes in base64, and is ignored",
            object_url(bucket, key),
            SUPERBLOCK_METADATA,
            SUPERBLOCK_BYTES,
        )
    return opened


def current_etag(client: S3Client, bucket: str, key: str) -> str:
    """The ETag of the object's current version, by one HEAD; raises ArchiveAccessError."""
    return _pinned(client, bucket, key, _head(client, bucket, key), 0).etag


class _Range(NamedTuple):
    start: int | None
    """None: the last `length` bytes."""
    length: int

    def header(self) -> str:
        if self.start is None:
            return f"bytes=-{self.length}"
        return f"bytes={self.start}-{self.start + self.length - 1}"

    def within(self, size: int) -> tuple[int, int]:
        """Where the range begins and ends in an object of `size` bytes, clipped as HTTP does."""
        start = max(0, size - self.length) if self.start is None else self.start
        return start, min(start + self.length, size)


class _Answer(NamedTuple):
    """The verified answer to a GET."""

    device: S3Device
    """Pinned to the version that the answer comes from."""
    start: int
    end: int
    facts: Facts

    @property
    def body(self) -> StreamingBody:
        """Not yet read."""
        body: StreamingBody = self.facts["Body"]
        return body


class _Read(NamedTuple):
    """Bytes of an object, the version they come from, and what else the store said of it."""

    device: S3Device
    data: bytes
    facts: Facts


def _get(
    client: S3Client, bucket: str, key: str, wanted: _Range, if_match: str | None = None
) -> _Answer:
    pin: dict[str, Any] = {"IfMatch": if_match} if if_match else {}
    with mapped_errors(bucket, key):
        facts: Facts = client.get_object(Bucket=bucket, Key=key, Range=wanted.header(), **pin)
    try:
        start, end, size = _verified_range(facts, bucket, key, wanted)
        return _Answer(_pinned(client, bucket, key, facts, size), start, end, facts)
    except ArchiveAccessError:
        facts["Body"].close()  # not drained: it may be the whole archive
        raise


def _verified_range(facts: Facts, bucket: str, key: str, wanted: _Range) -> tuple[int, int, int]:
    """First byte, end and size of the object as the answer states them, if they were asked for."""
    status = facts["ResponseMetadata"]["HTTPStatusCode"]
    length = facts.get("ContentLength")
    content_range = facts.get("ContentRange")
    pattern = r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})"
    if match := re.fullmatch(pattern, content_range or ""):
        # Whatever the status: rclone answers ranges with 200, and a Content-Range that is right.
        start, end, size = int(match[1]), int(match[2]) + 1, int(match[3])
    elif status == 200 and content_range is None and length is not None:
        start, end, size = 0, length, length  # the whole object, which may be what was asked for
    else:
        start, end, size = 0, -1, 0
    if (start, end) == wanted.within(size) and (length is None or length <= end - start):
        return start, end, size
    what = (
        f"the store answered Range {wanted.header()} with status {status}, Content-Range"
        f" {content_range} and {length} bytes"
    )
    raise ArchiveUnavailableError.of(bucket, key, what, status)


def _head(client: S3Client, bucket: str, key: str) -> Facts:
    with mapped_errors(bucket, key):
        return client.head_object(Bucket=bucket, Key=key)


def _pinned(client: S3Client, bucket: str, key: str, facts: Facts, size: int | None) -> S3Device:
    etag = facts.get("ETag")
    if etag and size is not None:
        return S3Device(client, bucket, key, etag=etag, size=size)
    # Refused: without an ETag, bytes of two versions could be mixed unnoticed.
    raise ArchiveUnavailableError.of(bucket, key, "the store's answer lacks ETag or Content-Length")


def _read_range(client: S3Client, bucket: str, key: str, wanted: _Range) -> _Read:
    """Read the range of the current version."""
    answer = _get(client, bucket, key, wanted)
    data = answer.device.complete(answer.start, answer.end - answer.start, answer.body)
    return _Read(answer.device, data, answer.facts)


def _read_tail(client: S3Client, bucket: str, key: str, length: int) -> _Read:
    """Read the last `length` bytes of the current version, or all where it is shorter."""
    try:
        return _read_range(client, bucket, key, _Range(None, length))
    except ArchiveAccessError as error:
        # 400, 501: no suffix ranges here. 416: an empty object, or one shorter than the suffix.
        if error.status not in {400, 416, 501} or isinstance(error, ArchiveForbiddenError):
            raise
    facts = _head(client, bucket, key)
    device = _pinned(client, bucket, key, facts, facts.get("ContentLength"))
    start = max(0, device.size - length)
    return _Read(device, device.pread(start, device.size - start), facts)


def _superblock_in(metadata: dict[str, str]) -> bytes | None:
    try:
        data = base64.b64decode(metadata.get(SUPERBLOCK_METADATA, ""), validate=True)
    except ValueError:
        return None
    return data if len(data) == SUPERBLOCK_BYTES else None


def _reader(body: StreamingBody) -> Callable[[int], bytes]:
    """A read that returns what has arrived.

    StreamingBody's own waits for all it was asked for, and loses the part that came when the rest
    does not. `read1` of the urllib3 response below it is the same without the wait.
    """
    read: Callable[[int], bytes] = getattr(getattr(body, "_raw_stream", body), "read1", body.read)
    return read
