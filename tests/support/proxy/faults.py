"""What a proxy can let befall a request: the ways in which a store or a network fails."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Answer:
    """Fault: answer so, as S3 reports errors, without asking the server."""

    status: int
    code: str = "SlowDown"


@dataclass(frozen=True, slots=True)
class CutBody:
    """Fault: end the connection in order (FIN) after so many bytes of the response body."""

    after: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Fault: reset the connection (RST) instead of answering; or after so many bytes of the body,
    of which those that the client's side has not taken by then are lost.
    """

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """Fault: send the head and so many bytes of the body (None: nothing at all), then nothing more
    until the client gives up.
    """

    after: int | None = 0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Fault: these headers of the answer have other values, or are missing (None)."""

    headers: tuple[tuple[str, str | None], ...]

    def head(self, head: bytes) -> bytes:
        """The head of a response, altered."""
        return _rewritten(head, dict(self.headers))


@dataclass(frozen=True, slots=True)
class WrongRange:
    """Fault: the answer to a range is one so many bytes further on, and says so."""

    by: int = 1

    def head(self, head: bytes) -> bytes:
        """The head of a response, altered."""

        def moved(found: re.Match[bytes]) -> bytes:
            start, end = (int(found[group]) + self.by for group in (2, 3))
            return b"%s%d-%d" % (found[1], start, end)

        return re.sub(rb"(?i)(\r\ncontent-range: *bytes )(\d+)-(\d+)", moved, head)


@dataclass(frozen=True, slots=True)
class WrongVersion:
    """Fault: the answer to a range is of another version of the object, and says so by its ETag.

    It is another version each time.
    """

    def head(self, head: bytes) -> bytes:
        """The head of a response, altered."""
        return _rewritten(head, {"ETag": f'"{secrets.token_hex(16)}"'})


Fault: TypeAlias = Answer | CutBody | Reset | Stall | Rewrite | WrongRange | WrongVersion

_OTHER = bytes(byte ^ 0xFF for byte in range(256))


def other_bytes(data: bytes) -> bytes:
    """What another range or version has in the place of `data`."""
    return data.translate(_OTHER)


def _rewritten(head: bytes, headers: Mapping[str, str | None]) -> bytes:
    names = {name.lower().encode() for name in headers}
    kept = [
        line
        for line in head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if line.partition(b":")[0].lower() not in names
    ]
    added = [f"{name}: {value}".encode() for name, value in headers.items() if value is not None]
    return b"\r\n".join([*kept, *added, b"", b""])
