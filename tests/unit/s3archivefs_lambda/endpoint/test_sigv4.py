from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.compat import HTTPHeaders
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adapter.signed_requests import (
    ACCESS_KEY,
    CREDENTIALS,
    EMPTY_SHA256,
    HOST,
    ODD_KEYS,
    SECRET,
    Sent,
    path_of,
    presigned,
    refusal,
    request_of,
    sent_by,
    signed,
    signing_client,
    verifier,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client


@pytest.fixture
def client() -> Iterator[S3Client]:
    with signing_client("s3v4") as made:
        yield made


# ---- What botocore signs is accepted -------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_header_signatures_over_odd_keys_are_accepted(key: str, method: str) -> None:
    verify(signed(path_of(key), method, {"Range": "bytes=0-8388607", "If-Match": '"e"'}))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_presigned_urls_over_odd_keys_are_accepted(key: str) -> None:
    verify(presigned(path_of(key) + "?response-content-disposition=a%20%2B%22b%22"))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_requests_of_boto3_are_accepted(client: S3Client, key: str) -> None:
    verify(sent_by(client, "get_object", Key=key, Range="bytes=1-2", ChecksumMode="ENABLED"))
    verify(sent_by(client, "head_object", Key=key))
    verify(sent_by(client, "list_objects_v2", Prefix=key, Delimiter="/", StartAfter="ü +&="))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_presigned_urls_of_boto3_are_accepted(client: S3Client, key: str) -> None:
    parameters = {"Bucket": "archive", "Key": key, "ResponseContentType": "text/plain; a=b"}
    url = client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=60)
    verify(request_of("GET", url.removeprefix(f"http://{HOST}"), {}))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Names that make a query a signature are left to the signers.
NAMES = TEXT.filter(
    lambda name: (
        name and not name.startswith("X-Amz-") and name not in {"Signature", "AWSAccessKeyId"}
    )
)
QUERIES = st.lists(st.tuples(NAMES, TEXT), max_size=5)


@pytest.mark.property
@given(key=TEXT, query=QUERIES)
def test_any_key_and_query_that_botocore_signs_is_accepted(
    key: str, query: list[tuple[str, str]]
) -> None:
    encoded = urlencode(query, quote_via=quote, safe="-_.~")
    target = path_of(key) + (f"?{encoded}" if encoded else "")
    verify(signed(target))
    # botocore's presigner keeps one value of each name.
    unique = urlencode(dict(query), quote_via=quote, safe="-_.~")
    verify(presigned(f"{path_of(key)}?{unique}"))


@pytest.mark.parametrize(
    "spelling",
    ["/archive/a%2ab%28c%29%21%27%7E", "/archive/a*b(c)!'~", "/archive/a%2Ab(c)%21%27~"],
)
def test_how_a_client_spells_its_escapes_does_not_matter(spelling: str) -> None:
    sent = signed("/archive/a%2Ab%28c%29%21%27~")
    verify(replace(sent, target=spelling))


def test_of_a_repeated_parameter_every_value_is_signed() -> None:
    sent = signed("/archive/?prefix=b&prefix=a&x=")
    verify(sent)
    for changed in ("prefix=b&x=", "prefix=b&prefix=c&x=", "prefix=b&prefix=a&prefix=a&x="):
        assert refusal(replace(sent, target=f"/archive/?{changed}")).code == "SignatureDoesNotMatch"


def test_plus_in_a_query_is_a_space() -> None:
    sent = signed("/archive/?list-type=2&prefix=a%20b")
    verify(replace(sent, target="/archive/?list-type=2&prefix=a+b"))


def test_white_space_inside_header_values_collapses() -> None:
    sent = signed(headers={"x-amz-meta-note": "a b"})
    verify(sent.with_headers(x_amz_meta_note="  a \t  b "))


def test_headers_that_are_not_signed_may_be_added() -> None:
    verify(signed().with_headers(user_agent="x", accept_encoding="identity", x_amzn_trace_id="1"))


