"""The operations on buckets themselves, which only an endpoint has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs_lambda.bucket.faults import answer_or_error
from s3archivefs_lambda.s3api.buckets import Bucket, bucket_location, list_buckets
from s3archivefs_lambda.s3api.messages import S3Response, xml_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs_lambda.bucket.operations import ServedOperations
    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.archive_lanes import ArchiveLanes
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["EndpointOperations", "ServedBucket"]


@dataclass(frozen=True, slots=True)
class ServedBucket:
    """What an endpoint needs of a bucket."""

    operations: ServedOperations
    """They answer for what is in it."""
    lanes: ArchiveLanes | None = None
    """In which requests wait; all in one, if None."""


class EndpointOperations:
    """All operations of an endpoint: on its buckets, and on what is in them."""

    def __init__(self, buckets: Mapping[str, ServedBucket], region: str) -> None:
        now = datetime.now(UTC)
        self._inside = {name: bucket.operations for name, bucket in buckets.items()}
        self._buckets = [Bucket(name, region, now) for name in sorted(buckets)]
        self._region = region
        self._operations: dict[str, Callable[[AccessKey | None, S3Request], S3Response]] = {
            "ListBuckets": self._list_buckets,
            "HeadBucket": self._head_bucket,
            "GetBucketLocation": self._get_bucket_location,
        }

    def answer(self, operation: str, request: S3Request, key: AccessKey | None) -> S3Response:
        """Return the operation's answer, which may be an error.

        `key` asks for it; None may read everything.
        """
        run = self._operations.get(operation)
        if run is None:
            return self._inside[request.bucket].answer(operation, request)
        return answer_or_error(operation, partial(run, key), request)

    def at_hand(
        self, operation: str, request: S3Request, key: AccessKey | None
    ) -> S3Response | None:
        """Return the same if it takes neither reading nor waiting."""
        if operation in self._operations:
            return self.answer(operation, request, key)
        return self._inside[request.bucket].at_hand(operation, request)

    def _list_buckets(self, key: AccessKey | None, request: S3Request) -> S3Response:
        buckets = [each for each in self._buckets if key is None or key.may_read_in(each.name)]
        return xml_response(list_buckets(request.query, buckets))

    def _head_bucket(self, _: AccessKey | None, __: S3Request) -> S3Response:
        headers = {"x-amz-bucket-region": self._region, "Content-Length": "0"}
        return S3Response(status=200, headers=headers)

    def _get_bucket_location(self, _: AccessKey | None, __: S3Request) -> S3Response:
        return xml_response(bucket_location(self._region))
