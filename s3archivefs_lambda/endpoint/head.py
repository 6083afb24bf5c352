"""The head of an HTTP/1.1 request, read in one strict way.

A head that another parser might read otherwise is refused: a proxy in front, or the check of a
signature, must never see another request in the same bytes. httptools and aiohttp refuse targets
with bytes above 0x7f, which S3 serves, and httptools lets through a second Host, HTTP/2.0 and
HTTP/0.9 (CONTRIBUTING.md, "Dependencies"). Each check takes time in proportion to the head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from s3archivefs_lambda.endpoint.messages import HttpRequest

__all__ = ["MAX_FIELDS", "MAX_HEAD_BYTES", "Head", "HeadBuffer", "MalformedHeadError"]

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a head, at most: several times what signed requests take."""
MAX_FIELDS = 200
"""Header fields of a request, at most: Apache and Python's http.client take 100.

Each takes most of a microsecond on the event loop, however short it is.
"""

_KEPT = 1024
"""Bytes of fields, at most, that are kept as they were read."""
_END = b"\r\n\r\n"
_BEGIN = re.compile(rb"[A-Z\r]")

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2
# Bytes above 0x7f in targets are no URI, but S3 reads them as if they were percent-encoded.
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) ([!-\"$-~\x80-\xff]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
_AUTHORITY = rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]*)?"  # no user's name
_HOST = re.compile(_AUTHORITY)
_TARGET = re.compile(rb"/.*|(?i:https?)://(?![/?:])" + _AUTHORITY + rb"(?:[/?].*)?")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

# If one of these is repeated, one parser may take the first and another the last.
_SINGLE = frozenset(
    {
        *("authorization", "content-length", "date", "host", "if-modified-since", "if-range"),
        *("if-unmodified-since", "range", "transfer-encoding", "x-amz-content-sha256"),
        *("x-amz-date", "x-amz-security-token"),
    }
)


class MalformedHeadError(ValueError):
    """Bytes that are no head of a request; `status` and S3's `code` answer them."""

    def __init__(self, what: str, *, status: int = 400, code: str = "BadRequest") -> None:
        super().__init__(f"An error occurred when parsing the HTTP request: {what}.")
        self.status = status
        self.code = code


@dataclass(slots=True)  # frozen, it would take three times as long to make
class Head:
    """A request, and what its head says of the connection."""

    request: HttpRequest
    has_body: bool
    """Whether a body follows. Then it is not certain where a next request would begin."""
    keeps_alive: bool
    """Whether the client may send another request on the connection."""
    is_http_1_0: bool


class HeadBuffer:
    """Bytes that have arrived on a connection, until they are taken head by head."""

    __slots__ = ("_received", "_searched")

    def __init__(self) -> None:
        self._received = bytearray()
        self._searched = 0  # no head ends before this

    def __len__(self) -> int:
        """Return the number of bytes that were not taken yet."""
        return len(self._received)

    def add(self, data: bytes) -> None:
        """Add bytes that have arrived."""
        self._received += data

    def take(self, client: str) -> Head | None:
        """Return the next head, if all of it has arrived.

        Raises MalformedHeadError as soon as what has arrived cannot become one.
        """
        if not self._received:
            return None
        received = self._received
        end = received.find(_END, self._searched)
        stop = len(received) if end < 0 else end + len(_END)
        if _has_bare_line_feed(received, self._searched, min(stop, MAX_HEAD_BYTES)):
            raise MalformedHeadError("a line ends without a carriage return")
        if stop > MAX_HEAD_BYTES:
            raise _too_long(received)
        if end < 0:
            if not _BEGIN.match(self._received):  # such as TLS, which waits for an answer
                raise MalformedHeadError("it does not begin with a method")
            self._searched = max(0, stop - 3)  # the end may have begun to arrive
            return None
        head = bytes(received[:end])
        del received[:stop]
        self._searched = 0
        return _parse(head.removeprefix(b"\r\n"), client)  # RFC 9112, 2.2: after the request before


def _has_bare_line_feed(received: bytearray, start: int, stop: int) -> bool:
    """Return whether a line feed in [start, stop) has no carriage return before it.

    Two counts take a tenth of the time of a pattern that looks behind each line feed.
    """
    feeds = received.count(b"\n", start, stop)
    return feeds != received.count(b"\r\n", max(0, start - 1), stop)


def _too_long(received: bytearray) -> MalformedHeadError:
    if received.find(b"\r\n", 2, MAX_HEAD_BYTES) < 0:
        return MalformedHeadError("the request target is too long", status=414, code="InvalidURI")
    return _too_large(f"its header section exceeds {MAX_HEAD_BYTES} bytes")


def _too_large(what: str) -> MalformedHeadError:
    return MalformedHeadError(what, status=431, code="RequestHeaderSectionTooLarge")


def _parse(head: bytes, client: str) -> Head:
    line, _, block = head.partition(b"\r\n")
    request_line = _REQUEST_LINE.fullmatch(line)
    if request_line is None:
        raise MalformedHeadError("the request line is malformed")
    method, target, minor = request_line.groups()
    if _TARGET.fullmatch(target) is None:
        raise MalformedHeadError("the request target is malformed")
    if block.count(b"\r\n") >= MAX_FIELDS:
        raise _too_large(f"it has more than {MAX_FIELDS} header fields")
    fields, single, connection = (_fields if len(block) <= _KEPT else _fields.__wrapped__)(block)
    is_http_1_0 = minor == b"0"
    _check_host(single.get("host"), needed=not is_http_1_0)
    request = HttpRequest(
        method=method.decode("ascii"),
        target=target.decode("latin-1"),
        headers=fields,
        client=client,
    )
    return Head(
        request,
        has_body=_has_body(single, is_http_1_0=is_http_1_0),
        keeps_alive="close" not in connection and (not is_http_1_0 or "keep-alive" in connection),
        is_http_1_0=is_http_1_0,
    )


@lru_cache(maxsize=256)  # a client sends the same fields over and over, if it does not sign
def _fields(block: bytes) -> tuple[tuple[tuple[str, str], ...], dict[str, str], list[str]]:
    """Return the fields of a head: all, those that may stand once, and Connection's options."""
    fields = []
    single: dict[str, str] = {}
    connection: list[str] = []
    for line in block.split(b"\r\n") if block else ():
        field = _FIELD.fullmatch(line)
        if field is None:
            raise MalformedHeadError("a header field is malformed")
        name, value = field[1].decode("ascii").lower(), field[2].strip(b" \t").decode("latin-1")
        fields.append((name, value))
        if name in _SINGLE:
            if name in single:
                raise MalformedHeadError(f"the header field {name} is repeated")
            single[name] = value
        elif name == "connection":
            connection += [option.strip(" \t") for option in value.lower().split(",")]
    return tuple(fields), single, connection


def _check_host(host: str | None, *, needed: bool) -> None:
    if host is None:
        if needed:
            raise MalformedHeadError("there is no Host header field")
    elif _HOST.fullmatch(host.encode("latin-1")) is None:
        raise MalformedHeadError("the Host header field is malformed")


def _has_body(single: dict[str, str], *, is_http_1_0: bool) -> bool:
    length = single.get("content-length")
    if "transfer-encoding" in single:
        if length is not None:
            raise MalformedHeadError("it has both Content-Length and Transfer-Encoding")
        if is_http_1_0:
            raise MalformedHeadError("HTTP/1.0 has no Transfer-Encoding")
        return True
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise MalformedHeadError("the Content-Length is not a number")
    return length is not None and int(length) > 0