@pytest.mark.parametrize("payload", ["UNSIGNED-PAYLOAD", EMPTY_SHA256])
def test_a_payload_hash_is_that_of_no_body_or_unsigned(payload: str) -> None:
    # SigV4Auth, unlike S3SigV4Auth, signs the header that it is given.
    request = botocore.awsrequest.AWSRequest("GET", f"http://{HOST}/archive/k")
    request.headers["X-Amz-Content-SHA256"] = payload
    botocore.auth.SigV4Auth(CREDENTIALS, "s3", "eu-west-1").add_auth(request)
    verify(request_of("GET", "/archive/k", dict(request.headers.items())))


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_without_a_region_of_its_own_a_verifier_takes_any(region: str) -> None:
    verify(signed(region=region))
    verify(presigned(region=region))


# ---- Tampering is refused ------------------------------------------------------------------------


def later(sent: Sent) -> str:
    """A time on the same day, a second from that of the signature."""
    seconds = -1 if sent.timestamp.endswith("T235959Z") else 1
    moment = datetime.fromtimestamp(sent.time, UTC) + timedelta(seconds=seconds)
    return moment.strftime("%Y%m%dT%H%M%SZ")


@pytest.mark.parametrize(
    "tampered",
    [
        pytest.param(lambda s: replace(s, target="/archive/docs/b.txt?list-type=2"), id="path"),
        pytest.param(lambda s: replace(s, target="/archive/docs//a.txt?list-type=2"), id="slash"),
        pytest.param(lambda s: replace(s, target="/archive/./docs/a.txt?list-type=2"), id="dot"),
        pytest.param(lambda s: replace(s, target="/archive/docs/a.txt?list-type=1"), id="value"),
        pytest.param(lambda s: replace(s, target=s.target + "&prefix=x"), id="parameter added"),
        pytest.param(lambda s: replace(s, target="/archive/docs/a.txt"), id="parameter removed"),
        pytest.param(lambda s: replace(s, method="HEAD"), id="method"),
        pytest.param(lambda s: s.with_headers(range="bytes=0-1"), id="range"),
        pytest.param(lambda s: s.with_headers(host="other:9000"), id="host"),
        pytest.param(lambda s: s.with_headers(x_amz_date=later(s)), id="date"),
        pytest.param(
            lambda s: s.with_headers(x_amz_content_sha256="UNSIGNED-PAYLOAD"), id="payload"
        ),
        pytest.param(lambda s: s.authorization("eu-west-1", "eu-west-2"), id="region"),
        pytest.param(lambda s: s.authorization("Signature=", "Signature=0"), id="longer"),
        pytest.param(
            lambda s: s.with_headers(authorization=s.headers["authorization"][:-1]), id="shorter"
        ),
        pytest.param(
            lambda s: s.with_headers(
                authorization=s.headers["authorization"].partition("Signature=")[0] + "Signature="
            ),
            id="empty",
        ),
        pytest.param(lambda s: s.authorization("host;", "host;host;"), id="header named twice"),
    ],
)
def test_a_changed_request_is_refused(tampered: Callable[[Sent], Sent]) -> None:
    sent = signed("/archive/docs/a.txt?list-type=2", headers={"Range": "bytes=0-9"})
    verify(sent)
    error = refusal(tampered(sent))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert error.extra["AWSAccessKeyId"] == ACCESS_KEY
    assert error.extra["StringToSign"].startswith("AWS4-HMAC-SHA256\n")
    assert "host" in error.extra["CanonicalRequest"]


def test_every_digit_of_the_signature_counts() -> None:
    sent = signed()
    head, _, right = sent.headers["authorization"].rpartition("=")
    assert len(right) == 64
    for position, digit in enumerate(right):
        changed = "1" if digit == "0" else "0"
        signature = right[:position] + changed + right[position + 1 :]
        error = refusal(sent.with_headers(authorization=f"{head}={signature}"))
        assert error.code == "SignatureDoesNotMatch", position
        assert error.extra["SignatureProvided"] == signature


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("docs/a.txt", "docs/b.txt"),
        ("partNumber=1", "partNumber=2"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=3601"),
        ("eu-west-1", "eu-west-2"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bhost"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("&X-Amz-Expires", "&prefix=x&X-Amz-Expires"),
    ],
)
def test_a_changed_presigned_url_is_refused(old: str, new: str) -> None:
    sent = presigned("/archive/docs/a.txt?partNumber=1")
    verify(sent)
    error = refusal(sent.query(old, new))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)


