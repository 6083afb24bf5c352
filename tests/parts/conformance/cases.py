"""What a case of the table is, and what is wrong with a server's answer to it.

A fault is a line of text that tells what the server said and what it should have said. It holds
nothing that changes from run to run, so that known deviations can be compared with it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.dates import http_date
from tests.parts.conformance.keys import BUCKET
from tests.parts.conformance.wire import Answer, Request, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.servers.swift_store import Credentials


class Scope(Enum):
    """Which servers a case is put to."""

    ANY = auto()
    """All."""
    SIGNED = auto()
    """Those that check signatures and know operations on buckets: not the function, since S3 does
    both before it asks one.
    """
    OURS = auto()
    """Both ways to an archive."""
    ENDPOINT = auto()
    """The HTTP endpoint."""
    OPEN = auto()
    """The endpoint that asks for no signatures: a public bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server under test, with the keys in BUCKET."""

    name: str
    url: str
    credentials: Credentials
    scopes: frozenset[Scope]
    log: Callable[[], str] = str

    @property
    def is_ours(self) -> bool:
        """Whether all that is said about an error is compared, or only its code."""
        return Scope.OURS in self.scopes

    @property
    def is_endpoint(self) -> bool:
        """Whether it writes error documents and request ids itself."""
        return Scope.ENDPOINT in self.scopes

    def send(self, request: Request) -> Answer:
        """Send one request."""
        return send(self.url, replace(request, bucket=request.bucket or BUCKET), self.credentials)


# ---- One request, one answer ---------------------------------------------------------------------

ANYTHING = re.compile(r".+")
DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A request and what S3 answers.

    Values of headers, in both, may have {etag}, {etag_text} (without quotes), {modified}, {before}
    and {after} (a day from then), {tomorrow}: those of `subject`, which is the key unless said.
    """

    id: str
    request: Request
    status: int = 200
    headers: Mapping[str, str | re.Pattern[str] | None] = field(default_factory=dict)
    """None for a header that must be absent."""
    body: bytes | None = None
    """None for any."""
    code: str = ""
    """That of an error; none for HEAD, whose errors have no body."""
    message: str = ""
    details: Mapping[str, str | re.Pattern[str]] = field(default_factory=dict)
    """Further elements of an error document, compared where the endpoint wrote it."""
    scope: Scope = Scope.ANY
    subject: str = ""

    def faults(self, server: Server) -> list[str]:
        """What is wrong with the server's answer."""
        subject = self._subject(server)
        filled = {name: value.format(**subject) for name, value in self.request.headers.items()}
        answer = server.send(replace(self.request, headers=filled))
        return [*self._faults(answer, server, subject)]

    def _faults(self, answer: Answer, server: Server, subject: dict[str, str]) -> Iterator[str]:
        if answer.status != self.status:
            said = _code(answer)
            yield f"status {answer.status}{said and f' {said}'}, not {self.status}"
            return
        for name, expected in self.headers.items():
            given = answer.headers.get(name)
            wanted = expected.format(**subject) if isinstance(expected, str) else expected
            if not _fits(given, wanted):
                yield f"{name}: {given!r}, not {_shown(expected)}"
        if self.body is not None and answer.body != self.body:
            yield f"a body of {answer.body[:40]!r}, not {self.body[:40]!r}"
        if self.request.method == "HEAD" or self.status == 304:
            if answer.body:
                yield f"{len(answer.body)} bytes of a body where there is none"
        elif self.code:
            yield from self._faults_of_error(answer, server)
        if server.is_endpoint and not answer.headers.get("x-amz-request-id"):
            yield "no request id"

    def _faults_of_error(self, answer: Answer, server: Server) -> Iterator[str]:
        error = error_elements(answer)
        if error is None:
            yield "no error document"
            return
        if error.get("Code") != self.code:
            yield f"code {error.get('Code')}, not {self.code}"
        if not server.is_ours:
            return
        if answer.headers.get("Content-Type") != "application/xml":
            yield f"Content-Type: {answer.headers.get('Content-Type')}, not application/xml"
        if self.message and error.get("Message") != self.message:
            yield f"message {error.get('Message')!r}, not {self.message!r}"
        if not server.is_endpoint:
            return  # the access point makes a document of the code and the message alone
        for name, wanted in self.details.items():
            if not _fits(error.get(name), wanted):
                yield f"{name} {error.get(name)!r}, not {_shown(wanted)}"
        if error.get("RequestId") != answer.headers.get("x-amz-request-id"):
            yield "RequestId is not that of the header"
        if "HostId" not in error:
            yield "no HostId"

    def _subject(self, server: Server) -> dict[str, str]:
        """What `{...}` stand for, asked of the server where the case has any."""
        texts = [*self.request.headers.values(), *self.headers.values()]
        if not any("{" in text for text in texts if isinstance(text, str)):
            return {}
        found = server.send(Request(method="HEAD", key=self.subject or self.request.key))
        assert found.status == 200, f"{server.name} does not have {self.subject or self.request}"
        etag, modified = found.headers["ETag"], found.headers["Last-Modified"]
        time = datetime.strptime(modified, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
        day = timedelta(days=1)
        return {
            "etag": etag,
            "etag_text": etag.strip('"'),
            "modified": modified,
            "before": http_date((time - day).timestamp()),
            "after": http_date((time + day).timestamp()),
            "tomorrow": http_date((datetime.now(UTC) + day).timestamp()),
        }


def error_elements(answer: Answer) -> dict[str, str] | None:
    """The elements of an error document, or None where the body is none."""
    try:
        root = ET.fromstring(answer.body)  # noqa: S314 -- of the server under test
    except ET.ParseError:
        return None
    if root.tag != "Error":  # which has no namespace
        return None
    return {child.tag: child.text or "" for child in root}


def _code(answer: Answer) -> str:
    """The code of an error that was not expected."""
    return (error_elements(answer) or {}).get("Code", "")


def _fits(given: str | None, wanted: str | re.Pattern[str] | None) -> bool:
    if isinstance(wanted, re.Pattern):
        return given is not None and wanted.fullmatch(given) is not None
    return given == wanted


def _shown(wanted: str | re.Pattern[str] | None) -> str:
    return wanted.pattern if isinstance(wanted, re.Pattern) else repr(wanted)
