from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.s3_protocol import S3Error
from s3archivefs_lambda.sigv4 import SigV4Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from types_boto3_s3 import S3Client

ACCESS_KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
HOST = "127.0.0.1:9000"
TIMESTAMP = re.compile(r"\d{8}T\d{6}Z")
ODD_KEYS = ["a b/ü+%?#&=.txt", "x//y", "./z", "../z", "~t", "a*b(c)!'", "%2F", "+", "a;b:c@d,e$f"]
CREDENTIALS = botocore.credentials.Credentials(ACCESS_KEY, SECRET)
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Sent:
    """A request as it reaches the server."""

    method: str
    target: str
    headers: Mapping[str, str]

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


def verifier(*, region: str | None = None, at: float | None = None) -> SigV4Verifier:
    return SigV4Verifier(
        ACCESS_KEY, SECRET, region=region, clock=lambda: time.time() if at is None else at
    )


def path_of(key: str) -> str:
    return "/archive/" + quote(key, safe="/~")


def request_of(method: str, target: str, headers: Mapping[str, str]) -> Sent:
    lower = {name.lower(): value for name, value in headers.items()}
    return Sent(method, target, {"host": HOST} | lower)


def signed(
    target: str = "/archive/docs/a.txt",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    *,
    region: str = "eu-west-1",
    credentials: botocore.credentials.Credentials = CREDENTIALS,
) -> Sent:
    """Signed in the header, by botocore."""
    url = f"http://{HOST}{target}"
    request = botocore.awsrequest.AWSRequest(method, url, headers=dict(headers or {}))
    botocore.auth.S3SigV4Auth(credentials, "s3", region).add_auth(request)
    return request_of(method, target, dict(request.headers.items()))


def presigned(
    target: str = "/archive/docs/a.txt",
    *,
    expires: int = 3600,
    region: str = "eu-west-1",
    credentials: botocore.credentials.Credentials = CREDENTIALS,
) -> Sent:
    """Signed in the query, by botocore."""
    request = botocore.awsrequest.AWSRequest("GET", f"http://{HOST}{target}")
    botocore.auth.S3SigV4QueryAuth(credentials, "s3", region, expires=expires).add_auth(request)
    return request_of("GET", str(request.url).removeprefix(f"http://{HOST}"), {})


def verify(sent: Sent, by: SigV4Verifier | None = None) -> None:
    (by or verifier()).verify(sent.method, sent.target, sent.headers)


def refusal(sent: Sent, by: SigV4Verifier | None = None) -> S3Error:
    with pytest.raises(S3Error) as caught:
        verify(sent, by)
    error = caught.value
    error.to_xml("id")  # whatever is in it, it can be told
    assert SECRET not in f"{error!r}{error.message}{error.extra}"
    return error


# ---- What botocore signs is accepted -------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_header_signatures_over_odd_keys_are_accepted(key: str, method: str) -> None:
    verify(signed(path_of(key), method, {"Range": "bytes=0-8388607", "If-Match": '"e"'}))


@pytest.mark.parametrize("key", ODD_KEYS)
def test_presigned_urls_over_odd_keys_are_accepted(key: str) -> None:
    verify(presigned(path_of(key) + "?response-content-disposition=a%20%2B%22b%22"))


@pytest.fixture
def client() -> Iterator[S3Client]:
    made = boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}",
        region_name="eu-west-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    yield made
    made.close()


class TakenError(Exception):
    """Stops a request right before the network."""

    def __init__(self, request: botocore.awsrequest.AWSPreparedRequest) -> None:
        super().__init__()
        self.request = request


def take(request: botocore.awsrequest.AWSPreparedRequest, **_: object) -> None:
    raise TakenError(request)