def test_a_presigned_url_with_another_date_is_refused() -> None:
    sent = presigned()
    assert refusal(sent.query(sent.timestamp, later(sent))).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("sent", [signed, presigned])
def test_another_method_or_host_does_not_match(sent: Callable[[], Sent]) -> None:
    assert refusal(replace(sent(), method="HEAD")).code == "SignatureDoesNotMatch"
    assert refusal(sent().with_headers(host="elsewhere")).code == "SignatureDoesNotMatch"


def test_the_wrong_secret_does_not_match() -> None:
    other = botocore.credentials.Credentials(ACCESS_KEY, SECRET + "x")
    assert refusal(signed(credentials=other)).code == "SignatureDoesNotMatch"
    assert refusal(presigned(credentials=other)).code == "SignatureDoesNotMatch"


def test_another_access_key_is_unknown() -> None:
    error = refusal(signed().authorization(ACCESS_KEY, "AKIDOTHER"))
    assert (error.code, error.status) == ("InvalidAccessKeyId", 403)
    assert error.extra == {"AWSAccessKeyId": "AKIDOTHER"}


def test_a_header_that_s3_acts_on_must_be_signed() -> None:
    error = refusal(signed().with_headers(x_amz_request_payer="requester"))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.extra == {"HeadersNotSigned": "x-amz-request-payer"}
    assert refusal(presigned().with_headers(x_amz_acl="private")).code == "AccessDenied"


def test_the_host_must_be_signed() -> None:
    error = refusal(signed().authorization("SignedHeaders=host;", "SignedHeaders="))
    assert error.extra == {"HeadersNotSigned": "host"}


def test_a_header_that_is_signed_must_be_there() -> None:
    error = refusal(signed(headers={"Range": "bytes=0-1"}).with_headers(range=None))
    assert (error.code, error.extra) == ("AccessDenied", {"HeadersNotPresent": "range"})


# ---- Time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-900, 900])
def test_clocks_may_differ_by_a_quarter_of_an_hour(skew: int) -> None:
    sent = signed()
    verify(sent, verifier(at=sent.time + skew))


@pytest.mark.parametrize("skew", [-901, 901, -86400, 86400])
def test_clocks_that_differ_by_more_are_told_so(skew: int) -> None:
    sent = signed()
    error = refusal(sent, verifier(at=sent.time + skew))
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert error.extra == {
        "RequestTime": sent.timestamp,
        "ServerTime": f"{datetime.fromtimestamp(sent.time + skew, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "MaxAllowedSkewMilliseconds": "900000",
    }


def test_a_presigned_url_lives_until_it_expires() -> None:
    week = 604800
    sent = presigned(expires=week)
    verify(sent, verifier(at=sent.time + week))
    verify(sent, verifier(at=sent.time - 900))
    error = refusal(sent, verifier(at=sent.time + week + 1))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == "Request has expired"
    assert error.extra == {
        "X-Amz-Expires": "604800",
        "Expires": f"{datetime.fromtimestamp(sent.time + week, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "ServerTime": f"{datetime.fromtimestamp(sent.time + week + 1, UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def test_a_presigned_url_from_the_future_is_not_valid_yet() -> None:
    sent = presigned()
    error = refusal(sent, verifier(at=sent.time - 901))
    assert (error.code, error.message) == ("AccessDenied", "Request is not valid yet")


@pytest.mark.parametrize("date", [None, "", "20261123", "20261323T123015Z", "2026-11-23T12:30:15Z"])
def test_a_signature_needs_a_date(date: str | None) -> None:
    error = refusal(signed().with_headers(x_amz_date=date))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == "AWS authentication requires a valid Date or x-amz-date header"


# ---- Malformed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("/aws4_request", "/aws5_request", 'incorrect terminal "aws5_request"'),
        ("/s3/", "/lambda/", 'incorrect service "lambda"'),
        ("/eu-west-1/", "//", "the region '' is wrong; expecting 'us-east-1'"),
        ("/eu-west-1/s3", "", "the Credential is mal-formed"),
        ("SignedHeaders=", "Signed=", "expecting Credential, SignedHeaders and Signature"),
        ("Signature=", "Credential=", "expecting Credential, SignedHeaders and Signature"),
        ("Signature=", "", "expecting Credential, SignedHeaders and Signature"),
        (", Signature=", ", Extra=1, Signature=", "expecting Credential"),
    ],
)
def test_a_malformed_authorization_header_is_named(old: str, new: str, said: str) -> None:
    error = refusal(signed().authorization(old, new))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)
    assert error.message.startswith("The authorization header is malformed; ")
    assert said in error.message


