"""GETs that botocore prepares once, and that are then sent for many ranges.

A request through botocore's client takes 0.9 ms of processor, of which its way over the network is
a third. The rest serves parameters, endpoint, signature and the answer's fields, the same for each
range of an object; and a signature need cover neither Range nor If-Match, and holds for minutes.

What botocore decides stays its own: endpoint, addressing, credentials, proxies, certificates and
connections.
"""

from __future__ import annotations

import io
import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda import accounting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_s3 import S3Client
    from urllib3.response import BaseHTTPResponse

__all__ = ["PreparedGet", "PreparedGets", "before_send", "prepare_gets", "prepared_gets_of"]

_LIFETIME_SECONDS = 60.0
"""Seconds for which a prepared GET is sent.

S3 takes a signature for 15 minutes, and sessions of S3 Express live for five.
"""
_MOST_FAILURES = 6
"""Failures that count: each doubles the rest that follows, to 64 s.

A store that takes none gets no more requests in vain than that.
"""
_PREPARING_SECONDS = 1.0
"""Seconds to wait while another thread prepares, which may have to fetch credentials."""
_ATTRIBUTE = "s3archivefs_prepared_gets"
_TRACE_VARIABLE = "_X_AMZN_TRACE_ID"
"""The variable of Lambda's that names an invocation; botocore sends it with each request."""


class PreparedGet(NamedTuple):
    """A GET of an object that lacks but the range. Its headers are secret."""

    url: str
    headers: Mapping[str, str]
    time: float
    """Seconds since the epoch when it was prepared."""
    trace: str | None

    def __repr__(self) -> str:
        """Return no more than the type, for logs."""
        return "PreparedGet(...)"


class _Taker:
    """Takes the request that botocore is about to send."""

    request: Any = None


_taker: ContextVar[_Taker | None] = ContextVar("s3archivefs_prepared_get", default=None)


def prepare_gets(client: S3Client, *, clock: Callable[[], float] = time.time) -> None:
    """Have a client's GETs prepared, if its settings allow that.

    Its requests go through `before_send`. `clock` returns seconds since the epoch.
    """
    config: Any = client.meta.config  # the stubs' lacks its attributes
    retries = config.retries or {}
    # A prepared GET that fails is one attempt more than the settings allow. In their adaptive mode
    # each attempt waits for its turn.
    if retries.get("mode") == "adaptive" or retries.get("total_max_attempts") == 1:
        return
    # Not public in botocore, but there since 2018. Without it, all goes through the client.
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    if session is not None:
        setattr(client, _ATTRIBUTE, PreparedGets(session, clock))


def prepared_gets_of(client: S3Client) -> PreparedGets | None:
    """Return what sends a client's prepared GETs, or None if it has none."""
    found = getattr(client, _ATTRIBUTE, None)
    return found if isinstance(found, PreparedGets) else None


def before_send(request: Any, event_name: str, **_: object) -> Any:  # noqa: ANN401 -- botocore's
    """Count a request; if it is only prepared, take it instead.

    botocore calls this for each attempt, in the thread that makes it, and takes a result other than
    None for the answer.
    """
    taker = _taker.get()
    # To prepare a GET for S3 Express, botocore may have to send a CreateSession.
    if taker is None or not event_name.endswith(".GetObject"):
        accounting.add("s3_requests")
        return None
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 -- not needed for local images

    taker.request = request
    no_headers: Any = {}
    return AWSResponse(request.url, 200, no_headers, io.BytesIO())


class PreparedGets:
    """Prepares and sends GETs as one client would. Thread-safe."""

    def __init__(self, session: Any, clock: Callable[[], float]) -> None:  # noqa: ANN401 -- botocore's URLLib3Session
        self._session = session
        self._clock = clock
        self._failures = 0
        self._failed_at = 0.0
        self._noting = Lock()
        self._preparing = Lock()
        renew_after_fork(self, PreparedGets._renew)

    @property
    def are_resting(self) -> bool:
        """Whether none is to be sent for now, as the last ones failed."""
        failures = self._failures
        return failures > 0 and self._is_within(self._failed_at, 2.0**failures)

    def is_fresh(self, get: PreparedGet) -> bool:
        """Return whether a GET may still be sent."""
        is_young = self._is_within(get.time, _LIFETIME_SECONDS)
        return is_young and get.trace == os.environ.get(_TRACE_VARIABLE)

    def prepare(
        self,
        kept: Callable[[], PreparedGet | None],
        keep: Callable[[PreparedGet], None],
        client: S3Client,
        **parameters: Any,  # noqa: ANN401 -- GetObject's
    ) -> PreparedGet | None:
        """Have `client` prepare a GET to `keep`, unless another thread meanwhile did: `kept`.

        Return None if that takes too long. Raises botocore's errors.
        """
        taken: list[bool] = []
        try:
            # One call locks and notes it: a signal is handled before it, or after. See `Lock`.
            taken.extend(map(self._preparing.acquire, (True,), (_PREPARING_SECONDS,)))
            if True not in taken:
                return None
            made = kept()
            if made is None and (made := self._prepare(client, parameters)) is not None:
                keep(made)
            return made
        finally:
            if True in taken:
                self._preparing.release()

    def send(self, get: PreparedGet, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """Send a GET with further headers; return the unread answer, whatever it is.

        Raises botocore's errors.
        """
        from botocore.awsrequest import AWSPreparedRequest  # noqa: PLC0415 -- likewise

        accounting.add("s3_requests")
        merged: Any = {**get.headers, **headers}
        request = AWSPreparedRequest("GET", get.url, merged, None, stream_output=True)
        answer: BaseHTTPResponse = self._session.send(request).raw
        return answer

    def note_success(self) -> None:
        """Note that an answer was the expected one."""
        if self._failures:
            with self._noting:
                self._failures = 0

    def note_failure(self) -> None:
        """Note that none came, or another."""
        with self._noting:
            # Those in flight at the first failure are no further ones: one fault met them all.
            if not self.are_resting:
                self._failed_at = self._clock()
                self._failures = min(self._failures + 1, _MOST_FAILURES)

    def _prepare(self, client: S3Client, parameters: Mapping[str, Any]) -> PreparedGet | None:
        now, trace, taker = self._clock(), os.environ.get(_TRACE_VARIABLE), _Taker()
        try:
            _taker.set(taker)
            client.get_object(**parameters)
        finally:
            _taker.set(None)  # by its token, an interruption behind `set` would leave it there
        if taker.request is None:  # another handler of the event answered
            return None
        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in taker.request.headers.items()
            # These name the one call. They are added behind the signature.
            if not name.lower().startswith("amz-sdk-")
        }
        return PreparedGet(taker.request.url, headers, now, trace)

    def _is_within(self, since: float, seconds: float) -> bool:
        """Return whether less than `seconds` have passed; not if the clock was set back."""
        return 0 <= self._clock() - since < seconds

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._noting = Lock()
        self._preparing = Lock()
