"""What Amazon S3 says and how: requests, responses, errors, byte ranges and preconditions.

The rules here follow captured behaviour of Amazon S3; nothing in this module knows of archives or
transports.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from string import whitespace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "S3_NAMESPACE",
    "XML_HEAD",
    "ByteRange",
    "S3Error",
    "S3Request",
    "S3Response",
    "apply_if_range",
    "check_preconditions",
    "check_version",
    "http_date",
    "invalid_argument",
    "no_such_key",
    "parse_http_date",
    "parse_range",
    "query_parameters",
    "select_range",
    "xml_response",
    "xml_text",
]

XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


# ---- Requests, responses, errors -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Request:
    """A request, whatever brought it. Text that is not UTF-8 is carried by surrogateescape."""

    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    """Decoded query parameters."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header fields by lower-case name."""
    is_anonymous: bool = False
    """Whether nobody signed it."""


@dataclass(slots=True, kw_only=True)
class S3Response:
    """An answer. `body` yields bytes; iterate it at most once, and `close` it in any case."""

    status: int
    headers: dict[str, str]
    body: Iterable[bytes] = ()

    def close(self) -> None:
        """Let go of what the body would still read."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def query_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The values of a query by name: of a parameter that is repeated, S3 takes the first."""
    parameters: dict[str, str] = {}
    for name, value in pairs:
        parameters.setdefault(name, value)
    return parameters


class S3Error(Exception):
    """An answer that is an error: its S3 code, HTTP status, message, and the further elements that
    S3 gives it.
    """

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

    def to_xml(self, request_id: str, host_id: str = "") -> bytes:
        """The error document, UTF-8."""
        elements = {
            "Code": self.code,
            "Message": self.message,
            **self.extra,
            "RequestId": request_id,
            "HostId": host_id,
        }
        body = "".join(f"<{name}>{xml_text(value)}</{name}>" for name, value in elements.items())
        return f"{XML_HEAD}<Error>{body}</Error>".encode()


def invalid_argument(message: str, name: str, value: str) -> S3Error:
    """400 InvalidArgument about one parameter."""
    return S3Error(
        "InvalidArgument", 400, message, extra={"ArgumentName": name, "ArgumentValue": value}
    )


def no_such_key(key: str) -> S3Error:
    """404 NoSuchKey."""
    return S3Error("NoSuchKey", 404, "The specified key does not exist.", extra={"Key": key})


def xml_response(document: bytes) -> S3Response:
    """200 with an XML document."""
    headers = {"Content-Type": "application/xml", "Content-Length": str(len(document))}
    return S3Response(status=200, headers=headers, body=(document,))


def http_date(seconds: float) -> str:
    """A time, seconds since the epoch, in the form of HTTP headers."""
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC), usegmt=True)


