"""A stand-in for an S3 Object Lambda access point: what S3 does between a caller and the function.

    with (
        AccessPoint(store.url) as access_point,
        RuntimeApi(store.environ(endpoint_url=access_point.url)) as function,
    ):
        access_point.function = function
        client = store.client(endpoint_url=access_point.url)
        client.get_object(Bucket="archive", Key="docs/README")["Body"].read()

Callers address the bucket name of the access point. Get, head and list requests for it become
events for the function, whose answer goes back to the caller; for GetObject through
WriteGetObjectResponse, which the function sends to this same server. Every other request is passed
on to the store unaltered, so this one address serves the function as its S3 endpoint as well.

The caller's signature is not checked: S3 has done that before it sends an event.
"""

from __future__ import annotations

import re
import secrets
import threading
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.support.aws.lambda_runtime import FunctionError, RuntimeApi
from tests.support.aws.object_lambda_events import (
    CallerRequest,
    Operation,
    Supporting,
    event_for,
    header_value,
    invalid_result,
)
from tests.support.servers.loopback_server import Handler, LoopbackServer, frame

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AccessPoint", "FunctionError", "RuntimeApi"]

WRITE_GET_OBJECT_RESPONSE = "/WriteGetObjectResponse"
ROUTE = "io-use1-001"
# The status codes that WriteGetObjectResponse documents. 501 is not among them.
STATUS_CODES = {200, 206, 304, 400, 401, 403, 404, 405, 409, 411, 412, 416, 500, 503}
ERROR_CODE = re.compile(r"[A-Z][a-zA-Z]+")
FORWARDED_HEADER = "x-amz-fwd-header-"
METADATA_HEADER = "x-amz-meta-"
REQUEST_ID_HEADER = "x-amz-request-id"
# Queries that make a GET or HEAD something else than the four transformed operations.
SUBRESOURCES = {
    *("acl", "attributes", "legal-hold", "retention", "tagging", "torrent", "uploadId"),  # object
    *("cors", "encryption", "lifecycle", "location", "logging", "notification", "object-lock"),
    *("policy", "policyStatus", "replication", "uploads", "versioning", "versions", "website"),
}
DELIVERY_SECONDS = 60.0


class Function(Protocol):
    """What the access point invokes; `RuntimeApi` is one."""

    def invoke(self, event: object) -> Any:  # noqa: ANN401 - any JSON value
        """The function's result. Raises FunctionError."""


class _State(Enum):
    AWAITED = auto()
    STARTED = auto()
    COMPLETE = auto()
    OVER = auto()


@dataclass(slots=True)
class _Delivery:
    """A caller that waits for the one WriteGetObjectResponse with its token."""

    caller: _AccessPointHandler
    token: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: _State = _State.AWAITED
    changed: threading.Condition = field(default_factory=threading.Condition)

    def claim(self) -> bool:
        """Take the token; False if it is used up."""
        with self.changed:
            if self.state is not _State.AWAITED:
                return False
            self.state = _State.STARTED
            return True

    def end(self, state: _State) -> None:
        """Note how a claimed delivery ended."""
        with self.changed:
            self.state = state
            self.changed.notify_all()

    def close(self) -> _State:
        """What came of it, now that the function has finished. The token is void from here on."""
        with self.changed:
            if self.state is _State.AWAITED:
                self.state = _State.OVER
                return _State.AWAITED
            self.changed.wait_for(lambda: self.state is not _State.STARTED, DELIVERY_SECONDS)
            return self.state


class AccessPoint(LoopbackServer):
    """The access point in front of the store at `store_url`, serving while entered.

    `function` is to be set before the first caller comes. `events` are those sent to it, in order.
    `peak_buffered` is the largest number of body bytes that were ever held between the function and
    the caller: what had been received and not yet been handed on.
    """

    function: Function

    def __init__(
        self,
        store_url: str,
        *,
        bucket: str = "archive",
        payload: str = "",
        port: int = 0,
        supporting: Supporting | None = None,
    ) -> None:
        super().__init__(_AccessPointHandler, port)
        self.store_url = store_url
        self.bucket = bucket
        self.payload = payload
        self.supporting = supporting
        self.events: list[dict[str, Any]] = []
        self.peak_buffered = 0
        self.deliveries: dict[str, _Delivery] = {}


