"""The target of an HTTP request, decoded in one place.

So the check of the signature and the answer read the same bytes in the same way.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from s3archivefs_lambda.s3api.errors import invalid_request
from s3archivefs_lambda.s3api.messages import S3Error
from s3archivefs_lambda.text import to_text

__all__ = ["MAX_PARAMETERS", "RequestTarget", "parse_target"]

MAX_PARAMETERS = 200
"""Parameters of a query, at most: a presigned request of an SDK has some 30.

Each takes microseconds on the event loop: it is decoded, encoded and sorted for the signature.
"""

_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]++)(.*)", re.DOTALL)
_PLAIN = frozenset(range(0x21, 0x7F)).difference(b"%?")
"""Bytes that stand for themselves in a path."""
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


@dataclass(slots=True)  # frozen, it would take three times as long to make
class RequestTarget:
    """Path and query, decoded."""

    path: bytes
    """Begins with "/"; neither dot segments nor empty ones are taken out."""
    raw_path: bytes
    """The path as it was spelt, which Signature Version 2 covers."""
    query: tuple[tuple[str, str], ...]
    """Names and values, in the order sent."""
    host: str | None = None
    """The host, and port if any, of a target in absolute form.

    It stands in place of the Host header (RFC 9112, 3.2.2).
    """


def parse_target(raw: str) -> RequestTarget:
    """Decode a target in origin form or absolute form; its bytes are latin-1.

    "+" is a plus in the path and a space in the query, as for S3. Raises S3Error InvalidURI, and
    InvalidRequest for too many parameters.
    """
    target = raw.encode("latin-1", "replace")
    host = None
    if target.startswith(b"/") and _PLAIN.issuperset(target):
        return RequestTarget(target, target, (), host)
    if absolute := _ABSOLUTE.fullmatch(target):
        host, target = absolute[1].decode("latin-1"), absolute[2]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") or _BROKEN_ESCAPE.search(path):
        uri = path.decode("latin-1")  # without the query, which may hold a signature
        raise S3Error("InvalidURI", 400, "Couldn't parse the specified URI.", extra={"URI": uri})
    if query.count(b"&") >= MAX_PARAMETERS:
        raise invalid_request(f"The request has more than {MAX_PARAMETERS} query parameters.")
    pairs = (part.partition(b"=") for part in query.replace(b"+", b" ").split(b"&") if part)
    return RequestTarget(
        unquote_to_bytes(path),
        path,
        tuple((_text(name), _text(value)) for name, _, value in pairs),
        host,
    )


def _text(encoded: bytes) -> str:
    if _BROKEN_ESCAPE.search(encoded):  # at 0.3 µs each, these would take urllib 20 ms
        return to_text(_ESCAPE.sub(lambda escape: unhexlify(escape[1]), encoded))
    return to_text(unquote_to_bytes(encoded))
