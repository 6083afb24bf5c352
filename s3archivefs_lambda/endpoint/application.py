"""An S3-compatible HTTP endpoint, as an application, for requests that read.

Keys come from the request target as it stood on the wire.
"""

from __future__ import annotations

import base64
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE
from s3archivefs_lambda.endpoint.authentication import (
    claimed_signer,
    without_signature,
)
from s3archivefs_lambda.endpoint.authorization import check_access
from s3archivefs_lambda.endpoint.browsing.page_request import BROWSE, SIGN_IN
from s3archivefs_lambda.endpoint.bucket_operations import EndpointOperations
from s3archivefs_lambda.endpoint.content_coding import in_gzip, takes_gzip
from s3archivefs_lambda.endpoint.cors import PREFLIGHT_METHOD, Cors
from s3archivefs_lambda.endpoint.hosts import Host, Hosts
from s3archivefs_lambda.endpoint.logged_body import LoggedBody
from s3archivefs_lambda.endpoint.messages import (
    HttpApplication,
    HttpCall,
    HttpRefusal,
    HttpRequest,
    HttpResponse,
    Lane,
)
from s3archivefs_lambda.endpoint.request_target import parse_target
from s3archivefs_lambda.endpoint.response_head import (
    common_fields,
    header_fields,
    new_request_id,
    with_vary,
)
from s3archivefs_lambda.endpoint.routing import bucket_and_key, check_method, operation_of
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError, SignedRequest
from s3archivefs_lambda.request_log import Exchange
from s3archivefs_lambda.s3api.buckets import DEFAULT_REGION
from s3archivefs_lambda.s3api.errors import access_denied, invalid_request, no_such_bucket
from s3archivefs_lambda.s3api.messages import (
    S3Error,
    S3Request,
    S3Response,
    document_fields,
    query_parameters,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.browsing.page import PageMaker
    from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
    from s3archivefs_lambda.endpoint.proxies import Proxies
    from s3archivefs_lambda.endpoint.request_target import RequestTarget

__all__ = ["make_app"]

_CLOSED = "ConnectionClosed"  # in the log alone: nobody is there to be told

_LISTINGS = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions", BROWSE})
_OBJECTS = frozenset({"GetObject", "HeadObject"})


def make_app(
    buckets: Mapping[str, ServedBucket],
    *,
    verifier: Verifier | None,
    hosts: Hosts | None = None,
    proxies: Proxies | None = None,
    cors: Cors | None = None,
    cache_control: str = "",
    page: PageMaker | None = None,
    emf: bool = False,
    count: Callable[[Exchange, float], None] | None = None,
) -> HttpApplication:
    """Return the application that serves `buckets`, by their names.

    `hosts` reads Host headers, if the endpoint has domains; `localhost` is one anyway. `proxies`
    are believed when they say for whom they ask. With a verifier, every request must be signed;
    without one, signatures are not checked. `cors` says which pages may read, `cache_control` what
    caches may do with objects that say nothing of it. `page` makes the page that browsers get, if
    they get one. With `emf`, lines of the request log carry metrics. `count` gets each request that
    ended, and its seconds. The server must break the connection when the body's iterator raises.
    """
    return _Endpoint(
        buckets,
        verifier,
        hosts=hosts or Hosts(),
        proxies=proxies,
        cors=cors or Cors(),
        cache_control=cache_control,
        page=page,
        emf=emf,
        count=count,
    )


class _Endpoint:
    def __init__(
        self,
        buckets: Mapping[str, ServedBucket],
        verifier: Verifier | None,
        *,
        hosts: Hosts,
        proxies: Proxies | None,
        cors: Cors,
        cache_control: str,
        page: PageMaker | None,
        emf: bool,
        count: Callable[[Exchange, float], None] | None,
    ) -> None:
        region = (verifier and verifier.region) or DEFAULT_REGION
        operations = EndpointOperations(buckets, region, cors)
        self._page = None if page is None else page(operations, buckets, verifier)
        self._operations = self._page or operations
        self._object_fields = {} if self._page is None else self._page.object_fields
        self._buckets = buckets
        self._verifier = verifier
        self.hosts = hosts
        self._proxies = proxies
        self._cors = cors
        self._cache_control = cache_control
        self._emf = emf
        self._count = count
        self._host_id = base64.b64encode(secrets.token_bytes(24)).decode()

    # ---- One request -----------------------------------------------------------------------------

    def __call__(self, request: HttpRequest) -> HttpCall:
        return _Call(self, request)

    def answer(self, call: _Call) -> HttpResponse:
        """Answer a request, in any thread."""
        with request_scope(call.exchange.usage):
            response = self._refusal(call) or self._operations.answer(*call.read)
        return self._finished(call, response)

    def at_once(self, call: _Call) -> HttpResponse | None:
        """Answer a request on the event loop; None if a thread must."""
        with request_scope(call.exchange.usage):
            response = self._refusal(call) or self._operations.at_hand(*call.read)
        return None if response is None else self._finished(call, response)

    def _finished(self, call: _Call, response: S3Response) -> HttpResponse:
        """Return the answer as it is sent, with what every answer has."""
        exchange = call.exchange
        exchange.status, exchange.error = response.status, response.error_code
        if response.error is not None:
            response = self._error_document(exchange, response.error)
        elif exchange.operation in _LISTINGS:
            if takes_gzip(call.field("accept-encoding") or ""):
                response = in_gzip(response)
        elif self._cache_control and exchange.operation in _OBJECTS:
            response.headers.setdefault("Cache-Control", self._cache_control)
        fields = self._object_fields | response.headers | common_fields(exchange.request_id)
        fields["x-amz-id-2"] = self._host_id
        return HttpResponse(
            status=response.status,
            headers=header_fields(with_vary(fields, self.cross_origin_fields(call))),
            body=LoggedBody(response, exchange),
        )

    def cross_origin_fields(self, call: _Call) -> dict[str, str]:
        """Return the fields that let a page read the answer."""
        return self._cors.fields(call.field("origin")) if self._cors.is_on else {}

    def _refusal(self, call: _Call) -> S3Response | None:
        """Read the request, once; return the error of one that is not to be answered."""
        if not call.read:
            try:
                call.read = self._read(call)
            except S3Error as error:
                if isinstance(error, SignatureRefusedError):
                    call.exchange.refused = error.reason
                    call.exchange.access_key_id = error.access_key_id
                return error.response()
        return None

    def _read(self, call: _Call) -> tuple[str, S3Request, AccessKey | None]:
        """Return which operation is asked for, with what, by whom; note it for the log.

        Without a verifier nobody is known, and everybody may read everything. Raises S3Error for
        what is malformed, not signed as it must be, not served, or not for this access key.
        """
        exchange, asked, target = call.exchange, call.asked, call.target
        signed = SignedRequest.of(asked, target, call.host.bucket)
        bucket, key = call.place
        exchange.bucket, exchange.key = bucket or None, key or None
        check_method(asked.method)
        # Repeated fields are one, joined by commas (RFC 9110, 5.3).
        headers = {name: ",".join(values) for name, values in signed.headers.items()}
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise invalid_request("A request that reads must not have a body.")
        if self._verifier is None and not call.host.is_ours:
            message = "Without credentials, only requests for localhost are answered."
            reason = "not signed, and for another host than this machine"
            raise SignatureRefusedError("AccessDenied", 403, message, reason=reason)
        view = self._page and self._page.view_of(asked.method, headers, key, target.query)
        is_open = asked.method == PREFLIGHT_METHOD or view == SIGN_IN
        signer = None if is_open else self._signer(signed, bucket)
        if signer is not None:
            exchange.access_key_id = signer.id
        elif self._verifier is None:
            exchange.access_key_id = claimed_signer(signed)
        query = query_parameters(without_signature(target.query))
        exchange.operation = view or operation_of(
            asked.method, bucket, key, query, served=self._buckets
        )
        request = S3Request(
            bucket=bucket,
            key=key,
            query=query,
            headers=headers,
            is_anonymous=exchange.access_key_id is None,
            request_id=exchange.request_id,
        )
        if self._page is not None and view is not None:
            request = self._page.request_of(request, call.host.bucket)
        elif signer is not None:
            check_access(signer, exchange.operation, request)
        return exchange.operation, request, signer

    def _signer(self, request: SignedRequest, bucket: str) -> AccessKey | None:
        """Return the key that signed the request; raise S3Error if it must not be answered.

        It is None where no signature is checked.
        """
        if self._verifier is None:
            return None
        signer = self._verifier.verify(request)
        if signer is None:
            if bucket and bucket not in self._buckets:
                raise no_such_bucket(bucket)  # as S3 tells anybody
            raise SignatureRefusedError.of(access_denied(), reason="not signed")
        return signer

    def _error_document(self, exchange: Exchange, error: S3Error) -> S3Response:
        document = error.to_xml(exchange.request_id, self._host_id)
        fields = document_fields(document)
        body = () if exchange.method == "HEAD" else (document,)
        return S3Response(status=error.status, headers=error.headers | fields, body=body)

    # ---- Around it -------------------------------------------------------------------------------

    def lane_of(self, call: _Call) -> Lane:
        """Return the lane in which a request waits: with those for the same archive."""
        bucket, key = call.place
        served = self._buckets.get(bucket)
        if served is None or served.lanes is None:
            return NO_ARCHIVE
        if key:
            return served.lanes.of_object(key)
        prefixes = (value for name, value in call.target.query if name == "prefix")
        return served.lanes.of_listing(next(prefixes, ""))

    def exchange_of(self, request: HttpRequest) -> Exchange:
        """Return what the request's line in the log begins with."""
        proxies = self._proxies
        client = request.client if proxies is None else proxies.client_of(request)
        return Exchange(
            request_id=new_request_id(),
            emf=self._emf,
            count=self._count,
            method=request.method,
            client=client or None,
            arrived=request.arrived,
            started=request.started,
        )


class _Call:
    """One request on its way through the endpoint."""

    __slots__ = ("_endpoint", "_host", "_target", "asked", "exchange", "read")

    def __init__(self, endpoint: _Endpoint, asked: HttpRequest) -> None:
        self.asked = asked
        self.exchange = endpoint.exchange_of(asked)
        self.read: tuple[str, S3Request, AccessKey | None] | tuple[()] = ()
        """What is asked for, with what, by whom; empty until the request is checked."""
        self._endpoint = endpoint
        self._target: RequestTarget | None = None
        self._host: Host | None = None

    @property
    def target(self) -> RequestTarget:
        """The target, decoded; raises S3Error if that is malformed."""
        if self._target is None:
            self._target = parse_target(self.asked.target)
        return self._target

    def field(self, name: str) -> str | None:
        """Return the value of the first header field of that name."""
        return next((value for each, value in self.asked.headers if each == name), None)

    @property
    def client(self) -> str:
        return self.exchange.client or ""

    @property
    def refusal_fields(self) -> dict[str, str]:
        return self._endpoint.cross_origin_fields(self)

    @property
    def host(self) -> Host:
        """What the request says of the host that it is for; raises as `target` does."""
        if self._host is None:
            header = self.target.host
            if header is None:
                header = self.field("host") or ""
            self._host = self._endpoint.hosts.read(header)
        return self._host

    @property
    def place(self) -> tuple[str, str]:
        """The bucket and the key that it is for; raises as `target` does."""
        return bucket_and_key(self.target, self.host.bucket)

    @property
    def lane(self) -> Lane:
        try:
            return self._endpoint.lane_of(self)
        except S3Error:
            return NO_ARCHIVE

    def at_once(self) -> HttpResponse | None:
        return self._endpoint.at_once(self)

    def answer(self) -> HttpResponse:
        return self._endpoint.answer(self)

    def unanswered(self, refusal: HttpRefusal | None) -> None:
        """Write the line of a request that the application did not answer."""
        exchange = self.exchange
        with suppress(S3Error):
            bucket, key = self.place
            exchange.bucket, exchange.key = bucket or None, key or None
        exchange.error = _CLOSED
        if refusal is not None:
            exchange.request_id, exchange.error = refusal.request_id, refusal.error
            exchange.status, exchange.bytes_sent = refusal.status, refusal.body_bytes
        exchange.log()
