"""The endpoint's HTTP server over fake operations, and its clients as plain sockets."""

from __future__ import annotations

import http.client
import select
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.messages import HttpCall, HttpRequest, Lane
from s3archivefs_lambda.endpoint.request_pool import RequestPool
from s3archivefs_lambda.endpoint.server import S3HttpServer
from tests.support.adapter.fake_operations import FakeOperations

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from s3archivefs_lambda.endpoint.proxies import Proxies
    from s3archivefs_lambda.endpoint.tls import Certificate

SECONDS = 20
"""For what should happen at once."""
WHOLE = b"GET /archive/k HTTP/1.1\r\nHost:\r\n\r\n"
BEGUN = b"GET /archive/k HTTP/1.1\r\nHost:\r\nX-Slow: "
LAST = WHOLE.replace(b"Host:", b"Host:\r\nConnection: close")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SiteCall:
    """A call whose lane is told by its target."""

    def __init__(self, call: HttpCall, request: HttpRequest) -> None:
        self.client = call.client
        self.refusal_fields = call.refusal_fields
        self.at_once = call.at_once
        self.answer = call.answer
        self.unanswered = call.unanswered
        name = request.target.split("/")[2] if request.target.count("/") > 1 else ""
        self.lane = Lane(name, name.partition(".")[0], is_local=not name.startswith("remote"))


class Site:
    """A server over fake operations, which serves while entered.

    A request waits in the lane of its key's first part, STORE or STORE.ARCHIVE; stores that begin
    with "remote" are.
    """

    def __init__(
        self,
        *,
        limits: HttpLimits | None = None,
        pool: RequestPool | None = None,
        certificate: Certificate | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: socket.socket | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self.operations = FakeOperations()
        self.requests: list[HttpRequest] = []
        self._app = make_app({"archive": ServedBucket(self.operations)}, verifier=None)
        quick = limits or HttpLimits(tick_seconds=0.01)
        self.pool = pool or RequestPool()
        self.server = S3HttpServer(
            self,
            port=0,
            limits=quick,
            pool=self.pool,
            certificate=certificate,
            clock=clock,
            listener=listener,
            proxies=proxies,
        )

    def __call__(self, request: HttpRequest) -> HttpCall:
        self.requests.append(request)
        return SiteCall(self._app(request), request)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.stop()

    @property
    def keys(self) -> list[str]:
        """Those that were asked for."""
        return [request.key for _, request in self.operations.asked]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def client(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection(*self.address, timeout=SECONDS))

    def socket(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=SECONDS)

    def raw(self, request: bytes) -> bytes:
        """All that the server sends until it closes the connection."""
        with self.socket() as connection:
            connection.sendall(request)
            return rest_of(connection)

    def is_refused(self) -> bool:
        """Whether nobody can connect any more."""
        try:
            self.socket().close()
        except OSError:
            return True
        return False


def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    while not condition():
        select.select([], [], [], 0.001)


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the connection ends."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def statuses(answers: bytes) -> list[int]:
    """Of each answer among those bytes."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def get(client: http.client.HTTPConnection, key: str = "k") -> bytes:
    """The body of an object."""
    client.request("GET", f"/archive/{key}")
    with client.getresponse() as response:
        assert response.status == 200
        return response.read()


def asking_for(key: str) -> bytes:
    """The request for an object."""
    return WHOLE.replace(b"/k ", f"/{key} ".encode())
