"""The part of an object that a request asks for, as Amazon S3 understands it.

The rules follow captured behaviour of Amazon S3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from string import whitespace
from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.errors import invalid_argument, invalid_request
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["ByteRange", "apply_if_range", "parse_range", "part_number", "select_range"]


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes [start, stop) of an object."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """Return the Content-Range header of a 206."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str, size: int) -> ByteRange | None:
    """Return the range that a Range header asks for; None if S3 ignores the header.

    `size` is the object's, in bytes. S3 serves one range. It ignores several, an unknown unit, one
    that ends before it starts, and the last bytes of an empty object. Raises S3Error InvalidRange
    (416) if nothing of the range exists.
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
    """Return whether int() takes the text in bounded time: it refuses more than 4300 digits."""
    return len(text) <= 4000 and text.isascii() and text.isdigit()


def select_range(request: S3Request, size: int) -> ByteRange | None:
    """Return what Range or partNumber selects of an object; None for the whole.

    An object that was not uploaded in parts has one part, which is all of it. Raises S3Error.
    """
    header = request.headers.get("range")
    part = request.query.get("partNumber")
    if part is None:
        return None if header is None else parse_range(header, size)
    if header is not None:
        raise invalid_request("Cannot specify both Range header and partNumber query parameter")
    if part_number(part) > 1:
        raise S3Error(
            "InvalidPartNumber",
            416,
            "The requested partnumber is not satisfiable",
            extra={"PartNumberRequested": part, "ActualPartCount": "1"},
        )
    return ByteRange(0, size) if size else None


def part_number(text: str) -> int:
    """Return the number that partNumber is; raise S3Error InvalidArgument if it is none."""
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or not 1 <= int(text) <= 10_000:
        message = "Part number must be an integer between 1 and 10000, inclusive"
        raise invalid_argument(message, "partNumber", text)
    return int(text)


def _invalid_range(header: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange",
        416,
        "The requested range is not satisfiable",
        headers={"Content-Range": f"bytes */{size}"},
        extra={"RangeRequested": header, "ActualObjectSize": str(size)},
    )


def apply_if_range(request: S3Request, etag: str) -> S3Request:
    """Return the request, without its Range if If-Range names another version.

    A client that goes on with a download of another version gets all of this one (RFC 9110,
    13.1.5). Unlike If-Match, If-Range takes an ETag in quotes only, and no date: images are packed
    with all times the same, so that two versions of a file may have one.
    """
    known = request.headers.get("if-range")
    if known is None or known.strip() == etag:
        return request
    headers = {name: value for name, value in request.headers.items() if name != "range"}
    return replace(request, headers=headers)