def test_a_scope_of_another_day_is_named() -> None:
    sent = signed()
    error = refusal(sent.authorization(f"/{sent.timestamp[:8]}/", "/20150830/"))
    assert error.code == "AuthorizationHeaderMalformed"
    assert 'the date "20150830" is not that of X-Amz-Date' in error.message


def test_the_wrong_region_is_told_the_right_one() -> None:
    error = refusal(signed(region="us-east-1"), verifier(region="eu-west-1"))
    assert (error.code, error.status) == ("AuthorizationHeaderMalformed", 400)
    assert error.extra == {"Region": "eu-west-1"}
    verify(signed(region="eu-west-1"), verifier(region="eu-west-1"))
    error = refusal(presigned(region="us-east-1"), verifier(region="eu-west-1"))
    assert error.code == "AuthorizationQueryParametersError"


@pytest.mark.parametrize(
    "name", ["Algorithm", "Credential", "Signature", "Date", "SignedHeaders", "Expires"]
)
def test_a_presigned_url_needs_all_its_parameters(name: str) -> None:
    error = refusal(presigned().query(f"X-Amz-{name}=", f"y-Amz-{name}="))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert error.message.startswith("Query-string authentication version 4 requires the X-Amz-")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("X-Amz-Expires=3600", "X-Amz-Expires=604801", "must be less than a week"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=-1", "must be non-negative"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=1e3", "should be a number"),
        ("X-Amz-Expires=3600", "X-Amz-Expires=3600&X-Amz-Expires=1", "more than once"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512", "only supports"),
        ("Z&X-Amz-Expires", "&X-Amz-Expires", "ISO8601 Long Format"),
        ("%2Fs3%2F", "%2F", "the Credential is mal-formed"),
    ],
)
def test_a_malformed_presigned_url_is_named(old: str, new: str, said: str) -> None:
    error = refusal(presigned().query(old, new))
    assert (error.code, error.status) == ("AuthorizationQueryParametersError", 400)
    assert said in error.message


def test_a_request_without_a_payload_hash_is_refused() -> None:
    error = refusal(signed().with_headers(x_amz_content_sha256=None))
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert error.message == "Missing required header for this request: x-amz-content-sha256"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (hashlib.sha256(b"body").hexdigest(), "XAmzContentSHA256Mismatch"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "InvalidArgument"),
        ("", "InvalidArgument"),
        (EMPTY_SHA256.upper(), "InvalidArgument"),
    ],
)
def test_a_payload_hash_that_is_not_of_an_empty_body_is_refused(payload: str, code: str) -> None:
    error = refusal(signed().with_headers(x_amz_content_sha256=payload))
    assert (error.code, error.status) == (code, 400)


# ---- What other clients sign ---------------------------------------------------------------------


class Signer(botocore.auth.S3SigV4Auth):
    """Signs all headers but `unsigned`, those that botocore would leave out included."""

    unsigned: frozenset[str] = frozenset()

    def headers_to_sign(self, request: botocore.awsrequest.AWSRequest) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() not in self.unsigned:
                headers[name.lower()] = value
        headers["host"] = HOST
        return headers


def signed_over(*fields: tuple[str, str], unsigned: frozenset[str] = frozenset()) -> Sent:
    """Signed in the header, with these fields among the others, in that order."""
    request = botocore.awsrequest.AWSRequest("GET", f"http://{HOST}/archive/k")
    for field in fields:
        request.headers.add_header(*field)
    signer = Signer(CREDENTIALS, "s3", "eu-west-1")
    signer.unsigned = unsigned
    signer.add_auth(request)
    first: dict[str, str] = {}
    further = []
    for name, value in request.headers.items():
        if name.lower() in first:
            further.append((name.lower(), value))
        first.setdefault(name.lower(), value)
    return replace(request_of("GET", "/archive/k", first), further=tuple(further))


