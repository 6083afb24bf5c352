"""Requests and answers of HTTP as they pass between the server and its application."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HttpApplication", "HttpBody", "HttpRefusal", "HttpRequest", "HttpResponse", "Lane"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request without a body, as it stood on the wire. All text is bytes read as latin-1."""

    method: str
    target: str
    """Neither decoded nor tidied."""
    headers: tuple[tuple[str, str], ...] = ()
    """Lower-case name and value of each field, in the order sent, repeated ones included; blanks
    around a value are taken off.
    """
    client: str = ""
    """The address of whoever sent it, without the port; empty where it is not known."""
    arrived: float = field(default_factory=time.time, compare=False)
    """When all of it was there, in seconds since the epoch."""
    started: float = field(default_factory=time.monotonic, compare=False)
    """The same on the monotonic clock."""


class HttpBody(Protocol):
    """The pieces of a body. Whoever has it calls `close` once, wherever it has stopped reading."""

    def __iter__(self) -> Self:
        """Itself."""
        ...

    def __next__(self) -> bytes:
        """The next piece; what it raises breaks the connection off."""
        ...

    def close(self) -> None:
        """Let go of what the rest would need."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An answer. Content-Length, where there is one, is what the body has, but for HEAD."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Fields as they go out: names that are tokens, values of one line in latin-1."""
    body: HttpBody


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """What the server answers in place of the application."""

    request_id: str
    status: int
    error: str
    """The S3 code."""
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Lane:
    """What requests wait for together: when one of them is slow, the others probably are."""

    name: str
    """Of the archive."""
    store: str
    """What the archive shares with others: its bucket, or the file system."""
    is_local: bool
    """Whether nothing in it waits for another machine."""


class HttpApplication(Protocol):
    """What the server asks for answers."""

    def __call__(self, request: HttpRequest, /) -> HttpResponse:
        """Answer, in any thread; whatever goes wrong is an answer, too."""
        ...

    def lane(self, request: HttpRequest, /) -> Lane:
        """Where the request is to wait; at once, and without raising."""
        ...

    def unanswered(self, request: HttpRequest, refusal: HttpRefusal | None, /) -> None:
        """Note a request that gets nothing but this refusal of the server's, or nothing at all as
        its connection has ended; at once, and without raising.

        Of each request the application makes an answer or is told this; of one whose call raised,
        both.
        """
        ...
