"""HTTP requests and answers, as they pass between the server and its application."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs_lambda.s3api.messages import Piece

__all__ = [
    "HttpApplication",
    "HttpBody",
    "HttpCall",
    "HttpRefusal",
    "HttpRequest",
    "HttpResponse",
    "Lane",
]


@dataclass(slots=True, kw_only=True)  # frozen, it would take three times as long to make
class HttpRequest:
    """A request without a body, as it stood on the wire. Its text is bytes read as latin-1."""

    method: str
    target: str
    """Neither decoded nor tidied."""
    headers: tuple[tuple[str, str], ...] = ()
    """Name, in lower case, and value of each field, in the order sent.

    Repeated fields are included; blanks around a value are taken off.
    """
    client: str = ""
    """The sender's address, without the port; empty if it is not known."""
    arrived: float = field(default_factory=time.time, compare=False)
    """When all of it had arrived, in seconds since the epoch."""
    started: float = field(default_factory=time.monotonic, compare=False)
    """The same on the monotonic clock."""


class HttpBody(Protocol):
    """The pieces of a body. Its reader calls `close` once, wherever it stops."""

    def __iter__(self) -> Self:
        """Return itself."""
        ...

    def __next__(self) -> Piece:
        """Return the next piece; raise what breaks the connection off."""
        ...

    def close(self) -> None:
        """Release what the rest would need."""
        ...


@dataclass(slots=True, kw_only=True)
class HttpResponse:
    """An answer. Its Content-Length, if any, is the body's length, but for HEAD."""

    status: int
    headers: Sequence[tuple[str, str]]
    """Fields as they go out: names that are tokens, values of one line in latin-1."""
    body: HttpBody


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """An answer of the server's own, in place of the application's."""

    request_id: str
    status: int
    error: str
    """The S3 code."""
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue of requests for one archive: when one is slow, the others probably are."""

    name: str
    """The archive's."""
    store: str
    """What the archive shares with others: its bucket, or the file system."""
    is_local: bool
    """Whether none of its requests waits for another machine."""


class HttpCall(Protocol):
    """One request on its way through the application.

    It is answered by `at_once` or by `answer`, or is `unanswered`. If one of the former raised, it
    is unanswered as well.
    """

    @property
    def client(self) -> str:
        """The address of the client, behind proxies too; empty if it is not known."""
        ...

    @property
    def lane(self) -> Lane:
        """The lane in which the request waits; known at once, without raising."""
        ...

    @property
    def refusal_fields(self) -> dict[str, str]:
        """Header fields that the server's own refusal of the request has, too."""
        ...

    def at_once(self) -> HttpResponse | None:
        """Answer on the event loop; a fault is an answer, too.

        The body is of one piece at most, which is at hand. None, if it takes reading or waiting:
        then `answer` does it.
        """
        ...

    def answer(self) -> HttpResponse:
        """Answer, in any thread; a fault is an answer, too."""
        ...

    def unanswered(self, refusal: HttpRefusal | None, /) -> None:
        """Note that the application does not answer; at once, without raising.

        The request got `refusal` from the server, or None as its connection ended.
        """
        ...


class HttpApplication(Protocol):
    """What answers the server's requests."""

    def __call__(self, request: HttpRequest, /) -> HttpCall:
        """Take a request; at once, and without raising."""
        ...