def test_botocore_may_say_the_time_in_a_date_header() -> None:
    sent = signed_over(("Date", "now"))
    assert sent.headers["date"].endswith(" -0000")
    assert "x-amz-date" not in sent.headers
    verify(sent)
    refused = refusal(sent.with_headers(date=sent.headers["date"].replace("-0000", "GMT")))
    assert refused.code == "SignatureDoesNotMatch"  # the header is signed as well


FORMS = {
    "RFC 1123": "%a, %d %b %Y %H:%M:%S GMT",
    "RFC 1123, zone": "%a, %d %b %Y %H:%M:%S +0000",
    "RFC 850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %d %H:%M:%S %Y",
    "ISO 8601, basic": "%Y%m%dT%H%M%SZ",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_time_may_stand_in_the_date_header_in_any_form_of_http(form: str) -> None:
    sent = signed_over(("Date", "now"), unsigned=frozenset({"date"}))
    time = parsedate_to_datetime(sent.headers["date"])
    verify(sent.with_headers(date=time.strftime(FORMS[form])))
    later = (time + timedelta(seconds=1)).strftime(FORMS[form])
    error = refusal(sent.with_headers(date=later))  # signed, for all that the header is not
    assert error.code in {"SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}  # at midnight
    elsewhere = time + timedelta(hours=2)
    verify(sent.with_headers(date=f"{elsewhere:%a, %d %b %Y %H:%M:%S} +0200"))


def test_x_amz_date_counts_where_both_are_there() -> None:
    sent = signed()
    verify(sent.with_headers(date="Mon, 01 Jan 2001 00:00:00 GMT"))
    error = refusal(sent.with_headers(x_amz_date="now", date=sent.timestamp))
    assert error.message == "AWS authentication requires a valid Date or x-amz-date header"


def test_the_clock_is_held_against_the_date_header_too() -> None:
    sent = signed_over(("Date", "now"))
    at = parsedate_to_datetime(sent.headers["date"]).timestamp()
    verify(sent, verifier(at=at + 900))
    assert refusal(sent, verifier(at=at + 901)).code == "RequestTimeTooSkewed"


def test_a_signed_expect_verifies() -> None:
    sent = signed_over(("Expect", "100-continue"))
    assert "SignedHeaders=expect;host;" in sent.headers["authorization"]
    verify(sent)
    assert refusal(sent.with_headers(expect="other")).code == "SignatureDoesNotMatch"
    assert refusal(sent.with_headers(expect=None)).extra == {"HeadersNotPresent": "expect"}


def test_repeated_headers_are_signed_joined_by_commas() -> None:
    fields = [("x-amz-meta-a", value) for value in ("fred", " b \t b ", "", "fred")]
    sent = signed_over(*fields)
    assert [value for name, value in sent.further if name == "x-amz-meta-a"] != []
    verify(sent)
    verify(replace(sent, further=()).with_headers(x_amz_meta_a="fred,b b,,fred"))
    swapped = replace(sent, further=sent.further[::-1])
    dropped = replace(sent, further=sent.further[1:])
    added = replace(sent, further=(*sent.further, ("x-amz-meta-a", "x")))
    for tampered in (swapped, dropped, added):
        assert refusal(tampered).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "name", ["authorization", "x-amz-date", "x-amz-content-sha256", "host", "date"]
)
def test_what_decides_on_a_signature_is_given_once(name: str) -> None:
    sent = signed_over(("Date", "now")) if name == "date" else signed()
    for again in (sent.headers[name], "other"):
        error = refusal(replace(sent, further=((name, again),)))
        assert (error.code, error.status) == ("InvalidArgument", 400)
        assert error.reason == f"{name} given more than once"


def test_the_key_must_be_named() -> None:
    assert refusal(signed().authorization(ACCESS_KEY, "")).code == "AuthorizationHeaderMalformed"
    error = refusal(presigned().query(ACCESS_KEY, ""))
    assert error.code == "AuthorizationQueryParametersError"


def test_parameters_of_a_presigned_url_may_stand_in_any_order() -> None:
    sent = presigned("/archive/k?partNumber=1")
    path, _, query = sent.target.partition("?")
    verify(replace(sent, target=f"{path}?{'&'.join(reversed(query.split('&')))}"))
