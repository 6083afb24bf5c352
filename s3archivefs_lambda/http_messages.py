"""Requests and answers of HTTP as they pass between the server and its application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HttpApplication", "HttpBody", "HttpRequest", "HttpResponse"]


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

    def header(self, name: str) -> str | None:
        """The values of the fields of this lower-case name, joined by commas; None without any."""
        values = [value for each, value in self.headers if each == name]
        return ",".join(values) if values else None


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
    headers: Iterable[tuple[str, str]]
    """Fields as they go out: names that are tokens, values of one line in latin-1."""
    body: HttpBody


class HttpApplication(Protocol):
    """What the server asks for answers, in any of its threads."""

    def __call__(self, request: HttpRequest, /) -> HttpResponse:
        """Answer; whatever goes wrong is an answer, too."""
        ...
