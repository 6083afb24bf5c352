"""S3's requests, responses and errors, whatever transport carries them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from s3archivefs_lambda.s3api.xml import XML_HEAD, xml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "AT_ONCE_BYTES",
    "FIRST_PIECE_BYTES",
    "Piece",
    "S3Error",
    "S3Request",
    "S3Response",
    "document_fields",
    "query_parameters",
    "xml_response",
]

Piece: TypeAlias = bytes | memoryview
"""A part of a body: a decoded block of a file, or a whole document."""
AT_ONCE_BYTES = 4 << 20
"""Bytes of a body made at once: blocks to decode in parallel, and bounded memory."""
FIRST_PIECE_BYTES = 1 << 20
"""Bytes of a body's first piece, which the client waits for."""


@dataclass(slots=True, kw_only=True)  # frozen, it would take three times as long to make
class S3Request:
    """A request, whatever brought it. Its text has bytes that are not UTF-8 by surrogateescape."""

    bucket: str = ""
    """Where the transport has several."""
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    """Decoded query parameters."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header fields by lower-case name."""
    is_anonymous: bool = False
    """Whether nobody signed it."""
    may_read: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)
    """Tells whether its asker may read a key; None if that may be any."""
    request_id: str = ""
    """The request's name in the log."""
    callers_url: str = field(default="", repr=False)  # it holds a signature
    """The URL at which the store answers the caller itself, if there is one."""


@dataclass(slots=True, kw_only=True)
class S3Response:
    """An answer. `body` yields its pieces; iterate it at most once, and `close` it in any case."""

    status: int
    headers: dict[str, str]
    body: Iterable[Piece] = ()
    error: S3Error | None = None
    """The error, which the transport writes in place of a body; 304 is none."""

    @property
    def error_code(self) -> str | None:
        """S3's code of the error, if it is one."""
        return None if self.error is None else self.error.code

    def close(self) -> None:
        """Release what the rest of the body would need."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


class S3Error(Exception):
    """An error as S3 tells it: code, HTTP status, message, headers and further elements."""

    def __init__(
        self,
        code: str,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def response(self) -> S3Response:
        """Return the response that says so. Of 304, it has no `error`."""
        error = None if self.status == 304 else self
        return S3Response(status=self.status, headers=dict(self.headers), error=error)

    def to_xml(self, request_id: str, host_id: str = "") -> bytes:
        """Return the error document, UTF-8."""
        elements = {
            "Code": self.code,
            "Message": self.message,
            **self.extra,
            "RequestId": request_id,
            "HostId": host_id,
        }
        body = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in elements.items())
        return f"{XML_HEAD}<Error>{body}</Error>".encode()


def xml_response(document: bytes) -> S3Response:
    """Return 200 with an XML document."""
    return S3Response(status=200, headers=document_fields(document), body=(document,))


def document_fields(document: bytes) -> dict[str, str]:
    """Return the header fields that tell of an XML document."""
    return {"Content-Type": "application/xml", "Content-Length": str(len(document))}


def query_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a query's values by name; of a repeated parameter, S3 takes the first."""
    parameters: dict[str, str] = {}
    for name, value in pairs:
        parameters.setdefault(name, value)
    return parameters
