"""S3 Object Lambda: its events into S3 requests, the answers into WriteGetObjectResponse or the
returned JSON.

GetObject is answered by calling WriteGetObjectResponse, into which the body streams; HeadObject and
the listings by what the function returns.
"""

from __future__ import annotations

import io
import logging
import time
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.object_lambda_event import Event, parse_event
from s3archivefs_lambda.request_log import Exchange
from s3archivefs_lambda.s3api.messages import S3Error, S3Response, parse_http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.bucket.operations import Operations

__all__ = ["ObjectLambda"]

_LOG = logging.getLogger("s3archivefs")

_PROTOCOL_MAJOR = "1"

_PARAMETERS = {
    "Accept-Ranges": "AcceptRanges",
    "Cache-Control": "CacheControl",
    "Content-Disposition": "ContentDisposition",
    "Content-Encoding": "ContentEncoding",
    "Content-Language": "ContentLanguage",
    "Content-Range": "ContentRange",
    "Content-Type": "ContentType",
    "ETag": "ETag",
}
"""Headers of an answer, and the parameters of WriteGetObjectResponse that carry them as text."""
_METADATA = "x-amz-meta-"
_WRITABLE_STATUS = frozenset({200, 206, 304, 400, 401, 403, 404, 405, 409, 411, 412, 416, 500, 503})
"""What WriteGetObjectResponse accepts; any other status becomes 500."""


_IDLE_SECONDS = 5
"""After so long a connection may be gone without a sign, as after Lambda has frozen the instance; a
body cannot be sent a second time.
"""


class ObjectLambda:
    """Answers the events of an Object Lambda access point."""

    def __init__(
        self,
        operations: Callable[[], Operations],
        response_client: Callable[[], S3Client],
        *,
        emf: bool = False,
    ) -> None:
        """`operations` may raise S3Error, where the function cannot serve at all; each client is
        told so. With `emf`, lines of the request log carry metrics.
        """
        self._operations = operations
        self._response_client = response_client
        self._client: S3Client | None = None
        self._written = 0.0  # when it last was, by the wall clock: others stop while Lambda freezes
        self._emf = emf

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one event; what is returned matters for HeadObject and listings only.

        Raises ValueError for what is no Object Lambda event (it names the member at fault), and
        whatever breaks a body off after its first bytes.
        """
        parsed = parse_event(event)
        exchange = Exchange(
            request_id=parsed.request_id,
            emf=self._emf,
            operation=parsed.operation,
            key=parsed.request.key or None,
            access_key_id=parsed.access_key_id,
        )
        try:
            with request_scope(exchange.usage):
                if parsed.operation == "GetObject":
                    return self._get_object(parsed, exchange)
                return self._returned(parsed, exchange)
        except BaseException:
            exchange.failed = True
            raise
        finally:
            exchange.log()

    def _returned(self, event: Event, exchange: Exchange) -> dict[str, Any]:
        try:
            response = self._answer(event)
        except S3Error as error:
            _note(exchange, error, error.status)
            return _returned_error(error)
        exchange.status = response.status
        if event.operation == "HeadObject":
            headers: dict[str, Any] = dict(response.headers)
            headers["Content-Length"] = int(headers["Content-Length"])
            return {"statusCode": response.status, "headers": headers}
        document = b"".join(response.body)
        exchange.bytes_sent = len(document)
        return {"statusCode": response.status, "listResultXml": document.decode("utf-8")}

    def _get_object(self, event: Event, exchange: Exchange) -> dict[str, Any]:
        try:
            response = self._answer(event)
        except S3Error as error:
            written = _written_error(error)
            _note(exchange, error, written["StatusCode"])
            self._write(event, **written)
            return {"statusCode": error.status}
        exchange.status = response.status
        try:
            self._write(
                event,
                StatusCode=response.status,
                **_written_headers(response.headers),
                Body=_Body(response.body, exchange),
            )
        finally:
            response.close()
        return {"statusCode": response.status}

    def _write(self, event: Event, **parameters: Any) -> None:  # noqa: ANN401 -- botocore's parameters
        if self._client is None:
            self._client = self._response_client()
        elif time.time() - self._written > _IDLE_SECONDS:
            self._client.close()  # its connections: it makes new ones
        self._client.write_get_object_response(
            RequestRoute=event.route, RequestToken=event.token, **parameters
        )
        self._written = time.time()

    def _answer(self, event: Event) -> S3Response:
        """The operation's answer; a fault of the program is an S3 error for the client and a
        traceback in the log.
        """
        if event.protocol.partition(".")[0] != _PROTOCOL_MAJOR:
            version = f"Version {event.protocol} of S3 Object Lambda's events"
            raise S3Error("InvalidRequest", 400, f"{version} is not supported; 1.x is.")
        try:
            operations = self._operations()
            match event.operation:
                case "GetObject":
                    return operations.get_object(event.request)
                case "HeadObject":
                    return operations.head_object(event.request)
                case "ListObjectsV2":
                    return operations.list_objects_v2(event.request)
                case _:
                    return operations.list_objects(event.request)
        except S3Error:
            raise
        except Exception as error:
            _LOG.exception("request %s failed", event.request_id)
            raise S3Error(
                "InternalError", 500, "We encountered an internal error. Please try again."
            ) from error


# ---- Answers -------------------------------------------------------------------------------------


def _written_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Headers as parameters of WriteGetObjectResponse."""
    parameters: dict[str, Any] = {
        parameter: headers[header] for header, parameter in _PARAMETERS.items() if header in headers
    }
    if "Content-Length" in headers:
        parameters["ContentLength"] = int(headers["Content-Length"])
    for header, parameter in (("Last-Modified", "LastModified"), ("Expires", "Expires")):
        if (time := parse_http_date(headers.get(header, ""))) is not None:
            parameters[parameter] = time
    metadata = {
        name.removeprefix(_METADATA): value
        for name, value in headers.items()
        if name.startswith(_METADATA)
    }
    if metadata:
        parameters["Metadata"] = metadata
    return parameters