def sent_by(client: S3Client, operation: str, **parameters: object) -> Sent:
    client.meta.events.register_last("before-send.s3", take)
    with pytest.raises(TakenError) as caught:
        getattr(client, operation)(Bucket="archive", **parameters)
    request = caught.value.request
    headers = {name: text(value) for name, value in request.headers.items()}
    return request_of(str(request.method), request.url.removeprefix(f"http://{HOST}"), headers)


def text(value: object) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


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


@pytest.mark.parametrize("position", range(64))
def test_every_digit_of_the_signature_counts(position: int) -> None:
    sent = signed()
    head, _, signature = sent.headers["authorization"].rpartition("=")
    changed = "1" if signature[position] == "0" else "0"
    signature = signature[:position] + changed + signature[position + 1 :]
    error = refusal(sent.with_headers(authorization=f"{head}={signature}"))
    assert error.code == "SignatureDoesNotMatch"
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


# ---- Other ways to be let in ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/archive/k", "/archive/?list-type=2", "/archive/k?x-amz-algorithm=1"]
)
def test_anonymous_requests_are_refused(target: str) -> None:
    error = refusal(request_of("GET", target, {}))
    assert (error.code, error.status, error.message) == ("AccessDenied", 403, "Access Denied")


def test_signature_version_2_is_refused_with_what_to_use() -> None:
    message = (
        "The authorization mechanism you have provided is not supported. "
        "Please use AWS4-HMAC-SHA256."
    )
    in_query = f"/archive/k?AWSAccessKeyId={ACCESS_KEY}&Signature=abc%3D&Expires=1895000000"
    for sent in (
        request_of("GET", "/archive/k", {"Authorization": f"AWS {ACCESS_KEY}:c2ln"}),
        request_of("GET", in_query, {}),
    ):
        error = refusal(sent)
        assert (error.code, error.status, error.message) == ("InvalidRequest", 400, message)


@pytest.mark.parametrize("value", ["", "Basic abc", "Bearer x", "AWS4-HMAC-SHA1 Credential=a"])
def test_other_authorizations_are_refused_without_repeating_them(value: str) -> None:
    error = refusal(request_of("GET", "/archive/k", {"Authorization": value}))
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message == "Unsupported Authorization Type"
    assert error.extra == {"ArgumentName": "Authorization"}


def test_two_signatures_in_one_request_are_one_too_many() -> None:
    sent = replace(signed(), target=presigned().target)
    error = refusal(sent)
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message.startswith("Only one auth mechanism allowed; ")


@pytest.mark.parametrize("sent", [signed, presigned])
def test_session_tokens_are_refused(sent: Callable[..., Sent]) -> None:
    session = botocore.credentials.Credentials(ACCESS_KEY, SECRET, "token")
    error = refusal(sent(credentials=session))
    assert (error.code, error.status) == ("InvalidToken", 400)


@pytest.mark.parametrize("target", ["*", "archive/k", "/archive/%zz", "/archive/%4", "ftp://h/k"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    error = refusal(replace(signed(), target=target))
    assert (error.code, error.status) == ("InvalidURI", 400)


@pytest.mark.property
@given(
    target=st.text(st.characters(max_codepoint=255), max_size=60),
    authorization=st.none() | st.text(st.characters(max_codepoint=255), max_size=120),
)
def test_garbage_is_refused_as_an_s3_error(target: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for prefix in ("", "/archive/k?X-Amz-Credential=", "/"):
        refusal(request_of("GET", prefix + target, headers))


# ---- The secret ----------------------------------------------------------------------------------


def test_the_secret_is_never_shown() -> None:
    shown = verifier(region="eu-west-1")
    assert repr(shown) == "SigV4Verifier('AKIDEXAMPLE', region='eu-west-1')"
    assert SECRET not in f"{shown!s}{shown!r}"


@pytest.mark.parametrize(("key", "secret"), [("", "x"), ("x", "")])
def test_empty_credentials_are_none(key: str, secret: str) -> None:
    with pytest.raises(ValueError, match="neither empty"):
        SigV4Verifier(key, secret)
