"""What the page shows, asked of S3's operations with its asker's rights."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from s3archivefs_lambda.endpoint.authorization import check_access
from s3archivefs_lambda.s3api.messages import S3Request
from s3archivefs_lambda.s3api.xml import S3_NAMESPACE
from s3archivefs_lambda.text import to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.s3api.messages import S3Response

__all__ = ["Entry", "Listed", "S3Reader"]


class _Operations(Protocol):
    def answer(
        self, operation: str, request: S3Request, key: AccessKey | None, /
    ) -> S3Response: ...


class Entry(NamedTuple):
    """An object, or a common prefix, which has a key alone."""

    key: str
    size: int | None = None
    modified: str = ""
    """In UTC: YYYY-MM-DDThh:mm:ss.000Z."""


class Listed(NamedTuple):
    """A page of a listing."""

    entries: list[Entry]
    """In the order of their keys."""
    token: str | None
    """Where the next page begins; None on the last."""


class S3Reader:
    """Asks operations on behalf of a request. All methods raise S3Error."""

    def __init__(self, operations: _Operations, asked: S3Request, key: AccessKey | None) -> None:
        self._operations = operations
        self._asked = asked
        self.key = key
        """The access key that signed the request; None where everybody may read everything."""

    def buckets(self) -> list[str]:
        """Return the names of the buckets that may be read."""
        document = self._document("ListBuckets", {})
        return [_text(each, "Name") for each in document.iter(_tag("Bucket"))]

    def listing(self, prefix: str, token: str | None, *, delimiter: str, most: int) -> Listed:
        """Return a page of at most `most` keys and common prefixes, from a token on."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix}
        query |= {"delimiter": delimiter, "max-keys": str(most)}
        if token is not None:
            query["continuation-token"] = token
        document = self._document("ListObjectsV2", query)
        entries = [
            Entry(
                _decoded(_text(each, "Key")),
                int(_text(each, "Size")),
                _text(each, "LastModified"),
            )
            for each in document.iterfind(_tag("Contents"))
        ]
        entries += [
            Entry(_decoded(_text(each, "Prefix")))
            for each in document.iterfind(_tag("CommonPrefixes"))
        ]
        entries.sort(key=lambda entry: to_bytes(entry.key))
        return Listed(entries, document.findtext(_tag("NextContinuationToken")))

    def head(self, key: str) -> Mapping[str, str]:
        """Return the header fields of an object."""
        response = self._ask("HeadObject", {}, key)
        response.close()
        return response.headers

    def first_bytes(self, key: str, count: int) -> bytes:
        """Return the beginning of an object that is not empty."""
        return _content(self._ask("GetObject", {}, key, {"range": f"bytes=0-{count - 1}"}))

    def _document(self, operation: str, query: Mapping[str, str]) -> ET.Element:
        document = _content(self._ask(operation, query))
        return ET.fromstring(document)  # noqa: S314 -- written by this endpoint

    def _ask(
        self,
        operation: str,
        query: Mapping[str, str],
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> S3Response:
        request = S3Request(
            bucket=self._asked.bucket,
            key=key,
            query=query,
            headers=headers or {},
            is_anonymous=self._asked.is_anonymous,
            request_id=self._asked.request_id,
        )
        if self.key is not None:
            check_access(self.key, operation, request)
        response = self._operations.answer(operation, request, self.key)
        if response.error is not None:
            raise response.error
        return response


def _content(response: S3Response) -> bytes:
    try:
        return b"".join(response.body)
    finally:
        response.close()


def _tag(name: str) -> str:
    return f"{{{S3_NAMESPACE}}}{name}"


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(_tag(name), "")


def _decoded(name: str) -> str:
    return to_text(unquote_to_bytes(name))
