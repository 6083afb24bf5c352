"""An S3-compatible HTTP endpoint, as an application, for requests that read.

Keys come from the request target as it stood on the wire.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from s3archivefs_lambda.accounting import request_scope
from s3archivefs_lambda.endpoint.admission import Admission
from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE
from s3archivefs_lambda.endpoint.browsing.page_request import BROWSE
from s3archivefs_lambda.endpoint.bucket_operations import EndpointOperations
from s3archivefs_lambda.endpoint.call import Call
from s3archivefs_lambda.endpoint.content_coding import in_gzip, takes_gzip
from s3archivefs_lambda.endpoint.cors import Cors
from s3archivefs_lambda.endpoint.hosts import Hosts
from s3archivefs_lambda.endpoint.logged_body import LoggedBody
from s3archivefs_lambda.endpoint.messages import (
    HttpApplication,
    HttpCall,
    HttpRequest,
    HttpResponse,
    Lane,
)
from s3archivefs_lambda.endpoint.response_head import (
    common_fields,
    header_fields,
    new_request_id,
    with_vary,
)
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError
from s3archivefs_lambda.request_log import Exchange
from s3archivefs_lambda.s3api.buckets import DEFAULT_REGION
from s3archivefs_lambda.s3api.messages import (
    S3Error,
    S3Response,
    document_fields,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.browsing.page import PageMaker
    from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
    from s3archivefs_lambda.endpoint.proxies import Proxies

__all__ = ["make_app"]

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
        self._admission = Admission(buckets, verifier, self._page)
        self.hosts = hosts
        self._proxies = proxies
        self._cors = cors
        self._cache_control = cache_control
        self._emf = emf
        self._count = count
        self._host_id = base64.b64encode(secrets.token_bytes(24)).decode()

    # ---- One request -----------------------------------------------------------------------------

    def __call__(self, request: HttpRequest) -> HttpCall:
        return Call(self, request)

    def answer(self, call: Call) -> HttpResponse:
        """Answer a request, in any thread."""
        with request_scope(call.exchange.usage):
            response = self._refusal(call) or self._operations.answer(*call.read)
        return self._finished(call, response)

    def at_once(self, call: Call) -> HttpResponse | None:
        """Answer a request on the event loop; None if a thread must."""
        with request_scope(call.exchange.usage):
            response = self._refusal(call) or self._operations.at_hand(*call.read)
        return None if response is None else self._finished(call, response)

    def _finished(self, call: Call, response: S3Response) -> HttpResponse:
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
            headers=header_fields(with_vary(fields, self._cross_origin(call, fields))),
            body=LoggedBody(response, exchange),
        )

    def cross_origin_fields(self, call: Call) -> dict[str, str]:
        """Return the fields that let a page read the answer."""
        return self._cross_origin(call, ("x-amz-request-id",))

    def _cross_origin(self, call: Call, sent: Iterable[str]) -> dict[str, str]:
        return self._cors.fields(call.field("origin"), sent) if self._cors.is_on else {}

    def _refusal(self, call: Call) -> S3Response | None:
        """Read the request, once; return the error of one that is not to be answered."""
        if not call.read:
            try:
                call.read = self._admission.read(call)
            except S3Error as error:
                if isinstance(error, SignatureRefusedError):
                    call.exchange.refused = error.reason
                    call.exchange.access_key_id = error.access_key_id
                return error.response()
        return None

    def _error_document(self, exchange: Exchange, error: S3Error) -> S3Response:
        document = error.to_xml(exchange.request_id, self._host_id)
        fields = document_fields(document)
        body = () if exchange.method == "HEAD" else (document,)
        return S3Response(status=error.status, headers=error.headers | fields, body=body)

    # ---- Around it -------------------------------------------------------------------------------

    def lane_of(self, call: Call) -> Lane:
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