def _written_error(error: S3Error) -> dict[str, Any]:
    """An error as parameters of WriteGetObjectResponse. 304 is an answer without a body, and has no
    code.
    """
    status = error.status if error.status in _WRITABLE_STATUS else 500
    parameters = _written_headers(error.headers)
    if status == 304:
        return {"StatusCode": status, **parameters}
    return {
        "StatusCode": status,
        "ErrorCode": error.code,
        "ErrorMessage": error.message,
        **parameters,
    }


def _note(exchange: Exchange, error: S3Error, status: int) -> None:
    """Note for the log what the client is told. 304 is no error."""
    exchange.status = status
    exchange.error = None if status == 304 else error.code


def _returned_error(error: S3Error) -> dict[str, Any]:
    """An error as the JSON that answers HeadObject and listings. 304 is an answer, and those must
    have a length.
    """
    if error.status == 304:
        return {"statusCode": 304, "headers": {**error.headers, "Content-Length": 0}}
    answer: dict[str, Any] = {
        "statusCode": error.status,
        "errorCode": error.code,
        "errorMessage": error.message,
    }
    if error.headers:
        answer["headers"] = dict(error.headers)
    return answer


class _Body(io.RawIOBase):
    """The pieces of a body as the file object that botocore sends, counted for the log."""

    def __init__(self, pieces: Iterable[bytes], exchange: Exchange) -> None:
        super().__init__()
        self._pieces = iter(pieces)
        self._exchange = exchange
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, at most `size` and at least one until the end."""
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        if size is None or size < 0:
            size = len(self._piece)
        taken, self._piece = self._piece[:size], self._piece[size:]
        self._exchange.bytes_sent += len(taken)
        return bytes(taken)
