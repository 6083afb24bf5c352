"""Requests as they reach the endpoint, signed by botocore; and what a verifier makes of them."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import pytest

from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.messages import HttpRequest
from s3archivefs_lambda.endpoint.request_target import parse_target
from s3archivefs_lambda.endpoint.signature import SignatureRefusedError, SignedRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_s3 import S3Client

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:9000"
TIMESTAMP = re.compile(r"\d{8}T\d{6}Z")
ODD_KEYS = ["a b/ü+%?#&=.txt", "x//y", "./z", "../z", "~t", "a*b(c)!'", "%2F", "+", "a;b:c@d,e$f"]
KEYS = AccessKeys([AccessKey(ACCESS_KEY, SECRET)])
CREDENTIALS = botocore.credentials.Credentials(ACCESS_KEY, SECRET)
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Sent:
    """A request as it reaches the server."""

    method: str
    target: str
    headers: Mapping[str, str]
    further: tuple[tuple[str, str], ...] = ()
    """Header fields behind those, of names that were there."""

    def with_headers(self, **changes: str | None) -> Sent:
        """`None` takes a header out; `_` stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        merged: dict[str, str | None] = {**self.headers, **named}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(self, headers=kept)

    def authorization(self, old: str, new: str) -> Sent:
        assert old in self.headers["authorization"]
        return self.with_headers(authorization=self.headers["authorization"].replace(old, new))

    def query(self, old: str, new: str) -> Sent:
        assert old in self.target
        return replace(self, target=self.target.replace(old, new))

    @property
    def timestamp(self) -> str:
        found = TIMESTAMP.search(self.headers.get("x-amz-date", "") + self.target)
        assert found
        return found[0]

    @property
    def time(self) -> float:
        """Seconds since the epoch, as signed."""
        return datetime.strptime(self.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def verifier(*, region: str | None = None, at: float | None = None) -> Verifier:
    return Verifier(KEYS, region=region, clock=lambda: time.time() if at is None else at)


def path_of(key: str) -> str:
    return "/archive/" + quote(key, safe="/~")


def request_of(method: str, target: str, headers: Mapping[str, str], *, host: str = HOST) -> Sent:
    lower = {name.lower(): value for name, value in headers.items()}
    return Sent(method, target, {"host": host} | lower)


def signed(
    target: str = "/archive/docs/a.txt",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    *,
    region: str = "eu-west-1",
    credentials: botocore.credentials.Credentials = CREDENTIALS,
    host: str = HOST,
) -> Sent:
    """Signed in the header, by botocore."""
    url = f"http://{host}{target}"
    request = botocore.awsrequest.AWSRequest(method, url, headers=dict(headers or {}))
    botocore.auth.S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return request_of(method, target, dict(request.headers.items()), host=host)


def presigned(
    target: str = "/archive/docs/a.txt",
    *,
    expires: int = 3600,
    region: str = "eu-west-1",
    credentials: botocore.credentials.Credentials = CREDENTIALS,
    host: str = HOST,
) -> Sent:
    """Signed in the query, by botocore."""
    request = botocore.awsrequest.AWSRequest("GET", f"http://{host}{target}")
    botocore.auth.S3SigV4QueryAuth(credentials, "s3", region, expires=expires).add_auth(request)
    return request_of("GET", str(request.url).removeprefix(f"http://{host}"), {}, host=host)


def presigned_v2(
    target: str = "/archive/docs/a.txt",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    *,
    expires: int = 3600,
    credentials: botocore.credentials.Credentials = CREDENTIALS,
    host: str = HOST,
) -> Sent:
    """Signed in the query by botocore, with Signature Version 2; good for `expires` seconds."""
    request = botocore.awsrequest.AWSRequest(
        method, f"http://{host}{target}", headers=dict(headers or {})
    )
    if host != HOST:  # a bucket's, which is signed as if the path named it
        request.auth_path = f"/{host.partition('.')[0]}{target.partition('?')[0]}"
    botocore.auth.HmacV1QueryAuth(credentials, expires=expires).add_auth(request)
    return request_of(method, str(request.url).removeprefix(f"http://{host}"), {}, host=host)


@contextmanager
def signing_client(
    signature_version: str | None,
    *,
    endpoint: str = f"http://{HOST}",
    style: Literal["path", "virtual"] = "path",
) -> Iterator[S3Client]:
    """A client of boto3, whose requests `sent_by` takes; None signs as it does unless told."""
    made = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        config=botocore.config.Config(
            signature_version=signature_version, s3={"addressing_style": style}
        ),
    )
    try:
        yield made
    finally:
        made.close()


class TakenError(Exception):
    """Stops a request right before the network."""

    def __init__(self, request: botocore.awsrequest.AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def take(request: botocore.awsrequest.AWSPreparedRequest, **_: object) -> None:
    raise TakenError(request)


def sent_by(client: S3Client, operation: str, **parameters: Any) -> Sent:  # noqa: ANN401 -- boto3's
    """What a call would send."""
    client.meta.events.register_last("before-send.s3", take)
    with pytest.raises(TakenError) as caught:
        getattr(client, operation)(Bucket="archive", **parameters)
    request = caught.value.request
    headers = {name: text(value) for name, value in request.headers.items()}
    parts = urlsplit(request.url)
    target = request.url.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return request_of(str(request.method), target, headers, host=parts.netloc)


def text(value: object) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def as_signed_request(sent: Sent) -> SignedRequest:
    fields = (*sent.headers.items(), *sent.further)
    asked = HttpRequest(method=sent.method, target=sent.target, headers=fields)
    return SignedRequest.of(asked, parse_target(sent.target))


def verify(sent: Sent, by: Verifier | None = None) -> None:
    """It is signed, and by whom it must be."""
    key = (by or verifier()).verify(as_signed_request(sent))
    assert key is not None
    assert key.id == ACCESS_KEY


def refusal(sent: Sent, by: Verifier | None = None) -> SignatureRefusedError:
    """Why it is refused."""
    with pytest.raises(SignatureRefusedError) as caught:
        (by or verifier()).verify(as_signed_request(sent))
    error = caught.value
    error.to_xml("id")  # whatever is in it, it can be told
    assert SECRET not in f"{error!r}{error.message}{error.extra}{error.reason}"
    assert error.reason
    return error