def parse_http_date(text: str) -> datetime | None:
    """The time that a date in a header says, in UTC, which is also meant where it names no zone;
    None for what is no date.
    """
    try:
        time = parsedate_to_datetime(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# ---- Byte ranges ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes [start, stop) of an object."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """The Content-Range header of a 206."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str, size: int) -> ByteRange | None:
    """The range that a Range header asks of an object of `size` bytes; None where S3 ignores the
    header.

    S3 serves one range; several, an unknown unit, one that ends before it starts, or the last bytes
    of an empty object are ignored. Raises S3Error InvalidRange (416) where nothing of the range
    exists.
    """
    unit, _, positions = header.strip(whitespace).partition("=")
    first, dash, last = (part.strip(whitespace) for part in positions.partition("-"))
    if unit.lower() != "bytes" or not dash:
        return None
    if not (_is_number(first or last) and _is_number(last or first)):
        return None
    if not first:
        length = int(last)
        if length == 0:
            raise _invalid_range(header, size)
        return ByteRange(max(size - length, 0), size) if size else None
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise _invalid_range(header, size)
    return ByteRange(start, min(int(last) + 1, size) if last else size)


def _is_number(text: str) -> bool:
    """Whether int() takes it in bounded time: it refuses more than 4300 digits."""
    return len(text) <= 4000 and text.isascii() and text.isdigit()


def select_range(request: S3Request, size: int) -> ByteRange | None:
    """The part of the object that a request asks for by Range or partNumber; None for the whole.

    An object that was not uploaded in parts has one part, which is all of it.
    """
    header = request.headers.get("range")
    part = request.query.get("partNumber")
    if part is None:
        return None if header is None else parse_range(header, size)
    if header is not None:
        raise S3Error(
            "InvalidRequest", 400, "Cannot specify both Range header and partNumber query parameter"
        )
    if not re.fullmatch(r"\d{1,5}", part, re.ASCII) or not 1 <= int(part) <= 10_000:
        message = "Part number must be an integer between 1 and 10000, inclusive"
        raise invalid_argument(message, "partNumber", part)
    if int(part) > 1:
        raise S3Error(
            "InvalidPartNumber",
            416,
            "The requested partnumber is not satisfiable",
            extra={"PartNumberRequested": part, "ActualPartCount": "1"},
        )
    return ByteRange(0, size) if size else None


def _invalid_range(header: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange",
        416,
        "The requested range is not satisfiable",
        headers={"Content-Range": f"bytes */{size}"},
        extra={"RangeRequested": header, "ActualObjectSize": str(size)},
    )


# ---- Preconditions -------------------------------------------------------------------------------


def check_version(query: Mapping[str, str]) -> None:
    """Refuse any version of an object but `null`, the only one that a bucket without versions has.

    Raises S3Error InvalidArgument (400).
    """
    version = query.get("versionId", "null")
    if version != "null":
        empty = "Version id cannot be the empty string"
        message = "Invalid version id specified" if version else empty
        raise invalid_argument(message, "versionId", version)


def check_preconditions(headers: Mapping[str, str], etag: str, modified: float) -> None:
    """Hold an object's ETag and modification time (seconds since the epoch) against the If-*
    headers.

    Raises S3Error PreconditionFailed (412) or NotModified (304), in S3's order of precedence:
    If-Match rules out If-Unmodified-Since, and If-None-Match rules out If-Modified-Since.
    """
    modified = int(modified)
    if (wanted := headers.get("if-match")) is not None:
        if not _matches(wanted, etag):
            raise _precondition_failed("If-Match")
    elif (since := _header_time(headers, "if-unmodified-since")) is not None and modified > since:
        raise _precondition_failed("If-Unmodified-Since")
    unchanged = False
    if (unwanted := headers.get("if-none-match")) is not None:
        unchanged = _matches(unwanted, etag)
    elif (since := _header_time(headers, "if-modified-since")) is not None:
        unchanged = modified <= since <= datetime.now(UTC).timestamp()
    if unchanged:
        known = {"ETag": etag, "Last-Modified": http_date(modified)}
        raise S3Error("NotModified", 304, "Not Modified", headers=known)


def apply_if_range(request: S3Request, etag: str) -> S3Request:
    """The request, without its Range where If-Range does not name the object as it is: who goes on
    with a download of another version is to get all of this one (RFC 9110, 13.1.5).

    Unlike If-Match, it takes an ETag in quotes only, and no date: images are packed with all times
    the same, so that two versions of a file may have one.
    """
    known = request.headers.get("if-range")
    if known is None or known.strip() == etag:
        return request
    headers = {name: value for name, value in request.headers.items() if name != "range"}
    return replace(request, headers=headers)


def _matches(wanted: str, etag: str) -> bool:
    bare = etag.strip('"')
    return any(
        tag.strip() == "*" or tag.strip().removeprefix("W/").strip('"') == bare
        for tag in wanted.split(",")
    )


def _header_time(headers: Mapping[str, str], name: str) -> float | None:
    time = parse_http_date(headers.get(name, ""))
    return None if time is None else time.timestamp()


def _precondition_failed(header: str) -> S3Error:
    message = "At least one of the pre-conditions you specified did not hold"
    return S3Error("PreconditionFailed", 412, message, extra={"Condition": header})


# ---- XML ----------------------------------------------------------------------------------------

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """Text for an element; characters that XML 1.0 cannot hold become U+FFFD (encoding-type=url
    spares them).
    """
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#13;"})
