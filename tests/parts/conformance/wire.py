"""S3 requests on the wire, signed exactly as botocore signs them, and the answers as they come."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlsplit

from botocore.auth import SIGV4_TIMESTAMP, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningCredentials

from tests.support.servers.swift_store import REGION, Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage

TIMEOUT_SECONDS = 30.0
HOUR = timedelta(hours=1)

Auth: TypeAlias = "Callable[[AWSRequest, Credentials], None]"
"""Adds to a request what says who asks."""


# ---- Ways to say who asks ------------------------------------------------------------------------


def signed(request: AWSRequest, credentials: Credentials) -> None:
    """With an Authorization header."""
    _Signer(_for_signing(credentials), "s3", REGION).add_auth(request)


def anonymous(request: AWSRequest, credentials: Credentials) -> None:
    """Not at all."""


def with_wrong_secret(request: AWSRequest, credentials: Credentials) -> None:
    """As somebody whose secret the server does not share."""
    signed(request, Credentials(credentials.access_key, "wrong"))


def with_unknown_key(request: AWSRequest, credentials: Credentials) -> None:
    """As somebody whom the server does not know."""
    signed(request, Credentials("NOBODY", "secret"))


def signed_at(offset: timedelta) -> Auth:
    """With an Authorization header of another time."""

    def sign(request: AWSRequest, credentials: Credentials) -> None:
        _Signer(_for_signing(credentials), "s3", REGION, offset=offset).add_auth(request)

    return sign


def signed_with(*fields: tuple[str, str]) -> Auth:
    """With an Authorization header that covers these fields, too; of a Date, the time is now."""

    def sign(request: AWSRequest, credentials: Credentials) -> None:
        for name, value in fields:
            request.headers.add_header(name, value)
        _SignerOfAll(_for_signing(credentials), "s3", REGION).add_auth(request)

    return sign


def with_authorization(value: str) -> Auth:
    """With this Authorization header."""

    def sign(request: AWSRequest, credentials: Credentials) -> None:
        request.headers["Authorization"] = value

    return sign


def presigned(expires: int = 3600, offset: timedelta = timedelta()) -> Auth:
    """In the query, good for `expires` seconds from now and `offset` on."""

    def sign(request: AWSRequest, credentials: Credentials) -> None:
        signer = partial(_QuerySigner, _for_signing(credentials), "s3", REGION)
        signer(expires=expires, offset=offset).add_auth(request)

    return sign


def presigned_and_signed(request: AWSRequest, credentials: Credentials) -> None:
    """In both places at once."""
    presigned()(request, credentials)
    signed(request, credentials)


def presigned_without_expires(request: AWSRequest, credentials: Credentials) -> None:
    """In the query, of which a parameter is then left out."""
    presigned()(request, credentials)
    assert request.url
    request.url = request.url.replace("X-Amz-Expires=3600&", "")


def presigned_in_version_2(
    expires: str | timedelta = HOUR, *, method: str = "", without: str = "", more: str = ""
) -> Auth:
    """In the query, as before Signature Version 4: good until `expires`, which may be any text;
    signed for `method`, if given, and sent `without` a parameter, and with `more` of the query.
    """

    def sign(request: AWSRequest, credentials: Credentials) -> None:
        assert request.url
        signed = AWSRequest(method or request.method, request.url)
        _SignerOfVersion2(_for_signing(credentials), expires).add_auth(signed)
        assert signed.url
        request.url = signed.url.replace(f"{without}=", f"x{without}=") if without else signed.url
        request.url += more

    return sign


class _SignerOfVersion2(HmacV1QueryAuth):
    def __init__(self, credentials: SigningCredentials, expires: str | timedelta) -> None:
        super().__init__(credentials)
        self._until = expires

    def _get_date(self) -> str:
        if isinstance(self._until, str):
            return self._until
        return str(int((datetime.now(UTC) + self._until).timestamp()))


class _At:
    """A signer of a time that is not now."""

    def __init__(self, *arguments: Any, offset: timedelta = timedelta(), **more: Any) -> None:  # noqa: ANN401 -- a signer's
        super().__init__(*arguments, **more)
        self._offset = offset

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        time = datetime.now(UTC) + self._offset
        request.context["timestamp"] = time.strftime(SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # a signer's


class _Signer(_At, S3SigV4Auth):
    pass


class _SignerOfAll(_Signer):
    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        headers = super().headers_to_sign(request)
        if "Expect" in request.headers:  # which botocore leaves out, and other SDKs do not
            headers["expect"] = request.headers["Expect"]
        return headers


class _QuerySigner(_At, S3SigV4QueryAuth):
    pass


def _for_signing(credentials: Credentials) -> SigningCredentials:
    return SigningCredentials(credentials.access_key, credentials.secret_key)


# ---- Requests and answers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request in path style. Text that is not UTF-8 stands as surrogate escapes."""

    method: str = "GET"
    bucket: str = ""
    key: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: Auth = signed
    path: str = ""
    """Percent-encoded, in place of bucket and key."""

    @property
    def target(self) -> str:
        """The target, before what a signature adds to it."""
        path = self.path or "/" + self.bucket + ("/" + _quoted(self.key, "/") if self.key else "")
        query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in self.query.items())
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, its body without framing."""

    status: int
    headers: Message
    """By name in any case; the first of several."""
    body: bytes


def send(url: str, request: Request, credentials: Credentials) -> Answer:
    """Send one request, on a connection of its own."""
    asked = AWSRequest(request.method, url + request.target, dict(request.headers))
    request.auth(asked, credentials)
    parts = urlsplit(url)
    assert parts.hostname
    assert asked.url
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        target = asked.url.removeprefix(url)
        connection.putrequest(request.method, target, skip_accept_encoding=True)
        for name, value in asked.headers.items():
            connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders()
        with connection.getresponse() as response:
            # Python reads no body where HTTP has none; whatever is there would be an answer to the
            # next request.
            bodiless = request.method == "HEAD" or response.status == 304
            body = response.fp.read() if bodiless else response.read()
            return Answer(response.status, response.headers, body)
    finally:
        connection.close()


def _quoted(text: str, safe: str = "") -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=safe + "~")
