"""The operations on buckets themselves and on sub-resources, which only an endpoint has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs_lambda.bucket.faults import answer_or_error
from s3archivefs_lambda.s3api.buckets import Bucket, bucket_location, list_buckets
from s3archivefs_lambda.s3api.messages import S3Response, xml_response
from s3archivefs_lambda.s3api.sub_resources import (
    BUCKET_OPERATIONS,
    OBJECT_OPERATIONS,
    bucket_document,
    no_such_upload,
    object_document,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs_lambda.bucket.operations import ServedOperations
    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.archive_lanes import ArchiveLanes
    from s3archivefs_lambda.endpoint.cors import Cors
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["EndpointOperations", "ServedBucket"]

_OF_BUCKETS = frozenset(BUCKET_OPERATIONS.values()) - {"ListObjectVersions"}
_OF_OBJECTS = frozenset(OBJECT_OPERATIONS.values()) - {"ListParts"}


@dataclass(frozen=True, slots=True)
class ServedBucket:
    """What an endpoint needs of a bucket."""

    operations: ServedOperations
    """They answer for what is in it."""
    lanes: ArchiveLanes | None = None
    """In which requests wait; all in one, if None."""


class EndpointOperations:
    """All operations of an endpoint: on its buckets, and on what is in them."""

    def __init__(self, buckets: Mapping[str, ServedBucket], region: str, cors: Cors) -> None:
        now = datetime.now(UTC)
        self._inside = {name: bucket.operations for name, bucket in buckets.items()}
        self._buckets = [Bucket(name, region, now) for name in sorted(buckets)]
        self._region = region
        self._operations: dict[str, Callable[[AccessKey | None, S3Request], S3Response]] = {
            "ListBuckets": self._list_buckets,
            "HeadBucket": self._head_bucket,
            "Preflight": partial(_preflight, cors),
            "GetBucketLocation": self._get_bucket_location,
            "ListParts": _list_parts,
            **{name: partial(_bucket_document, name) for name in _OF_BUCKETS},
        }

    def answer(self, operation: str, request: S3Request, key: AccessKey | None) -> S3Response:
        """Return the operation's answer, which may be an error.

        `key` asks for it; None may read everything.
        """
        if operation in self._operations:
            return answer_or_error(operation, partial(self._operations[operation], key), request)
        inside = self._inside[request.bucket]
        if operation in _OF_OBJECTS:
            found = inside.answer("HeadObject", _without_conditions(request))
            return _of_object(operation, request, found)
        return inside.answer(operation, request)

    def at_hand(
        self, operation: str, request: S3Request, key: AccessKey | None
    ) -> S3Response | None:
        """Return the same if it takes neither reading nor waiting."""
        if operation in self._operations:
            return self.answer(operation, request, key)
        inside = self._inside[request.bucket]
        if operation in _OF_OBJECTS:
            found = inside.at_hand("HeadObject", _without_conditions(request))
            return None if found is None else _of_object(operation, request, found)
        return inside.at_hand(operation, request)

    def _list_buckets(self, key: AccessKey | None, request: S3Request) -> S3Response:
        buckets = [each for each in self._buckets if key is None or key.may_read_in(each.name)]
        return xml_response(list_buckets(request.query, buckets))

    def _head_bucket(self, _: AccessKey | None, __: S3Request) -> S3Response:
        headers = {"x-amz-bucket-region": self._region, "Content-Length": "0"}
        return S3Response(status=200, headers=headers)

    def _get_bucket_location(self, _: AccessKey | None, __: S3Request) -> S3Response:
        return xml_response(bucket_location(self._region))


def _preflight(cors: Cors, _: AccessKey | None, request: S3Request) -> S3Response:
    return cors.preflight(request.headers, is_object=bool(request.key))


def _list_parts(_: AccessKey | None, request: S3Request) -> S3Response:
    raise no_such_upload(request.query["uploadId"])


def _bucket_document(operation: str, _: AccessKey | None, request: S3Request) -> S3Response:
    return xml_response(bucket_document(operation, request.bucket, request.query))


def _without_conditions(request: S3Request) -> S3Request:
    """Return the request for the object itself: a sub-resource takes neither part nor condition.

    Of attributes, the checksum may be asked for.
    """
    version = {name: value for name, value in request.query.items() if name == "versionId"}
    asked = "Checksum" in request.headers.get("x-amz-object-attributes", "")
    headers = {"x-amz-checksum-mode": "ENABLED"} if asked else {}
    return replace(request, query=version, headers=headers)


def _of_object(operation: str, request: S3Request, found: S3Response) -> S3Response:
    """Return the sub-resource of an object, from the answer to HeadObject."""
    if found.status != 200:
        return found

    def answer(request: S3Request) -> S3Response:
        response = xml_response(object_document(operation, request.headers, found.headers))
        if operation == "GetObjectAttributes":
            response.headers["Last-Modified"] = found.headers["Last-Modified"]
        return response

    return answer_or_error(operation, answer, request)
