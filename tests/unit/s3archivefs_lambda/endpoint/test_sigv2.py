"""Signature Version 2 in a query, as boto3, s3fs and the AWS CLI presign by default."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adapter.signed_requests import (
    ACCESS_KEY,
    HOST,
    ODD_KEYS,
    SECRET,
    Sent,
    path_of,
    presigned_v2,
    refusal,
    request_of,
    signing_client,
    verifier,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client

OVERRIDES = "response-content-type=text%2Fhtml&response-content-disposition=a%20%2B%22b%22%26"
TARGET = f"/archive/docs/a.txt?versionId=null&partNumber=1&{OVERRIDES}"


@pytest.fixture
def client() -> Iterator[S3Client]:
    """Of boto3, which signs as it does unless told otherwise."""
    with signing_client(None) as made:
        yield made


def opened(url: str, method: str = "GET") -> Sent:
    """What a browser asks for a presigned URL."""
    assert "AWSAccessKeyId=" in url
    assert "X-Amz-" not in url
    return request_of(method, url.removeprefix(f"http://{HOST}"), {})


def by_hand(string_to_sign: str, target: str, expires: str) -> Sent:
    """Signed by the definition of it, without botocore."""
    digest = hmac.new(SECRET.encode(), string_to_sign.encode(), hashlib.sha1).digest()
    signature = quote(base64.b64encode(digest), safe="")
    joint = "&" if "?" in target else "?"
    parameters = f"AWSAccessKeyId={ACCESS_KEY}&Expires={expires}&Signature={signature}"
    return request_of("GET", f"{target}{joint}{parameters}", {})


# ---- What clients sign is accepted ---------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_urls_that_boto3_presigns_by_default_are_accepted(client: S3Client, key: str) -> None:
    where = {"Bucket": "archive", "Key": key}
    verify(opened(client.generate_presigned_url("get_object", Params=where)))
    verify(opened(client.generate_presigned_url("head_object", Params=where), "HEAD"))
    overrides = {
        "ResponseContentType": "text/plain; a=b",
        "ResponseContentDisposition": "attachment; filename*=UTF-8''%C3%BC \"+&é\"",
        "ResponseCacheControl": "no-cache",
        "ResponseContentEncoding": "x",
        "ResponseContentLanguage": "de, en",
        "ResponseExpires": datetime(2026, 1, 1, tzinfo=UTC),
        "VersionId": "null",
        "PartNumber": 1,
        "RequestPayer": "requester",
    }
    verify(opened(client.generate_presigned_url("get_object", Params=where | overrides)))


def test_whatever_else_boto3_presigns_is_accepted(client: S3Client) -> None:
    bucket = {"Bucket": "archive"}
    listing = bucket | {"Prefix": "a b/ü+", "Delimiter": "/", "StartAfter": "=&"}
    verify(opened(client.generate_presigned_url("list_objects_v2", Params=listing)))
    verify(opened(client.generate_presigned_url("get_bucket_location", Params=bucket)))
    verify(opened(client.generate_presigned_url("head_bucket", Params=bucket), "HEAD"))
    verify(opened(client.generate_presigned_url("list_buckets")))


def test_the_string_to_sign_is_as_it_is_defined() -> None:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
    expires = str(int(time.time()) + 60)
    resource = "/archive/a%20b?location&response-expires=0&versionId=a b"
    target = "/archive/a%20b?versionId=a%20b&prefix=not%20signed&location&response-expires=0"
    verify(by_hand(f"GET\n\n\n{expires}\n{resource}", target, expires))
    headers = {
        "Content-MD5": "md5",
        "Content-Type": "text/x",
        "X-Amz-Z": "1",
        "x-amz-meta-a": "b c",
    }
    string = f"GET\nmd5\ntext/x\n{expires}\nx-amz-meta-a:b c,d\nx-amz-z:1\n/archive/k"
    sent = by_hand(string, "/archive/k", expires)
    lower = {name.lower(): value for name, value in headers.items()}
    verify(replace(sent, headers={**sent.headers, **lower}, further=(("x-amz-meta-a", " d "),)))


def test_headers_that_botocore_has_signed_stand_in_the_query() -> None:
    sent = presigned_v2(headers={"x-amz-meta-a": " ü+&à "})
    assert "x-amz-meta-a=" in sent.target
    verify(sent)
    error = refusal(sent.query("x-amz-meta-a=", "x-amz-meta-a=1"))
    assert error.code == "SignatureDoesNotMatch"


def test_of_a_header_and_its_parameter_both_count() -> None:
    sent = presigned_v2(headers={"x-amz-meta-a": "1"})
    assert refusal(sent.with_headers(x_amz_meta_a="1")).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("asked", ["/archive", "/archive/"])
def test_a_bucket_may_be_signed_with_a_slash_and_asked_for_without(asked: str) -> None:
    expires = str(int(time.time()) + 60)
    for resource in {"/archive/", asked}:
        verify(by_hand(f"GET\n\n\n{expires}\n{resource}?location", f"{asked}?location", expires))
    other = by_hand(f"GET\n\n\n{expires}\n/archive/k", "/archive/k/", expires)
    assert refusal(other).code == "SignatureDoesNotMatch"


def test_the_host_is_not_signed() -> None:
    verify(presigned_v2().with_headers(host="files.example.org"))
    sent = presigned_v2()
    verify(replace(sent, target=f"http://files.example.org{sent.target}"))


def test_parameters_may_stand_in_any_order() -> None:
    sent = presigned_v2(TARGET)
    path, _, query = sent.target.partition("?")
    verify(replace(sent, target=f"{path}?{'&'.join(reversed(query.split('&')))}"))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.property
@given(key=TEXT, disposition=TEXT.filter(bool))
def test_any_key_and_override_that_botocore_signs_is_accepted(key: str, disposition: str) -> None:
    override = f"response-content-disposition={quote(disposition, safe='-_.~')}"
    verify(presigned_v2(f"{path_of(key)}?{override}"))


# ---- Tampering is refused ------------------------------------------------------------------------


def signature_of(sent: Sent) -> str:
    found = re.search("Signature=([^&]*)", sent.target)
    assert found
    return found[1]


def with_signature(sent: Sent, change: Callable[[bytes], bytes]) -> Sent:
    changed = base64.b64encode(change(base64.b64decode(unquote(signature_of(sent)))))
    return sent.query(signature_of(sent), quote(changed, safe=""))


def later(sent: Sent) -> Sent:
    expires = parse_qs(sent.target)["Expires"][0]
    return sent.query(f"Expires={expires}", f"Expires={int(expires) + 1}")


def repeated(sent: Sent, name: str, value: str, *, first: bool) -> Sent:
    path, _, query = sent.target.partition("?")
    more = f"{name}={value}"
    return replace(sent, target=f"{path}?{more}&{query}" if first else f"{sent.target}&{more}")


TAMPERED: dict[str, Callable[[Sent], Sent]] = {
    "method": lambda s: replace(s, method="HEAD"),
    "key": lambda s: s.query("docs/a.txt", "docs/b.txt"),
    "key, longer": lambda s: s.query("docs/a.txt", "docs/a.txt%00"),
    "key, by a dot": lambda s: s.query("docs/a.txt", "docs/./a.txt"),
    "key, by a slash": lambda s: s.query("docs/a.txt", "docs//a.txt"),
    "key, spelt otherwise": lambda s: s.query("docs/a.txt", "docs%2Fa.txt"),
    "bucket": lambda s: s.query("/archive/", "/other/"),
    "bucket and key split otherwise": lambda s: s.query("/archive/docs/", "/archive%2Fdocs/"),
    "version": lambda s: s.query("versionId=null", "versionId=other"),
    "version removed": lambda s: s.query("versionId=null&", ""),
    "part": lambda s: s.query("partNumber=1", "partNumber=2"),
    "part without a value": lambda s: s.query("partNumber=1", "partNumber"),
    "type": lambda s: s.query("text%2Fhtml", "text%2Fplain"),
    "type removed": lambda s: s.query("response-content-type=text%2Fhtml&", ""),
    "type in another parameter": lambda s: s.query(
        "response-content-type=", "response-content-language="
    ),
    "type by another name": lambda s: s.query("response-content-type=", "Response-Content-Type="),
    "disposition": lambda s: s.query("%22b%22", "%22c%22"),
    "key id": lambda s: s.query(ACCESS_KEY, ACCESS_KEY.lower()),
    "signature, empty": lambda s: s.query(signature_of(s), ""),
    "signature, truncated": lambda s: s.query(signature_of(s), signature_of(s)[:-4]),
    "signature, its half": lambda s: with_signature(s, lambda mac: mac[:10]),
    "signature, longer": lambda s: with_signature(s, lambda mac: mac + b"\0"),
    "signature, of no bytes": lambda s: with_signature(s, lambda _: b""),
    "signature, in hexadecimal": lambda s: s.query(
        signature_of(s), base64.b64decode(unquote(signature_of(s))).hex()
    ),
    "signature, another": lambda s: with_signature(s, lambda mac: mac[::-1]),
    "an x-amz header added": lambda s: s.with_headers(x_amz_request_payer="requester"),
    "an x-amz header of another name added": lambda s: s.with_headers(**{"x-amz-a.b!": "1"}),
    "an x-amz parameter added": lambda s: repeated(s, "x-amz-acl", "public-read", first=False),
    "a type added": lambda s: s.with_headers(content_type="text/html"),
    "an MD5 added": lambda s: s.with_headers(content_md5="1B2M2Y8AsgTpgAmY7PhCfg=="),
    "expiry": later,
    "expiry, spelt otherwise": lambda s: s.query("Expires=", "Expires=0"),
    "a session token added": lambda s: s.with_headers(x_amz_security_token="t"),
    **{
        f"{name} added": lambda s, name=name: repeated(s, name, "x", first=False)  # type: ignore[misc]
        for name in (
            *("acl", "cors", "delete", "inventory", "lifecycle", "location", "logging", "metrics"),
            *("notification", "policy", "replication", "requestPayment", "restore", "tagging"),
            *("torrent", "uploadId", "uploads", "versioning", "versions", "website", "analytics"),
            *("response-expires", "response-cache-control", "response-content-encoding"),
            *("response-content-language", "accelerate"),
        )
    },
    **{
        f"{name} given again, {'before' if first else 'behind'}": lambda s, n=name, f=first: (  # type: ignore[misc]
            repeated(s, n, parse_qs(s.target.partition("?")[2])[n][0], first=f)
        )
        for name in ("versionId", "partNumber", "Expires", "AWSAccessKeyId")
        for first in (True, False)
    },
    **{
        f"another {name}, {'before' if first else 'behind'}": lambda s, n=name, f=first: (  # type: ignore[misc]
            repeated(s, n, "1895000000", first=f)
        )
        for name in ("versionId", "response-content-type", "Expires", "Signature")
        for first in (True, False)
    },
}
OTHER_CODES = {
    "key id": "InvalidAccessKeyId",
    "signature, empty": "AccessDenied",
    "signature, of no bytes": "AccessDenied",
    "a session token added": "InvalidToken",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_changed_url_is_refused(name: str) -> None:
    sent = presigned_v2(TARGET)
    verify(sent)
    error = refusal(TAMPERED[name](sent))
    decisive = re.search("(Expires|AWSAccessKeyId|Signature)( given again|,)", name)
    assert error.code == OTHER_CODES.get(
        name, "AccessDenied" if decisive else "SignatureDoesNotMatch"
    )
    assert error.status in {400, 403}


def test_every_bit_of_the_signature_counts() -> None:
    for bit in range(160):

        def flip(mac: bytes, mask: int = 1 << bit) -> bytes:
            return (int.from_bytes(mac) ^ mask).to_bytes(20)

        assert refusal(with_signature(presigned_v2(), flip)).code == "SignatureDoesNotMatch", bit


@pytest.mark.parametrize("padding", ["=", "==", "A=", "\n", " "])
def test_a_signature_is_spelt_in_one_way(padding: str) -> None:
    sent = presigned_v2()
    error = refusal(sent.query(signature_of(sent), signature_of(sent) + quote(padding)))
    assert error.code == "SignatureDoesNotMatch"


def test_a_url_for_get_is_none_for_head() -> None:
    sent = presigned_v2()
    error = refusal(replace(sent, method="HEAD"))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    verify(presigned_v2(method="HEAD"))
    assert refusal(replace(presigned_v2(method="HEAD"), method="GET")).code == error.code


def test_the_client_is_told_what_to_sign() -> None:
    sent = presigned_v2()
    expires = parse_qs(sent.target)["Expires"][0]
    error = refusal(sent.query(signature_of(sent), "c2ln"))
    to_sign = f"GET\n\n\n{expires}\n/archive/docs/a.txt"
    assert error.extra == {
        "AWSAccessKeyId": ACCESS_KEY,
        "StringToSign": to_sign,
        "SignatureProvided": "c2ln",
        "StringToSignBytes": to_sign.encode().hex(" "),
    }


def test_nothing_signed_can_be_moved_into_a_header_by_a_line_end() -> None:
    """Whoever signs a link for a name that someone else has chosen signs that link alone."""
    expires = int(time.time()) + 60
    name = f"x\n{expires}\n/archive/secret"
    string = f"GET\n\n\n{expires}\n/archive/public?response-content-disposition={name}"
    disposition = quote(name, safe="")
    target = f"/archive/public?response-content-disposition={disposition}"
    sent = by_hand(string, target, str(expires))
    verify(sent)
    signed_by_it = f"AWSAccessKeyId={ACCESS_KEY}&Expires={expires}&Signature={signature_of(sent)}"
    moved = quote(f"\n{expires}\n/archive/public?response-content-disposition=x", safe="")
    for parameter in ("content-type", "Content-Type", "content-md5", "x-amz-a", "x-amz-%0a"):
        crafted = f"/archive/secret?{parameter}={moved}&{signed_by_it}"
        assert refusal(request_of("GET", crafted, {})).code == "SignatureDoesNotMatch"


def test_the_wrong_secret_does_not_match() -> None:
    other = botocore.credentials.Credentials(ACCESS_KEY, SECRET + "x")
    assert refusal(presigned_v2(credentials=other)).code == "SignatureDoesNotMatch"


# ---- Time ----------------------------------------------------------------------------------------


def test_a_url_is_good_until_the_second_in_which_it_expires() -> None:
    sent = presigned_v2()
    expires = int(parse_qs(sent.target)["Expires"][0])
    verify(sent, verifier(at=expires))
    error = refusal(sent, verifier(at=expires + 1))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == "Request has expired"
    assert error.extra == {
        "Expires": f"{datetime.fromtimestamp(expires, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "ServerTime": f"{datetime.fromtimestamp(expires + 1, UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    assert error.reason == f"expired at {error.extra['Expires']}"


def test_a_url_may_be_good_for_as_long_as_s3_has_times() -> None:
    ends = 2**31 - 1
    verify(presigned_v2(expires=ends - int(time.time()) - 5))
    verify(by_hand(f"GET\n\n\n{ends}\n/archive/k", "/archive/k", str(ends)))


@pytest.mark.parametrize(
    "expires",
    [
        *("soon", "-1", "1e9", "0x1", " 1895000000", "1895000000 ", "1895000000.5", "\u0661"),
        *(str(2**31), "1895000000000", "9" * 19, "9" * 60_000, "2030-01-01T00:00:00Z"),
    ],
)
def test_what_is_no_time_is_told_so(expires: str) -> None:
    string = f"GET\n\n\n{expires}\n/archive/k"
    error = refusal(by_hand(string, "/archive/k", quote(expires, safe="")))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == f"Invalid date (should be seconds since epoch): {expires}"


# ---- Incomplete ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AWSAccessKeyId", "Expires", "Signature"])
def test_a_url_needs_all_three_parameters(name: str) -> None:
    for sent in (
        presigned_v2().query(f"{name}=", f"x{name}="),
        presigned_v2().query(f"{name}=", f"{name}=&x="),
    ):
        error = refusal(sent)
        assert (error.code, error.status) == ("AccessDenied", 403)
        assert error.message == (
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId "
            "parameters"
        )
