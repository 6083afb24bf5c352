"""The operations on the bucket itself, which only an endpoint has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from s3archivefs_lambda.bucket.faults import answer_or_error
from s3archivefs_lambda.s3api.buckets import Bucket, bucket_location, list_buckets
from s3archivefs_lambda.s3api.messages import S3Response, xml_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs_lambda.bucket.operations import S3Operations
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["EndpointOperations"]


class EndpointOperations:
    """All operations of an endpoint: on its one bucket, and on what is in it."""

    def __init__(self, operations: S3Operations, bucket: str, region: str) -> None:
        """`operations` answers for what is in the bucket."""
        self._inside = operations
        self._bucket = Bucket(bucket, region, datetime.now(UTC))
        self._operations: dict[str, Callable[[S3Request], S3Response]] = {
            "ListBuckets": self._list_buckets,
            "HeadBucket": self._head_bucket,
            "GetBucketLocation": self._get_bucket_location,
        }

    def answer(self, operation: str, request: S3Request) -> S3Response:
        """Return the operation's answer, which may be an error."""
        run = self._operations.get(operation)
        if run is None:
            return self._inside.answer(operation, request)
        return answer_or_error(operation, run, request)

    def _list_buckets(self, request: S3Request) -> S3Response:
        return xml_response(list_buckets(request.query, [self._bucket]))

    def _head_bucket(self, _: S3Request) -> S3Response:
        headers = {"x-amz-bucket-region": self._bucket.region, "Content-Length": "0"}
        return S3Response(status=200, headers=headers)

    def _get_bucket_location(self, _: S3Request) -> S3Response:
        return xml_response(bucket_location(self._bucket.region))
