"""Answers to load balancers and operators: health, readiness, and metrics.

No bucket can be named `-`, so `/-/healthy` and `/-/ready` are free on the port of S3 too. There
they are answered to anybody, by a word; on the operators' port the answer says what is wrong.
Probes are neither logged nor counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol, Self

from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE
from s3archivefs_lambda.endpoint.messages import HttpResponse
from s3archivefs_lambda.endpoint.response_head import common_fields, new_request_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3archivefs_lambda.endpoint.hosts import Hosts
    from s3archivefs_lambda.endpoint.messages import (
        HttpApplication,
        HttpCall,
        HttpRefusal,
        HttpRequest,
        Lane,
    )

__all__ = ["OperatorsApp", "Readiness", "WithProbes"]

_FIRST_CHECK_SECONDS = 3.0
"""Seconds that the first question for readiness waits; probes give up after some."""
_TEXT = "text/plain; charset=utf-8"


class Readiness(Protocol):
    """Whether clients can be served what is mapped."""

    @property
    def is_ready(self) -> bool:
        """Whether they can."""
        ...

    @property
    def failing(self) -> Mapping[str, str]:
        """What cannot be read, and why, by URL."""
        ...


class ReadinessSource(Protocol):
    """What tells readiness. It checks in the background, when it is asked."""

    def look(self, wait_seconds: float = 0) -> Readiness:
        """Return what is known; wait at most so long if that is nothing yet."""
        ...


class WithProbes:
    """An application that also answers the two probes, on its own port."""

    def __init__(self, app: HttpApplication, hosts: Hosts, readiness: ReadinessSource) -> None:
        self._app = app
        self._hosts = hosts
        self._readiness = readiness

    def __call__(self, request: HttpRequest) -> HttpCall:
        """Take a request."""
        if request.target.startswith("/-/"):
            # By a name of a bucket's, it is for an object.
            host = next((value for name, value in request.headers if name == "host"), "")
            path = request.target.partition("?")[0]
            if request.method in {"GET", "HEAD"} and not self._hosts.read(host).bucket:
                if path == "/-/healthy":
                    return _Call(request, lambda: _text(200, "ok"))
                if path == "/-/ready":
                    return _Call(request, self._ready)
        return self._app(request)

    def _ready(self) -> HttpResponse:
        is_ready = self._readiness.look().is_ready
        return _text(200, "ok") if is_ready else _text(503, "not ready")


class OperatorsApp:
    """What answers on the operators' port."""

    def __init__(
        self,
        readiness: ReadinessSource,
        *,
        metrics: Callable[[str], tuple[bytes, str]],
        overdue: Callable[[], list[str]],
        hosts: Hosts | None,
    ) -> None:
        """`hosts` tells which names are those of this machine, if only these are answered."""
        self._readiness = readiness
        self._metrics = metrics
        self._overdue = overdue
        self._hosts = hosts
        self.is_stopping = False
        """Whether no more requests should be sent here."""

    def __call__(self, request: HttpRequest) -> HttpCall:
        """Take a request."""
        headers = dict(request.headers)
        path = request.target.partition("?")[0]
        if self._hosts is not None and not self._hosts.read(headers.get("host", "")).is_ours:
            return _Call(request, lambda: _text(403, "only requests for localhost are answered"))
        if request.method not in {"GET", "HEAD"}:
            return _Call(request, lambda: _text(405, "only GET and HEAD are answered"))
        if path == "/metrics":
            return _Call(request, lambda: self._answer_metrics(headers.get("accept", "")))
        if path == "/-/healthy":
            return _Call(request, self._healthy)
        if path == "/-/ready":
            return _Call(request, self._ready, in_thread=True)
        return _Call(request, lambda: _text(404, "there are /metrics, /-/healthy and /-/ready"))

    def _answer_metrics(self, accept: str) -> HttpResponse:
        self._readiness.look()  # so that the metric of failing archives is up to date
        body, content_type = self._metrics(accept)
        return _response(200, body, content_type)

    def _healthy(self) -> HttpResponse:
        overdue = self._overdue()
        return _text(503, "\n".join(overdue)) if overdue else _text(200, "ok")

    def _ready(self) -> HttpResponse:
        found = self._readiness.look(_FIRST_CHECK_SECONDS)
        is_ready = found.is_ready and not self.is_stopping
        told: dict[str, object] = {"ready": is_ready, "failing": dict(found.failing)}
        if self.is_stopping:
            told["stopping"] = True
        body = json.dumps(told, indent=1).encode() + b"\n"
        return _response(200 if is_ready else 503, body, "application/json")


class _Call:
    """A request, and what makes its answer."""

    lane: Lane = NO_ARCHIVE

    @property
    def refusal_fields(self) -> dict[str, str]:
        return {}

    def __init__(
        self, request: HttpRequest, make: Callable[[], HttpResponse], *, in_thread: bool = False
    ) -> None:
        self.client = request.client
        self._is_head = request.method == "HEAD"
        self._make = make
        self._in_thread = in_thread

    def at_once(self) -> HttpResponse | None:
        return None if self._in_thread else self.answer()

    def answer(self) -> HttpResponse:
        response = self._make()
        if self._is_head:
            response.body.close()
        return response

    def unanswered(self, refusal: HttpRefusal | None) -> None:
        """Note nothing."""


def _text(status: int, text: str) -> HttpResponse:
    return _response(status, text.encode() + b"\n", _TEXT)


def _response(status: int, body: bytes, content_type: str) -> HttpResponse:
    fields = {
        **common_fields(new_request_id()),
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(status=status, headers=list(fields.items()), body=_Body(body))


class _Body:
    """A body of one piece."""

    def __init__(self, piece: bytes) -> None:
        self._pieces = [piece]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._pieces:
            raise StopIteration
        return self._pieces.pop()

    def close(self) -> None:
        self._pieces.clear()