class _AccessPointHandler(Handler):
    """One connection of a caller or of the function."""

    server: AccessPoint
    request_id = ""
    """What S3 calls the caller's request, to the function and to the caller."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        request = self._caller_request()
        if request is None:
            self.forward(self.server.store_url)
        elif request.operation is Operation.GET_OBJECT:
            self._get_object(request)
        else:
            self._answer_from_result(request)

    def do_HEAD(self) -> None:  # noqa: N802 - http.server's name
        self.do_GET()

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        if self.target == WRITE_GET_OBJECT_RESPONSE:
            self._write_get_object_response()
        else:
            self.forward(self.server.store_url)

    def do_PUT(self) -> None:  # noqa: N802 - http.server's name
        self.forward(self.server.store_url)

    def do_DELETE(self) -> None:  # noqa: N802 - http.server's name
        self.forward(self.server.store_url)

    def _caller_request(self) -> CallerRequest | None:
        """The request as one for the function; None if it is for the store."""
        path, _, query = self.target.partition("?")
        bucket, _, key = path.removeprefix("/").partition("/")
        names = {part.partition("=")[0] for part in query.split("&")}
        if unquote(bucket) != self.server.bucket or names & SUBRESOURCES:
            return None
        if key:
            operation = Operation.GET_OBJECT if self.command == "GET" else Operation.HEAD_OBJECT
        elif self.command == "HEAD":
            return None  # HeadBucket
        elif "list-type=2" in query.split("&"):
            operation = Operation.LIST_OBJECTS_V2
        else:
            operation = Operation.LIST_OBJECTS
        return CallerRequest(operation, key, query, self.headers.items())

    def _invoke(self, request: CallerRequest, token: str) -> Any:  # noqa: ANN401 - any JSON value
        event = event_for(
            request,
            route=ROUTE,
            token=token,
            payload=self.server.payload,
            supporting=self.server.supporting,
        )
        self.server.events.append(event)
        self.request_id = event["xAmzRequestId"]
        return self.server.function.invoke(event)

    # -- GetObject, the caller's side

    def _get_object(self, request: CallerRequest) -> None:
        delivery = _Delivery(self)
        self.server.deliveries[delivery.token] = delivery
        failure: FunctionError | None = None
        try:
            self._invoke(request, delivery.token)
        except FunctionError as error:
            failure = error
        state = delivery.close()
        del self.server.deliveries[delivery.token]
        if state is _State.AWAITED:
            if failure is not None:
                self._function_failed(failure)
            else:
                self.error(
                    500,
                    "LambdaResponseNotReceived",
                    "The Lambda function exited without successfully calling "
                    "WriteGetObjectResponse.",
                )
        elif state is not _State.COMPLETE:
            self.close_connection = True  # the caller sees a truncated response

    # -- GetObject, the function's side

    def _write_get_object_response(self) -> None:
        delivery = self.server.deliveries.get(self.headers.get("x-amz-request-token", ""))
        if delivery is None or not delivery.claim():
            self._refuse("ValidationError", "The request token is unknown or has been used.")
            return
        caller = delivery.caller
        try:
            status, invalid = self._checked_status()
            if invalid:
                caller.error(400, "LambdaInvalidResponse", invalid)
                delivery.end(_State.COMPLETE)
                self._refuse("ValidationError", invalid)
                return
            code = self.headers.get("x-amz-fwd-error-code")
            if code is not None:
                message = self.headers.get("x-amz-fwd-error-message", "")
                caller.error(status, code, message, self._forwarded_headers())
                b"".join(self.body())
            elif not self._stream_to(caller, status):
                delivery.end(_State.OVER)
                self._refuse("ConnectionClosedByRequester", "The caller closed the connection.")
                return
            # All is delivered before the function is told so.
            delivery.end(_State.COMPLETE)
            self.reply(200, {})
        finally:
            if delivery.state is _State.STARTED:  # the function's connection broke
                delivery.end(_State.OVER)

    def _checked_status(self) -> tuple[int, str]:
        """The status for the caller, and what is wrong with the request, or nothing."""
        text = self.headers.get("x-amz-fwd-status", "200")
        code = self.headers.get("x-amz-fwd-error-code")
        if not text.isdecimal() or int(text) not in STATUS_CODES:
            return 0, f"StatusCode {text} is not one of {sorted(STATUS_CODES)}."
        status = int(text)
        if self.headers.get("x-amz-request-route") != ROUTE:
            return status, "The request route is not the one of the event."
        if code is not None:
            if not ERROR_CODE.fullmatch(code):
                return status, f"ErrorCode {code!r} does not match {ERROR_CODE.pattern}."
            if status < 400:
                return status, f"An ErrorCode cannot go with StatusCode {status}."
            if self.headers.get("Content-Length", "0") != "0" or self._is_chunked():
                return status, "An ErrorCode cannot go with a Body."
        return status, ""

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _forwarded_headers(self) -> dict[str, str]:
        """What the function wants the caller to see; user metadata goes without a prefix."""
        forwarded = {}
        for name, value in self.headers.items():
            if name.lower().startswith(FORWARDED_HEADER):
                forwarded[name[len(FORWARDED_HEADER) :]] = value
            elif name.lower().startswith(METADATA_HEADER):
                forwarded[name] = value
        return forwarded

    def _stream_to(self, caller: _AccessPointHandler, status: int) -> bool:
        """Hand the body on as it comes in; False if the caller has gone away.

        ConnectionError if the function does not send it to the end.
        """
        chunked = self._is_chunked()
        headers = self._forwarded_headers()
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif status != HTTPStatus.NOT_MODIFIED:
            headers["Content-Length"] = self.headers.get("Content-Length", "0")
        body = self.body()
        try:
            caller.begin(status, headers)
        except OSError:
            return False
        for piece in body:
            self.server.peak_buffered = max(self.server.peak_buffered, len(piece))
            try:
                caller.wfile.write(frame(piece) if chunked else piece)
            except OSError:
                return False
        if chunked:
            caller.wfile.write(b"0\r\n\r\n")
        return True

    def _refuse(self, code: str, message: str) -> None:
        """Answer the function with an error and end its connection, the body unread."""
        self.error(400, code, message, {"Connection": "close"})
        self.close_connection = True

    # -- HeadObject and the listings

    def _answer_from_result(self, request: CallerRequest) -> None:
        try:
            result = self._invoke(request, "")
        except FunctionError as error:
            self._function_failed(error)
            return
        invalid = invalid_result(request.operation, result)
        if invalid:
            self.error(400, "LambdaInvalidResponse", invalid)
        elif "listResultXml" in result:
            body = result["listResultXml"].encode()
            headers = {"Content-Type": "application/xml", REQUEST_ID_HEADER: self.request_id}
            self.reply(result["statusCode"], headers, body)
        elif result["statusCode"] >= 400:
            self.error(
                result["statusCode"], result.get("errorCode", ""), result.get("errorMessage", "")
            )
        else:
            headers = {name: header_value(value) for name, value in result["headers"].items()}
            self.reply(result["statusCode"], {**headers, REQUEST_ID_HEADER: self.request_id})

    # -- responses

    def _function_failed(self, error: FunctionError) -> None:
        timed_out = error.error_type == "Sandbox.Timedout"
        self.error(500, "LambdaTimeout" if timed_out else "LambdaRuntimeError", str(error))

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a response."""
        self.send_response(status)
        self.send_header(REQUEST_ID_HEADER, self.request_id)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def error(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an S3 error document; only its status and headers in answer to HEAD."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
            f"<RequestId>{self.request_id}</RequestId></Error>"
        ).encode()
        common = {"Content-Type": "application/xml", REQUEST_ID_HEADER: self.request_id}
        self.reply(status, {**(headers or {}), **common}, body)
