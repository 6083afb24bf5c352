"""Ranged GETs of one version of an object, cheaper than the client's own.

Each is sent once and accepts one answer: the range of that version, as it is. After any other, or
none, the client asks anew in its own way. So there is one way to retry, to follow redirects, to
renew credentials and to name errors.
"""

from __future__ import annotations

import logging
import random
import time
from typing import IO, TYPE_CHECKING, cast

from s3archivefs_lambda.store.errors import client_faults, object_url
from s3archivefs_lambda.store.prepared_gets import prepared_gets_of

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client
    from urllib3.response import BaseHTTPResponse

    from s3archivefs_lambda.store.prepared_gets import PreparedGet, PreparedGets

__all__ = ["RangedGets"]

_LOG = logging.getLogger("s3archivefs")

_PAUSED = {429, 500, 502, 503, 504}
"""Statuses before whose repetition botocore pauses too."""
_PAUSE_SECONDS = 1.0
"""Seconds of the longest pause: that of botocore's standard mode after a first attempt."""
_OF_THE_OBJECT = {304, 404, 412, 416}
"""Statuses that concern one version, and tell nothing about other GETs."""


class RangedGets:
    """The ranged GETs of one version of an object."""

    __slots__ = ("_bucket", "_client", "_etag", "_is_known", "_key", "_prepared", "_size")

    def __init__(self, client: S3Client, bucket: str, key: str, *, etag: str, size: int) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._etag = etag
        self._size = size
        self._is_known = False
        self._prepared: tuple[str | None, PreparedGet] | None = None

    def note_answer(self) -> None:
        """Note that the client's own way brought a range.

        Until then it is not known what that does: to find the bucket's region, to drop the version.
        """
        self._is_known = True

    def body(self, start: int, end: int, version_id: str | None) -> StreamingBody | None:
        """Return the unread body of a range, verified; or None: the client is to ask."""
        if not self._is_known:
            return None
        try:
            gets = prepared_gets_of(self._client)
        except client_faults():  # a forked child makes its client here: the next try tells of it
            gets = None
        if gets is None or gets.are_resting:
            return None
        try:
            prepared = self._fresh(gets, version_id)
            if prepared is None:
                return None
            wanted = {"Range": f"bytes={start}-{end - 1}", "If-Match": self._etag}
            answer = gets.send(prepared, wanted)
        except client_faults() as error:
            self._give_up(gets, type(error).__name__)
            return None
        if self._is_expected(answer, start, end):
            gets.note_success()
            from botocore.response import StreamingBody  # noqa: PLC0415 -- not needed for local images

            return StreamingBody(cast("IO[bytes]", answer), end - start)
        answer.close()  # unread, as it may be the whole object
        self._give_up(gets, f"status {answer.status}", answer.status)
        return None

    def _fresh(self, gets: PreparedGets, version_id: str | None) -> PreparedGet | None:
        def kept() -> PreparedGet | None:
            prepared = self._prepared
            if prepared is None or prepared[0] != version_id or not gets.is_fresh(prepared[1]):
                return None
            return prepared[1]

        def keep(made: PreparedGet) -> None:
            self._prepared = version_id, made

        if (found := kept()) is not None:
            return found
        pin = {} if version_id is None else {"VersionId": version_id}
        return gets.prepare(kept, keep, self._client, Bucket=self._bucket, Key=self._key, **pin)

    def _is_expected(self, answer: BaseHTTPResponse, start: int, end: int) -> bool:
        fields = answer.headers
        return (
            answer.status == 206
            and fields.get("Content-Range") == f"bytes {start}-{end - 1}/{self._size}"
            and fields.get("Content-Length") == str(end - start)
            and fields.get("ETag", "").strip('"') == self._etag.strip('"')
            and "Content-Encoding" not in fields
            and "Transfer-Encoding" not in fields
        )

    def _give_up(self, gets: PreparedGets, what: str, status: int | None = None) -> None:
        """Leave the next GET to the client, after a pause if the store needs one."""
        self._is_known = False
        self._prepared = None
        _LOG.debug("%s: a prepared GET failed: %s", object_url(self._bucket, self._key), what)
        if status not in _OF_THE_OBJECT:
            gets.note_failure()
        if status in _PAUSED:
            time.sleep(random.uniform(0, _PAUSE_SECONDS))  # noqa: S311 -- jitter
