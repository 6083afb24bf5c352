"""S3 operations that answer what a test tells them to, and remember what they were asked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from s3archivefs_lambda.bucket.faults import answer_or_error
from s3archivefs_lambda.s3api.messages import S3Request, S3Response, xml_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EMPTY_LISTING = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>archive</Name>'
    b"<Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false"
    b"</IsTruncated></ListBucketResult>"
)


class FakeOperations:
    """Every object is `content`, unless `respond` says otherwise; none is at hand by default."""

    def __init__(self, respond: Callable[[S3Request], S3Response] | None = None) -> None:
        self.asked: list[tuple[str, S3Request]] = []
        self.content = b"content"
        self.respond = respond
        self.is_at_hand = False
        """Whether answers take neither reading nor waiting."""

    def reset(self) -> None:
        self.__init__()  # type: ignore[misc]

    @property
    def last(self) -> S3Request:
        return self.asked[-1][1]

    def object(self, request: S3Request) -> S3Response:
        headers = {
            "Content-Length": str(len(self.content)),
            "Content-Type": "binary/octet-stream",
            "ETag": '"0123-1"',
            "Last-Modified": "Mon, 23 Nov 2026 12:30:15 GMT",
            "x-amz-meta-file-owner": "1000",
        }
        return S3Response(status=200, headers=headers, body=(self.content,))

    def answer(self, operation: str, request: S3Request) -> S3Response:
        self.asked.append((operation, request))
        return answer_or_error(operation, partial(self._run, operation), request)

    def at_hand(self, operation: str, request: S3Request) -> S3Response | None:
        return self.answer(operation, request) if self.is_at_hand else None

    def _run(self, operation: str, request: S3Request) -> S3Response:
        if self.respond is None and operation in {"ListObjects", "ListObjectsV2"}:
            return xml_response(EMPTY_LISTING)
        response = (self.respond or self.object)(request)
        if operation == "HeadObject":
            return S3Response(status=response.status, headers=response.headers)
        return response


class Body:
    """Pieces of a body that knows whether it was closed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.produced = 0
        """Bytes handed out."""
        self.closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.produced += len(piece)
        return piece

    def close(self) -> None:
        self.closed = True


def streamed(body: Body, length: int) -> Callable[[S3Request], S3Response]:
    """An answer of `length` bytes, or so it says."""
    headers = {"Content-Length": str(length)}
    return lambda _: S3Response(status=200, headers=headers, body=body)
