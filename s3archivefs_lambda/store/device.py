"""A block device over one version of one S3 object, read with ranged GETs.

Every answer is verified: its status, Content-Range, length and ETag must be those of the requested
range and version, so that neither a replaced object nor a careless store can become wrong bytes.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda.store.body import (
    LASTING_PATIENCE,
    BodyBrokenError,
    Patience,
    ResumedBody,
    in_pieces,
    new_memory,
)
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveUnavailableError,
    mapped_errors,
    object_url,
)
from s3archivefs_lambda.store.identity import version_identity
from s3archivefs_lambda.store.ranged_gets import RangedGets

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import TypeAlias

    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.store.body import Take

    # Not the stubs' type of an answer: that promises headers which only S3 itself always sends.
    Facts: TypeAlias = Mapping[str, Any]

__all__ = [
    "LASTING_PATIENCE",
    "Patience",
    "PinnedAnswer",
    "Range",
    "S3Device",
    "answered_range",
    "current_identity",
    "get_range",
    "head_object",
    "pinned",
]

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")

_PATIENCE = Patience()


class S3Device:
    """The bytes of one version of an S3 object, as a block device. Thread-safe."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        key: str,
        *,
        etag: str,
        size: int,
        version_id: str | None = None,
        patience: Patience = _PATIENCE,
    ) -> None:
        self._client = client
        self.bucket = bucket
        self.key = key
        self.etag = etag
        """The version's ETag as S3 gave it, quotes included."""
        self.size = size
        """Length of the object, in bytes."""
        self.version_id = version_id
        """The version's id, if the bucket keeps versions."""
        self._asks_for_version = version_id is not None
        self._patience = patience
        self._gets = RangedGets(client, bucket, key, etag=etag, size=size)

    @property
    def identity(self) -> str:
        """The text that identifies the bytes: see `store.identity`."""
        return version_identity(
            self._client,
            self.bucket,
            self.key,
            etag=self.etag,
            version_id=self.version_id,
            size=self.size,
        )

    def is_current(self) -> bool:
        """Ask S3, by one HEAD, whether the version is the current one.

        Raises ArchiveAccessError.
        """
        return current_identity(self._client, self.bucket, self.key) == self.identity

    def pread(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`, by one ranged GET.

        More GETs follow if a body breaks off. Raises ValueError for a range that is not inside
        [0, size), and ArchiveAccessError.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ValueError(f"bytes {offset} + {length} are not within the object's {self.size}")
        return b"".join(self.stream(offset, length, length)) if length else b""

    def stream(
        self,
        offset: int,
        length: int,
        piece_bytes: int,
        body: StreamingBody | None = None,
        *,
        take: Take = new_memory,
    ) -> Generator[memoryview, None, None]:
        """Yield the bytes of a range as they arrive, in pieces of `piece_bytes`.

        The last piece may be shorter. Their memory is what `take` returns. `body` is the verified
        answer to a GET of this range, if there is one already. Raises ArchiveAccessError.
        """
        url = object_url(self.bucket, self.key)
        firsts = iter([body is None])

        def request(done: int) -> StreamingBody:
            return self._request(offset + done, offset + length, is_first=next(firsts, False))

        source = ResumedBody(request, length, url, body, patience=self._patience)
        try:
            yield from in_pieces(source, length, piece_bytes, take)
        except BodyBrokenError as error:
            raise ArchiveUnavailableError.of(self.bucket, self.key, str(error)) from error

    def answer(self, offset: int, length: int) -> PinnedAnswer:
        """Request a range, and return the verified answer; its body is unread.

        Raises ArchiveAccessError.
        """
        answer = self._pinned_answer(Range(offset, length))
        if self.is_same_version(answer.device):
            self.note_answer()
            return answer
        answer.body.close()  # the store ignores If-Match, as rclone does
        raise ArchiveReplacedError.of(self.bucket, self.key, "the object was replaced")

    def is_same_version(self, other: S3Device) -> bool:
        """Return whether both have the same ETag and size."""
        return self.etag.strip('"') == other.etag.strip('"') and self.size == other.size

    def note_answer(self) -> None:
        """Note that the client brought a range as the device will ask for others."""
        self._gets.note_answer()

    def _request(self, start: int, end: int, *, is_first: bool) -> StreamingBody:
        """Request the bytes from `start` to `end`; return the unread body.

        All but the first request of a read are the client's own: a prepared one that gets no answer
        prolongs a read once at most.
        """
        version_id = self.version_id if self._asks_for_version else None
        if is_first and (body := self._gets.body(start, end, version_id)) is not None:
            return body
        return self.answer(start, end - start).body

    def _pinned_answer(self, wanted: Range) -> PinnedAnswer:
        """Request a range by version id and ETag, or, if forbidden, by ETag alone."""
        get = partial(get_range, self._client, self.bucket, self.key, wanted, IfMatch=self.etag)
        try:
            if self._asks_for_version:
                try:
                    return get(VersionId=self.version_id)
                except ArchiveForbiddenError:
                    # The credentials lack s3:GetObjectVersion. The ETag alone pins the version too.
                    self._asks_for_version = False
            return get()
        except ArchiveNotFoundError as error:
            # Not as it came: who reads a file would take FileNotFoundError to be about that file.
            what = "the version that was opened is no longer there"
            raise ArchiveReplacedError.of(self.bucket, self.key, what) from error


def current_identity(client: S3Client, bucket: str, key: str) -> str:
    """Return the `S3Device.identity` of the current version, by one HEAD.

    Raises ArchiveAccessError.
    """
    facts = head_object(client, bucket, key)
    return pinned(client, bucket, key, facts, facts.get("ContentLength")).identity


class Range(NamedTuple):
    """A range of an object's bytes."""

    start: int | None
    """The first byte; None for the last `length` bytes."""
    length: int

    def header(self) -> str:
        """Return the Range header."""
        if self.start is None:
            return f"bytes=-{self.length}"
        return f"bytes={self.start}-{self.start + self.length - 1}"

    def within(self, size: int) -> tuple[int, int]:
        """Return first byte and end in an object of `size` bytes, clipped as HTTP does."""
        start = max(0, size - self.length) if self.start is None else self.start
        return start, min(start + self.length, size)


class PinnedAnswer(NamedTuple):
    """The verified answer to a GET."""

    device: S3Device
    """The device, pinned to the version that the answer comes from."""
    start: int
    end: int
    facts: Facts

    @property
    def body(self) -> StreamingBody:
        """The unread body."""
        body: StreamingBody = self.facts["Body"]
        return body


def get_range(client: S3Client, bucket: str, key: str, wanted: Range, **pin: Any) -> PinnedAnswer:  # noqa: ANN401 -- GetObject's
    """Request a range of the version that `pin` (IfMatch, VersionId) names; verify the answer.

    Raises ArchiveAccessError.
    """
    with mapped_errors(bucket, key):
        facts: Facts = client.get_object(Bucket=bucket, Key=key, Range=wanted.header(), **pin)
    try:
        start, end, size = _verified_range(facts, bucket, key, wanted)
        device = pinned(client, bucket, key, facts, size)
        if pin.get("VersionId") == device.version_id:
            device.note_answer()
        return PinnedAnswer(device, start, end, facts)
    except ArchiveAccessError:
        facts["Body"].close()  # unread, as it may be the whole archive
        raise


def _verified_range(facts: Facts, bucket: str, key: str, wanted: Range) -> tuple[int, int, int]:
    """Return first byte, end and object size of an answer to this range.

    Raises ArchiveUnavailableError for any other range.
    """
    answered = answered_range(facts)
    if answered is not None and answered[:2] == wanted.within(answered[2]):
        return answered
    status = facts["ResponseMetadata"]["HTTPStatusCode"]
    what = (
        f"the store answered Range {wanted.header()} with status {status}, Content-Range"
        f" {facts.get('ContentRange')} and {facts.get('ContentLength')} bytes"
    )
    raise ArchiveUnavailableError.of(bucket, key, what, status)


def answered_range(facts: Facts) -> tuple[int, int, int] | None:
    """Return first byte, end and object size of an answer; None if it contradicts itself."""
    status = facts["ResponseMetadata"]["HTTPStatusCode"]
    length = facts.get("ContentLength")
    content_range = facts.get("ContentRange")
    if match := _CONTENT_RANGE.fullmatch(content_range or ""):
        # Whatever the status: rclone answers ranges with 200 and a right Content-Range.
        start, end, size = int(match[1]), int(match[2]) + 1, int(match[3])
        return (start, end, size) if length is None or length <= end - start else None
    if status == 200 and content_range is None and length is not None:
        return 0, length, length  # the whole object, which may be the requested range
    return None


def head_object(client: S3Client, bucket: str, key: str) -> Facts:
    """Return S3's answer to HEAD of the current version; raise ArchiveAccessError."""
    with mapped_errors(bucket, key):
        return client.head_object(Bucket=bucket, Key=key)


def pinned(
    client: S3Client,
    bucket: str,
    key: str,
    facts: Facts,
    size: int | None,
    *,
    patience: Patience = _PATIENCE,
) -> S3Device:
    """Return the device pinned to the version that an answer describes."""
    etag, version = facts.get("ETag"), facts.get("VersionId")
    if version in {"", "null"}:  # the object is older than the bucket's versioning
        version = None
    if etag and size is not None:
        return S3Device(
            client, bucket, key, etag=etag, size=size, version_id=version, patience=patience
        )
    # Without an ETag, bytes of two versions could be mixed unnoticed.
    what = "the store's answer lacks ETag or Content-Length"
    status = facts["ResponseMetadata"]["HTTPStatusCode"]
    raise ArchiveUnavailableError.of(bucket, key, what, status)
