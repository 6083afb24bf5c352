"""The transport of S3 Object Lambda: its events in, its answers out.

GetObject is answered by calling WriteGetObjectResponse, into which the body streams; HeadObject and
the listings by what the function returns.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.object_lambda.body_file import BodyFile
from s3archivefs_lambda.object_lambda.events import Event, parse_event
from s3archivefs_lambda.object_lambda.header_parameters import header_parameters
from s3archivefs_lambda.request_log import Exchange
from s3archivefs_lambda.s3api.errors import invalid_request
from s3archivefs_lambda.text import header_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.bucket.operations import S3Operations
    from s3archivefs_lambda.s3api.messages import S3Response

__all__ = ["ObjectLambda"]

_PROTOCOL_MAJOR = "1"

_WRITABLE_STATUS = frozenset({200, 206, 304, 400, 401, 403, 404, 405, 409, 411, 412, 416, 500, 503})
"""What WriteGetObjectResponse accepts; any other status becomes 500."""
_IDLE_SECONDS = 5
"""Seconds after which connections are made anew.

By then one may be gone without a sign, as after Lambda has frozen the instance, and a body cannot
be sent a second time.
"""


class ObjectLambda:
    """Answers the events of an Object Lambda access point."""

    def __init__(
        self,
        operations: S3Operations,
        response_client: Callable[[], S3Client],
        *,
        emf: bool = False,
    ) -> None:
        """With `emf`, lines of the request log carry metrics."""
        self._operations = operations
        self._response_client = response_client
        self._client: S3Client | None = None
        # By the wall clock: others stop while Lambda freezes the instance.
        self._last_write = 0.0
        self._emf = emf

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one event; what is returned matters for HeadObject and listings only.

        Raises ValueError for what is no Object Lambda event (it names the member at fault), and
        whatever breaks a body off after its first bytes.
        """
        parsed = parse_event(event)
        exchange = Exchange(
            request_id=parsed.request.request_id,
            emf=self._emf,
            operation=parsed.operation,
            key=parsed.request.key or None,
            access_key_id=parsed.access_key_id,
        )
        try:
            with request_scope(exchange.usage):
                response = self._answer(parsed)
                if parsed.operation == "GetObject":
                    return self._write_response(parsed, response, exchange)
                return _returned(parsed.operation, response, exchange)
        except BaseException:
            exchange.failed = True
            raise
        finally:
            exchange.log()

    def _answer(self, event: Event) -> S3Response:
        if event.protocol.partition(".")[0] != _PROTOCOL_MAJOR:
            version = f"Version {event.protocol} of S3 Object Lambda's events"
            return invalid_request(f"{version} is not supported; 1.x is.").response()
        return self._operations.answer(event.operation, event.request)

    def _write_response(
        self, event: Event, response: S3Response, exchange: Exchange
    ) -> dict[str, Any]:
        """Write the answer to GetObject, and return what the function returns."""
        status = response.status if response.status in _WRITABLE_STATUS else 500
        exchange.status, exchange.error = status, response.error_code
        parameters = {"StatusCode": status, **header_parameters(status, response.headers)}
        if response.error is not None:
            parameters["ErrorCode"] = response.error.code
            parameters["ErrorMessage"] = header_text(response.error.message)
        elif status != 304:
            parameters["Body"] = BodyFile(response.body, exchange)
        try:
            self._write(event, parameters)
        finally:
            response.close()
        return {"statusCode": response.status}

    def _write(self, event: Event, parameters: dict[str, Any]) -> None:
        if self._client is None:
            self._client = self._response_client()
        elif time.time() - self._last_write > _IDLE_SECONDS:
            self._client.close()  # its connections; it makes new ones
        self._client.write_get_object_response(
            RequestRoute=event.route, RequestToken=event.token, **parameters
        )
        self._last_write = time.time()


def _returned(operation: str, response: S3Response, exchange: Exchange) -> dict[str, Any]:
    """Return the JSON that answers HeadObject and listings."""
    exchange.status, exchange.error = response.status, response.error_code
    answer: dict[str, Any] = {"statusCode": response.status}
    if response.error is not None:
        answer["errorCode"] = response.error.code
        answer["errorMessage"] = response.error.message
        if response.headers:
            answer["headers"] = response.headers
    elif operation == "HeadObject":
        length = int(response.headers.get("Content-Length", "0"))  # 304 has none, S3 wants one
        answer["headers"] = {**response.headers, "Content-Length": length}
    else:
        document = b"".join(response.body)
        exchange.bytes_sent = len(document)
        answer["listResultXml"] = document.decode("utf-8")
    return answer
