"""An endpoint with two buckets and three access keys, and what an attacker would send it.

Its time stands still. Requests are signed by the specification alone, changed, and sent as bytes on
a connection. Each is followed there by one that is rightly signed, which must be answered as ever
or not at all.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.request_pool import RequestPool
from s3archivefs_lambda.endpoint.server import S3HttpServer
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.http_site import SECONDS, rest_of
from tests.support.adapter.signer import Signer
from tests.support.adapter.signer_v2 import presigned_v2

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

NOW = 1_800_000_000
"""Seconds since the epoch at which everything here happens: 2027-01-15T08:00:00Z."""
HOST = "127.0.0.1:9000"
TARGET = "/archive/docs/a"
SECRETS = {"ADMIN": "secret-of-admin", "READER": "secret-of-reader", "FORMER": "secret-of-former"}
KEYS = AccessKeys(
    [
        AccessKey("ADMIN", SECRETS["ADMIN"]),
        AccessKey("READER", SECRETS["READER"], {"archive": ("docs/",)}),
        AccessKey("FORMER", SECRETS["FORMER"], is_disabled=True),
    ]
)
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)")


@dataclass(frozen=True)
class Wire:
    """A request, as it is sent."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]

    def with_field(self, name: str, value: str | None) -> Wire:
        """Another value for the field; None takes it out."""
        kept = tuple(field for field in self.fields if field[0] != name)
        return replace(self, fields=kept if value is None else (*kept, (name, value)))

    def and_field(self, name: str, value: str) -> Wire:
        """The field once more."""
        return replace(self, fields=(*self.fields, (name, value)))

    def field(self, name: str, old: str, new: str) -> Wire:
        """The field with another text in it."""
        value = dict(self.fields)[name]
        assert old in value
        return self.with_field(name, value.replace(old, new))

    def at(self, old: str, new: str) -> Wire:
        """The target with another text in it."""
        assert old in self.target
        return replace(self, target=self.target.replace(old, new))

    def by(self, method: str) -> Wire:
        return replace(self, method=method)

    @property
    def raw(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def signer(key: str = "ADMIN", *, at: float = 0, **options: str) -> Signer:
    """Whoever signs with a key, `at` seconds from now."""
    secret = SECRETS.get(key, "secret-of-nobody")
    return replace(Signer(access_key_id=key, secret=secret, now=NOW + at), **options)  # type: ignore[arg-type]


def in_header(
    target: str = TARGET,
    by: Signer | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    **options: str,
) -> Wire:
    """Signed in the Authorization header; all `headers` are."""
    fields = {"host": HOST, **(headers or {})}
    signed = (by or signer()).header(method, target, fields, **options)
    return Wire(method, target, tuple(signed.items()))


def in_query(
    target: str = TARGET,
    by: Signer | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    seconds: int = 60,
) -> Wire:
    """Presigned with Version 4."""
    fields = {"host": HOST, **(headers or {})}
    target = (by or signer()).presigned(method, target, fields, seconds)
    return Wire(method, target, tuple(fields.items()))


def by_version_2(
    target: str = TARGET, key: str = "ADMIN", *, method: str = "GET", expires: str = str(NOW + 60)
) -> Wire:
    """Presigned with Version 2."""
    secret = SECRETS.get(key, "secret-of-nobody")
    target = presigned_v2(method, target, key_id=key, secret=secret, expires=expires)
    return Wire(method, target, (("host", HOST),))


class AttackedEndpoint:
    """The endpoint over fake operations, which serves while entered."""

    def __init__(self) -> None:
        self.operations = FakeOperations()
        verifier = Verifier(KEYS, region="us-east-1", clock=lambda: NOW)
        buckets = dict.fromkeys(("archive", "maps"), ServedBucket(self.operations))
        app = make_app(buckets, verifier=verifier)
        limits = HttpLimits(tick_seconds=0.01)
        self._server = S3HttpServer(app, port=0, limits=limits, pool=RequestPool())

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()

    def outcome(self, wire: Wire) -> str:
        """Status, and code of the error if one is told: `403 SignatureDoesNotMatch`."""
        self.operations.asked.clear()
        right = in_header("/archive/right").and_field("connection", "close")
        parts = urlsplit(self._server.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=SECONDS) as connection:
            connection.sendall(wire.raw + right.raw)
            (status, body), *others = answers(rest_of(connection), wire.method, right.method)
        assert [other for other, _ in others] in ([200], [])
        keys = [request.key for _, request in self.operations.asked]
        assert keys[len(keys) - len(others) :] == ["right"] * len(others)
        assert (status < 400) == (len(keys) > len(others)), "refused requests reach no operation"
        assert not any(secret.encode() in body for secret in SECRETS.values())
        code = ET.fromstring(body).findtext("Code") if status >= 400 and body else ""  # noqa: S314 -- ours
        return f"{status} {code}".strip()


def answers(received: bytes, *methods: str) -> Iterator[tuple[int, bytes]]:
    """Status and body of each answer among those bytes, to requests of those methods."""
    for method in methods:
        if not received:
            return
        head, _, received = received.partition(b"\r\n\r\n")
        announced = _LENGTH.search(head)
        length = 0 if method == "HEAD" or announced is None else int(announced[1])
        yield int(head[9:12]), received[:length]
        received = received[length:]
    assert received == b""
