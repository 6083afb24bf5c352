"""An S3-compatible HTTP endpoint, as an application: requests in path style, reading only.

One bucket holds everything that is mapped. Keys come from the request target as it stood on the
wire.
"""

from __future__ import annotations

import base64
import logging
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.endpoint.authentication import (
    claimed_signer,
    is_for_this_machine,
    without_signature,
)
from s3archivefs_lambda.endpoint.lanes import NO_ARCHIVE, ArchiveLanes
from s3archivefs_lambda.endpoint.logged_body import LoggedBody
from s3archivefs_lambda.endpoint.messages import (
    HttpApplication,
    HttpRefusal,
    HttpRequest,
    HttpResponse,
    Lane,
)
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError, SignedRequest
from s3archivefs_lambda.endpoint.target import parse_target
from s3archivefs_lambda.request_log import Exchange
from s3archivefs_lambda.s3api.buckets import Bucket, list_buckets
from s3archivefs_lambda.s3api.messages import (
    S3_NAMESPACE,
    XML_HEAD,
    S3Error,
    S3Request,
    S3Response,
    query_parameters,
    xml_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.target import RequestTarget

    _Operation = Callable[[S3Request], S3Response]

__all__ = ["S3Operations", "make_app"]

_LOG = logging.getLogger("s3archivefs")

_DEFAULT_REGION = "us-east-1"
_CLOSED = "ConnectionClosed"  # in the log alone: nobody is there to be told

# Query parameters that make a request another operation than the one its path and method say.
_SUB_RESOURCES = frozenset(
    (  # noqa: SIM905 -- a list of words, not thirty lines
        "abac accelerate acl analytics annotation attributes cors encryption intelligent-tiering"
        " inventory legal-hold lifecycle logging metadataConfiguration metadataTable metrics"
        " notification object-lock ownershipControls policy policyStatus publicAccessBlock"
        " replication requestPayment retention session tagging torrent uploadId uploads versioning"
        " versions website"
    ).split(" ")
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_CONTROLS = dict.fromkeys([*range(9), *range(10, 32), 127], "?")  # all but the tab


class S3Operations(Protocol):
    """What the endpoint needs of `operations.Operations`."""

    def get_object(self, request: S3Request, /) -> S3Response:
        """GetObject."""
        ...

    def head_object(self, request: S3Request, /) -> S3Response:
        """HeadObject."""
        ...

    def list_objects_v2(self, request: S3Request, /) -> S3Response:
        """ListObjectsV2."""
        ...

    def list_objects(self, request: S3Request, /) -> S3Response:
        """ListObjects, version 1."""
        ...


def make_app(
    operations: S3Operations,
    *,
    bucket: str,
    verifier: Verifier | None,
    lanes: ArchiveLanes | None = None,
    emf: bool = False,
) -> HttpApplication:
    """The application that serves `operations` as the one bucket named `bucket`.

    With a verifier, every request must be signed; without one, signatures are not checked. With
    `emf`, lines of the request log carry metrics. Requests wait in `lanes`, or all in one. The
    server must break the connection where the body's iterator raises.
    """
    return _Endpoint(operations, bucket, verifier, lanes, emf=emf)


class _Endpoint:
    def __init__(
        self,
        operations: S3Operations,
        bucket: str,
        verifier: Verifier | None,
        lanes: ArchiveLanes | None,
        *,
        emf: bool,
    ) -> None:
        self._lanes = lanes
        self._operations = operations
        self._objects: dict[str, tuple[str, _Operation]] = {
            "GET": ("GetObject", operations.get_object),
            "HEAD": ("HeadObject", operations.head_object),
        }
        self._bucket = bucket
        self._verifier = verifier
        self._emf = emf
        self._region = (verifier and verifier.region) or _DEFAULT_REGION
        self._started = datetime.now(UTC)
        self._host_id = base64.b64encode(secrets.token_bytes(24)).decode()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        exchange = self._exchange(request)
        try:
            with request_scope(exchange.usage):
                response = self._answer(exchange, request)
        except S3Error as error:
            response = self._error_response(exchange, error)
        except Exception:  # noqa: BLE001 -- the log has it, and the next request is served
            _LOG.exception("request %s failed (key %r)", exchange.request_id, exchange.key)
            message = "We encountered an internal error. Please try again."
            fault = S3Error("InternalError", 500, message)
            response = self._error_response(exchange, fault)
        exchange.status = response.status
        common = {
            "x-amz-request-id": exchange.request_id,
            "x-amz-id-2": self._host_id,
            "Date": formatdate(usegmt=True),
            "Server": "s3archivefs",
        }
        return HttpResponse(
            status=response.status,
            headers=_header_fields(response.headers | common),
            body=LoggedBody(response, exchange),
        )

    def lane(self, request: HttpRequest) -> Lane:
        """Where it waits: with those for the same archive."""
        if self._lanes is None:
            return NO_ARCHIVE
        try:
            target = parse_target(request.target)
        except S3Error:
            return NO_ARCHIVE
        bucket, key = _bucket_and_key(target)
        if bucket != self._bucket:
            return NO_ARCHIVE
        if key:
            return self._lanes.of_object(key)
        prefixes = (value for name, value in target.query if name == "prefix")
        return self._lanes.of_listing(next(prefixes, ""))

    def unanswered(self, request: HttpRequest, refusal: HttpRefusal | None) -> None:
        """Write its line."""
        exchange = self._exchange(request)
        with suppress(S3Error):
            exchange.key = _bucket_and_key(parse_target(request.target))[1] or None
        exchange.error = _CLOSED
        if refusal is not None:
            exchange.request_id, exchange.error = refusal.request_id, refusal.error
            exchange.status, exchange.bytes_sent = refusal.status, refusal.body_bytes
        exchange.log()

    def _exchange(self, request: HttpRequest) -> Exchange:
        return Exchange(
            request_id=secrets.token_hex(8).upper(),
            emf=self._emf,
            method=request.method,
            client=request.client or None,
            arrived=request.arrived,
            started=request.started,
        )

    def _answer(self, exchange: Exchange, asked: HttpRequest) -> S3Response:
        target = parse_target(asked.target)
        signed = SignedRequest.of(asked, target)
        bucket, key = _bucket_and_key(target)
        exchange.key = key or None
        if asked.method not in {"GET", "HEAD"}:
            raise _method_not_allowed(asked.method)
        # Repeated fields are one, joined by commas (RFC 9110, 5.3).
        headers = {name: ",".join(values) for name, values in signed.headers.items()}
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise S3Error("InvalidRequest", 400, "A request that reads must not have a body.")
        exchange.access_key_id = self._signer(signed, bucket)
        request = S3Request(
            key=key,
            query=query_parameters(without_signature(target.query)),
            headers=headers,
            is_anonymous=exchange.access_key_id is None,
        )
        operation, run = self._route(asked.method, bucket, request)
        exchange.operation = operation
        return run(request)

    def _signer(self, request: SignedRequest, bucket: str) -> str | None:
        """Who signed the request, if it may be answered at all."""
        if self._verifier is None:
            if not is_for_this_machine(request):
                message = "Without credentials, only requests for localhost are answered."
                reason = "not signed, and for another host than this machine"
                raise SignatureRefusedError("AccessDenied", 403, message, reason=reason)
            return claimed_signer(request)
        signer = self._verifier.verify(request)
        if signer is None:
            if bucket not in {"", self._bucket}:
                raise _no_such_bucket(bucket)  # as S3 tells anybody
            raise SignatureRefusedError("AccessDenied", 403, "Access Denied", reason="not signed")
        return signer

    # ---- Routes ----------------------------------------------------------------------------------

    def _route(self, method: str, bucket: str, request: S3Request) -> tuple[str, _Operation]:
        """The operation's name, and what answers it."""
        if not bucket and not request.key:
            if method == "HEAD":
                raise _method_not_allowed(method, allowed="GET")
            return "ListBuckets", self._list_buckets
        if bucket != self._bucket:
            raise _no_such_bucket(bucket)
        if unknown := sorted(_SUB_RESOURCES.intersection(request.query)):
            message = "A parameter you provided implies functionality that is not implemented"
            raise S3Error("NotImplemented", 501, message, extra={"Parameter": unknown[0]})
        if request.key:
            return self._objects[method]
        if method == "HEAD":
            return "HeadBucket", self._head_bucket
        return self._route_bucket(request.query)

    def _route_bucket(self, query: Mapping[str, str]) -> tuple[str, _Operation]:
        if "location" in query:
            return "GetBucketLocation", self._get_location
        if query.get("list-type") == "2":
            return "ListObjectsV2", self._operations.list_objects_v2
        return "ListObjects", self._operations.list_objects

    def _list_buckets(self, request: S3Request) -> S3Response:
        bucket = Bucket(self._bucket, self._region, self._started)
        return xml_response(list_buckets(request.query, [bucket]))

    def _head_bucket(self, _: S3Request) -> S3Response:
        headers = {"x-amz-bucket-region": self._region, "Content-Length": "0"}
        return S3Response(status=200, headers=headers)

    def _get_location(self, _: S3Request) -> S3Response:
        # S3 names every region but its first.
        region = "" if self._region == _DEFAULT_REGION else self._region
        return _xml(f'<LocationConstraint xmlns="{S3_NAMESPACE}">{region}</LocationConstraint>')

    def _error_response(self, exchange: Exchange, error: S3Error) -> S3Response:
        headers = dict(error.headers)
        if isinstance(error, SignatureRefusedError):
            exchange.refused, exchange.access_key_id = error.reason, error.access_key_id
        if error.status == HTTPStatus.NOT_MODIFIED:
            return S3Response(status=error.status, headers=headers)
        exchange.error = error.code
        document = error.to_xml(exchange.request_id, self._host_id)
        headers |= {"Content-Type": "application/xml", "Content-Length": str(len(document))}
        body = () if exchange.method == "HEAD" else (document,)
        return S3Response(status=error.status, headers=headers, body=body)


def _no_such_bucket(bucket: str) -> S3Error:
    message = "The specified bucket does not exist"
    return S3Error("NoSuchBucket", 404, message, extra={"BucketName": bucket})


def _bucket_and_key(target: RequestTarget) -> tuple[str, str]:
    bucket, _, key = target.path[1:].decode("utf-8", "surrogateescape").partition("/")
    return bucket, key


def _method_not_allowed(method: str, *, allowed: str = "GET, HEAD") -> S3Error:
    return S3Error(
        "MethodNotAllowed",
        405,
        "The specified method is not allowed against this resource.",
        headers={"Allow": allowed},
        extra={"Method": method},
    )


def _xml(root: str) -> S3Response:
    """A document whose values need no escaping: names of buckets and regions, and times."""
    return xml_response(f"{XML_HEAD}{root}".encode())


def _header_fields(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The one way out for header fields: whatever they hold, they stay fields of one line in
    latin-1. Values come from names in archives and from clients' queries.
    """
    return [
        (name, value.translate(_CONTROLS).encode("latin-1", "replace").decode("latin-1"))
        for name, value in headers.items()
        if _TOKEN.fullmatch(name)
    ]
