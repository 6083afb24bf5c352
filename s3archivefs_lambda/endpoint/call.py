"""One request on its way through the endpoint."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE
from s3archivefs_lambda.endpoint.request_target import parse_target
from s3archivefs_lambda.endpoint.routing import bucket_and_key
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.hosts import Host, Hosts
    from s3archivefs_lambda.endpoint.messages import HttpRefusal, HttpRequest, HttpResponse, Lane
    from s3archivefs_lambda.endpoint.request_target import RequestTarget
    from s3archivefs_lambda.request_log import Exchange
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["Call", "CallOwner"]

_CLOSED = "ConnectionClosed"  # in the log alone: nobody is there to be told


class CallOwner(Protocol):
    """What a call needs of its endpoint."""

    hosts: Hosts

    def exchange_of(self, request: HttpRequest, /) -> Exchange:
        """Return what the request's line in the log begins with."""
        ...

    def lane_of(self, call: Call, /) -> Lane:
        """Return the lane in which a request waits: with those for the same archive."""
        ...

    def cross_origin_fields(self, call: Call, /) -> dict[str, str]:
        """Return the fields that let a page read the answer."""
        ...

    def answer(self, call: Call, /) -> HttpResponse:
        """Answer a request, in any thread."""
        ...

    def at_once(self, call: Call, /) -> HttpResponse | None:
        """Answer a request on the event loop; None if a thread must."""
        ...


class Call:
    """A request, decoded once, and what is noted of it for the log (see `HttpCall`)."""

    __slots__ = ("_endpoint", "_host", "_target", "asked", "exchange", "read")

    def __init__(self, endpoint: CallOwner, asked: HttpRequest) -> None:
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
        """The client's address; behind a proxy, what that says."""
        return self.exchange.client or ""

    @property
    def refusal_fields(self) -> dict[str, str]:
        """Header fields of the server's own refusal."""
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
        """The lane in which it waits."""
        try:
            return self._endpoint.lane_of(self)
        except S3Error:
            return NO_ARCHIVE

    def at_once(self) -> HttpResponse | None:
        """Answer on the event loop; None if a thread must."""
        return self._endpoint.at_once(self)

    def answer(self) -> HttpResponse:
        """Answer, in any thread."""
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
