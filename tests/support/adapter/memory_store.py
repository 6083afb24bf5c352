"""A bucket in memory, with the methods of botocore's client that read one; it counts what it is
asked. For what takes thousands of requests: real servers are asked in tests/parts.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

__all__ = ["MODIFIED", "MemoryStore"]

MODIFIED = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)


class _Meta:
    endpoint_url = "http://memory.invalid"
    region_name = "us-east-1"


class MemoryStore:
    """The store; `objects`, content by key, may change at any time."""

    meta = _Meta()

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.storage_classes: dict[str, str] = {}
        self.failing: dict[str, tuple[int, str]] = {}
        """Status and code of the answers about a key; of listings, those about the prefix."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """Operations and their parameters."""
        self.starts_in_groups = False
        """Whether a listing that starts within a common prefix has that common prefix."""

    def client(self) -> S3Client:
        return cast("S3Client", self)

    def take_counts(self) -> dict[str, int]:
        """How often each operation was asked for since the last time."""
        counts = Counter(operation for operation, _ in self.asked)
        self.asked.clear()
        return dict(counts)

    # ---- What botocore's client has --------------------------------------------------------------

    def get_object(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
        self.asked.append(("GetObject", parameters))
        content, headers = self._found("GetObject", parameters)
        status = 200
        if match := re.fullmatch(r"bytes=(\d*)-(\d*)", parameters.get("Range", "")):
            size = len(content)
            if match[1]:
                start, end = int(match[1]), min(int(match[2] or size) + 1, size)
            else:
                start, end = max(0, size - int(match[2])), size
            if start >= end:
                raise self._error("GetObject", 416, "InvalidRange")
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
            content, status = content[start:end], 206
        return self._answer(content, headers, status) | {
            "Body": StreamingBody(io.BytesIO(content), len(content))
        }

    def head_object(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
        self.asked.append(("HeadObject", parameters))
        return self._answer(*self._found("HeadObject", parameters), 200)

    def list_objects_v2(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
        self.asked.append(("ListObjectsV2", parameters))
        prefix, delimiter = parameters.get("Prefix", ""), parameters.get("Delimiter", "")
        if prefix in self.failing:
            raise self._error("ListObjectsV2", *self.failing[prefix])
        after = parameters.get("ContinuationToken") or parameters.get("StartAfter", "")
        answer: dict[str, Any] = {"Contents": [], "CommonPrefixes": [], "IsTruncated": False}
        last = ""
        for key in sorted(self.objects, key=str.encode):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if cut < 0 else key[: cut + len(delimiter)]
            in_group = self.starts_in_groups and cut >= 0 and after.startswith(name)
            is_behind = key.encode() > after.encode() and not (cut >= 0 and after.startswith(name))
            if not key.startswith(prefix) or not (is_behind or in_group) or name == last:
                continue
            if len(answer["Contents"]) + len(answer["CommonPrefixes"]) == parameters["MaxKeys"]:
                return answer | {
                    "IsTruncated": True,
                    "NextContinuationToken": last if last in self.objects else last + chr(0x10FFFF),
                }
            last = name
            if cut >= 0:
                answer["CommonPrefixes"].append({"Prefix": name})
                continue
            content = self.objects[key]
            answer["Contents"].append(
                {
                    "Key": key,
                    "Size": len(content),
                    "ETag": etag_of(content),
                    "LastModified": MODIFIED,
                    "StorageClass": self.storage_classes.get(key, "STANDARD"),
                }
            )
        return answer

    def get_paginator(self, operation: str) -> MemoryStore:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **parameters: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 -- botocore's
        token: dict[str, str] = {}
        while True:
            page = self.list_objects_v2(MaxKeys=1000, **parameters, **token)
            yield page
            if not page["IsTruncated"]:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _found(self, operation: str, parameters: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        key = parameters["Key"]
        if key in self.failing:
            raise self._error(operation, *self.failing[key])
        content = self.objects.get(key)
        if content is None:
            raise self._error(operation, 404, "NoSuchKey")
        etag = etag_of(content)
        if parameters.get("IfMatch", etag) != etag:
            raise self._error(operation, 412, "PreconditionFailed")
        if parameters.get("IfNoneMatch") == etag:
            raise self._error(operation, 304, "NotModified")
        headers = {"etag": etag, "content-type": "text/x-test", "x-amz-request-id": "inner"}
        return content, headers

    def _answer(self, content: bytes, headers: dict[str, str], status: int) -> dict[str, Any]:
        headers = {**headers, "content-length": str(len(content))}
        answer = {
            "ContentLength": len(content),
            "ETag": headers["etag"],
            "Metadata": {},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        }
        if "content-range" in headers:
            answer["ContentRange"] = headers["content-range"]
        return answer

    def _error(self, operation: str, status: int, code: str) -> ClientError:
        if operation == "HeadObject":
            code = str(status)  # there is no body
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}}
        response: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": metadata}
        return ClientError(response, operation)


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
