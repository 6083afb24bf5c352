"""Answers as they go out on the wire."""

from __future__ import annotations

import os
import re
import secrets
import time
from email.utils import formatdate
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.messages import document_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from s3archivefs_lambda.endpoint.messages import HttpResponse
    from s3archivefs_lambda.s3api.messages import S3Error

__all__ = [
    "common_fields",
    "encode_head",
    "encode_refusal",
    "header_fields",
    "new_request_id",
    "says_where_it_ends",
    "with_vary",
]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_CONTROLS = dict.fromkeys([*range(9), *range(10, 32), 127], "?")  # all but the tab


class _RequestIds:
    """Ids for requests, unguessable, of which each is given once.

    The system is asked for many at once. Threads may ask for ids; a forked child has its own.
    """

    _MANY = 256
    _DIGITS = 16

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._left: Iterator[str] = iter(())

    def __call__(self) -> str:
        while (found := next(self._left, None)) is None:
            digits = secrets.token_hex(self._MANY * self._DIGITS // 2).upper()
            starts = range(0, len(digits), self._DIGITS)
            self._left = iter([digits[start : start + self._DIGITS] for start in starts])
        return found


new_request_id = _RequestIds()
"""Return an id as S3 gives each request, for the answer and the log."""


def common_fields(request_id: str) -> dict[str, str]:
    """Return the fields that every answer has."""
    return {
        "x-amz-request-id": request_id,
        "Date": _date(int(time.time())),
        "Server": "s3archivefs",
    }


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def encode_head(status: int, headers: Iterable[tuple[str, str]], *, connection: str = "") -> bytes:
    """Return the head of an answer.

    `connection` is the field of that name, if it differs from what the version of HTTP says.
    """
    lines = [_status_line(status), *(f"{name}: {value}" for name, value in headers)]
    if connection:
        lines.append(f"Connection: {connection}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_refusal(
    error: S3Error, further: dict[str, str] | None = None, *, with_body: bool
) -> tuple[str, bytes, bytes]:
    """Return the id, head and body of an error that ends a connection.

    The head has `further` fields besides those of every answer.
    """
    request_id = new_request_id()
    document = error.to_xml(request_id)
    fields = common_fields(request_id) | document_fields(document) | (further or {})
    head = encode_head(error.status, fields.items(), connection="close")
    return request_id, head, document if with_body else b""


def header_fields(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the fields as they are sent: names are tokens, values one line in latin-1.

    Values come from names in archives and from clients' queries. All headers are sent through here.
    """
    return [
        # Nearly all are printable ASCII, and no more is to be done.
        (name, value if value.isascii() and value.isprintable() else _sendable(value))
        for name, value in headers.items()
        if _is_token(name)
    ]


def with_vary(fields: dict[str, str], further: dict[str, str]) -> dict[str, str]:
    """Return the fields with the further ones; what answers vary by adds up."""
    if not further:
        return fields
    joined = fields | further
    if "Vary" in fields and "Vary" in further:
        joined["Vary"] = f"{fields['Vary']}, {further['Vary']}"
    return joined


def says_where_it_ends(response: HttpResponse, method: str) -> bool:
    """Return whether a client knows the length of the body (RFC 9112, 6.3)."""
    if method == "HEAD" or response.status in {204, 304}:
        return True
    return any(
        name == "Content-Length" or name.lower() == "content-length" for name, _ in response.headers
    )


@cache
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"


@lru_cache(maxsize=256)
def _is_token(name: str) -> bool:
    return _TOKEN.fullmatch(name) is not None


def _sendable(value: str) -> str:
    return value.translate(_CONTROLS).encode("latin-1", "replace").decode("latin-1")
