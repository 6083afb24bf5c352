"""Requests as a proxy has seen them, and what they say about the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.support.proxy.faults import Fault


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request: what a fault is matched against."""

    method: str
    path: str
    """The request target as sent, query included."""
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("range")


@dataclass(frozen=True, slots=True)
class Recorded(Request):
    """One finished request."""

    status: int
    """0 if the connection ended before there was one."""
    bytes_sent: int
    """Body bytes handed to the client, without chunk framing."""
    start: float
    """When the head of the request was complete, in seconds of time.monotonic()."""
    end: float
    """When the last byte of the response was handed to the client, likewise."""
    complete: bool
    """Whether the client got the whole response."""
    fault: Fault | None = None
    """What befell it."""

    def summary(self) -> dict[str, str | int | float | bool | None]:
        """What there is to count and time, fit for JSON."""
        return {
            "method": self.method,
            "path": self.path,
            "range": self.range,
            "status": self.status,
            "bytes": self.bytes_sent,
            "start": self.start,
            "end": self.end,
            "complete": self.complete,
        }


def round_trips(requests: Iterable[Recorded]) -> int:
    """Length of the longest chain in which each request starts after the one before it ended.

    Requests that overlap count as one trip: what is left is the delay that a client on a distant
    network cannot hide.
    """
    trips, reached = 0, float("-inf")
    # Taking the earliest end first leaves the most room: the classic interval scheduling.
    for request in sorted(requests, key=lambda request: request.end):
        if request.start >= reached:
            trips, reached = trips + 1, request.end
    return trips
