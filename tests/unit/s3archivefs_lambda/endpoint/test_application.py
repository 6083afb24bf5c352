from __future__ import annotations

import json
import logging
import re
import time
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import boto3
import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from s3archivefs_lambda.accounting import add, add_archive
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.messages import HttpRequest
from s3archivefs_lambda.endpoint.server import S3HttpServer
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response
from tests.support.emf import metrics_of
from tests.support.fake_operations import Body, FakeOperations, streamed
from tests.support.signed_requests import (
    ACCESS_KEY,
    CREDENTIALS,
    SECRET,
    Sent,
    presigned,
    presigned_v2,
    request_of,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.endpoint.signature import SignedRequest

CLIENT = "192.0.2.1"
ODD_KEYS = ["a b/ü+%?#&=.txt", "x//y", "./z", "../z", "~t", "a*b(c)!'", "%2F", "+", "/", "a/"]
Headers: TypeAlias = tuple[tuple[str, str], ...]
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        """The elements of the error document."""
        root = ET.fromstring(self.body)  # noqa: S314 -- our own
        assert root.tag == "Error"
        return {element.tag: element.text or "" for element in root}


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


def ask(
    operations: FakeOperations,
    target: str,
    method: str = "GET",
    *,
    verifier: Verifier | None = None,
    headers: Headers = (),
    emf: bool = False,
) -> Answer:
    """One request straight to the application, without a server."""
    app = make_app(operations, bucket="archive", verifier=verifier, emf=emf)
    response = app(HttpRequest(method=method, target=target, headers=headers, client=CLIENT))
    try:
        content = b"".join(response.body)
    finally:
        response.body.close()
    return Answer(response.status, {k.lower(): v for k, v in response.headers}, content)


class Credulous(Verifier):
    def verify(self, request: SignedRequest) -> str:
        return self.access_key_id


# ---- Routes --------------------------------------------------------------------------------------


def test_the_service_lists_its_one_bucket(operations: FakeOperations) -> None:
    answer = ask(operations, "/")
    root = ET.fromstring(answer.body)  # noqa: S314
    assert answer.status == 200
    assert root.tag == f"{NAMESPACE}ListAllMyBucketsResult"
    assert [name.text for name in root.iter(f"{NAMESPACE}Name")] == ["archive"]


def test_the_list_of_buckets_heeds_its_parameters(operations: FakeOperations) -> None:
    assert b"<Name>archive</Name>" in ask(operations, "/?prefix=arch&max-buckets=1").body
    elsewhere = ask(operations, "/?prefix=other").body
    assert b"<Buckets></Buckets><Prefix>other</Prefix>" in elsewhere
    refused = ask(operations, "/?max-buckets=0")
    assert (refused.status, refused.error["Code"]) == (400, "InvalidArgument")


@pytest.mark.parametrize("target", ["/archive", "/archive/"])
def test_the_bucket_exists(operations: FakeOperations, target: str) -> None:
    answer = ask(operations, target, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-amz-bucket-region"] == "us-east-1"


@pytest.mark.parametrize(
    ("region", "told"), [(None, ""), ("us-east-1", ""), ("eu-west-1", "eu-west-1")]
)
def test_the_bucket_has_the_region_of_its_signatures(
    operations: FakeOperations, region: str | None, told: str
) -> None:
    verifier = Credulous(ACCESS_KEY, SECRET, region=region)
    answer = ask(operations, "/archive?location", verifier=verifier)
    root = ET.fromstring(answer.body)  # noqa: S314
    assert (root.tag, root.text or "") == (f"{NAMESPACE}LocationConstraint", told)
    head = ask(operations, "/archive", "HEAD", verifier=verifier)
    assert head.headers["x-amz-bucket-region"] == (told or "us-east-1")


@pytest.mark.parametrize("target", ["/other", "/other/", "//archive/k", "/Archive?list-type=2"])
def test_there_are_no_other_buckets(operations: FakeOperations, target: str) -> None:
    answer = ask(operations, target)
    assert (answer.status, answer.error["Code"]) == (404, "NoSuchBucket")
    assert answer.error["BucketName"] == re.split("[/?]", target)[1]
    assert ask(operations, target, "HEAD").status == 404
    assert operations.asked == []


def test_a_target_in_absolute_form_names_the_host_and_the_rest(
    operations: FakeOperations,
) -> None:
    elsewhere = (("host", "elsewhere.example"),)
    assert ask(operations, "http://localhost:9000/archive/k%2F", headers=elsewhere).status == 200
    assert operations.last.key == "k/"
    assert operations.last.headers["host"] == "localhost:9000"
    here = (("host", "localhost"),)
    refused = ask(operations, "http://elsewhere.example/archive/k", headers=here)
    assert (refused.status, refused.error["Code"]) == (403, "AccessDenied")
    assert len(operations.asked) == 1


@pytest.mark.parametrize("target", ["/archive?list-type=2", "/archive/?list-type=2"])
def test_list_type_2_lists(operations: FakeOperations, target: str) -> None:
    answer = ask(operations, f"{target}&prefix=a+b%2F%C3%BC%2B&delimiter=%2f&start-after=%ff&x")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml"
    assert operations.asked[0][0] == "ListObjectsV2"
    assert operations.last.query == {
        "list-type": "2",
        "prefix": "a b/ü+",
        "delimiter": "/",
        "start-after": "\udcff",
        "x": "",
    }


def test_listing_without_a_type_is_of_version_1(operations: FakeOperations) -> None:
    assert ask(operations, "/archive?prefix=a").status == 200
    assert operations.asked[-1][0] == "ListObjects"


@pytest.mark.parametrize("value", ["", "1", "3", "02", "2x"])
def test_other_list_types_are_of_version_1_too(operations: FakeOperations, value: str) -> None:
    assert ask(operations, f"/archive?list-type={value}").status == 200
    assert operations.asked[-1][0] == "ListObjects"


def test_of_a_repeated_parameter_the_first_counts(operations: FakeOperations) -> None:
    repeated = "list-type=2&prefix=a&prefix=b&list-type=1&prefix=&max-keys&max-keys=1"
    assert ask(operations, f"/archive?{repeated}").status == 200
    assert operations.asked[-1][0] == "ListObjectsV2"
    assert operations.last.query == {"list-type": "2", "prefix": "a", "max-keys": ""}


@pytest.mark.parametrize(
    "name",
    [
        "acl",
        "annotation",
        "attributes",
        "legal-hold",
        "retention",
        "tagging",
        "torrent",
        "uploadId",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_sub_resources_of_objects_are_not_implemented(
    operations: FakeOperations, name: str, method: str
) -> None:
    for target in (f"/archive/k?{name}", f"/archive/k?x-id=Get&{name}=value"):
        answer = ask(operations, target, method)
        assert answer.status == 501
        assert method == "HEAD" or answer.error["Code"] == "NotImplemented"
        assert method == "HEAD" or answer.error["Parameter"] == name
    assert operations.asked == []


def bucket_reads() -> list[str]:
    """Every read of a bucket that botocore knows, but for those that are served."""
    model = botocore.session.get_session().get_service_model("s3")
    names = set(model.operation_names) - {"ListObjects", "ListObjectsV2", "GetBucketLocation"}
    https = [model.operation_model(name).http for name in sorted(names)]
    uris = {http["requestUri"] for http in https if http["method"] == "GET"}
    return sorted(uri for uri in uris if "Bucket" in uri and "Key" not in uri)


@pytest.mark.parametrize("uri", bucket_reads())
def test_no_other_read_of_the_bucket_passes_for_a_listing(
    operations: FakeOperations, uri: str
) -> None:
    assert ask(operations, uri.replace("{Bucket}", "archive")).status in {400, 501}
    assert operations.asked == []


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "CONNECT", "X"])
@pytest.mark.parametrize("target", ["/", "/archive", "/archive/k", "/archive/k?uploads", "/other"])
def test_whatever_does_not_read_is_not_allowed(
    operations: FakeOperations, target: str, method: str
) -> None:
    answer = ask(operations, target, method, verifier=Verifier(ACCESS_KEY, SECRET))
    assert (answer.status, answer.error["Code"]) == (405, "MethodNotAllowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert operations.asked == []


def test_there_is_no_head_of_the_service(operations: FakeOperations) -> None:
    answer = ask(operations, "/", "HEAD")
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET", b"")


# ---- Keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a%20b/%C3%BC%2B%25%3F%23%26%3D.txt", "a b/ü+%?#&=.txt"),
        ("a+b", "a+b"),
        ("x//y", "x//y"),
        ("/x", "/x"),
        ("./../z/.", "./../z/."),
        ("a%2Fb%2f", "a/b/"),
        ("%ff%FE", "\udcff\udcfe"),
        ("%00", "\0"),
        ("archive/archive", "archive/archive"),
        ("a:b@c;d=e,f$g*h(i)!'~", "a:b@c;d=e,f$g*h(i)!'~"),
    ],
)
def test_a_key_is_the_decoded_path_and_nothing_else(
    operations: FakeOperations, raw: str, key: str
) -> None:
    assert ask(operations, f"/archive/{raw}?partNumber=1").status == 200
    assert operations.last.key == key
    assert operations.last.query == {"partNumber": "1"}


@pytest.mark.parametrize(
    "target",
    ["*", "archive/k", "/archive/%", "/archive/%zz", "", "http://", "http:///archive/k", "h:80"],
)
def test_a_target_that_is_no_path_is_an_invalid_uri(
    operations: FakeOperations, target: str
) -> None:
    answer = ask(operations, target)
    assert (answer.status, answer.error["Code"]) == (400, "InvalidURI")


def test_headers_reach_the_operations_by_lower_case_name(operations: FakeOperations) -> None:
    headers = (("range", "bytes=0-1"), ("x-amz-meta-a", "1"), ("b", ""), ("x-amz-meta-a", "2"))
    ask(operations, "/archive/k", headers=headers)
    assert operations.last.headers == {"range": "bytes=0-1", "x-amz-meta-a": "1,2", "b": ""}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("field", [("content-length", "1"), ("transfer-encoding", "chunked")])
def test_a_read_with_a_body_is_refused(
    operations: FakeOperations, method: str, field: tuple[str, str]
) -> None:
    assert ask(operations, "/archive/k", method, headers=(field,)).status == 400
    assert operations.asked == []
    none = (("content-length", "0"),)
    assert ask(operations, "/archive/k", method, headers=none).status == 200


# ---- Answers -------------------------------------------------------------------------------------


def test_every_answer_says_which_request_it_answers(operations: FakeOperations) -> None:
    seen = set()
    for target, method in (("/archive/k", "GET"), ("/", "GET"), ("/other", "GET"), ("/x", "PUT")):
        headers = ask(operations, target, method).headers
        assert re.fullmatch("[0-9A-F]{16}", headers["x-amz-request-id"])
        seen.add(headers["x-amz-request-id"])
        assert headers["x-amz-id-2"]
        assert headers["server"] == "s3archivefs"
        assert parsedate_to_datetime(headers["date"]).tzinfo is not None
    assert len(seen) == 4


def test_an_error_is_a_document_with_the_same_request_id(operations: FakeOperations) -> None:
    answer = ask(operations, "/other/k")
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.error["RequestId"] == answer.headers["x-amz-request-id"]
    assert answer.error["HostId"] == answer.headers["x-amz-id-2"]


def raise_error(error: Exception) -> S3Response:
    raise error


def test_an_error_brings_its_own_headers(operations: FakeOperations) -> None:
    error = S3Error("InvalidRange", 416, "no", headers={"Content-Range": "bytes */7"})
    operations.respond = lambda _: raise_error(error)
    assert ask(operations, "/archive/k").headers["content-range"] == "bytes */7"
    head = ask(operations, "/archive/k", "HEAD")
    assert (head.status, head.body) == (416, b"")


def test_not_modified_has_its_headers_and_no_body(operations: FakeOperations) -> None:
    error = S3Error("NotModified", 304, "Not Modified", headers={"ETag": '"e"'})
    operations.respond = lambda _: raise_error(error)
    answer = ask(operations, "/archive/k")
    assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", '"e"')
    assert "content-length" not in answer.headers


def test_nothing_in_a_header_can_become_a_line_of_its_own(operations: FakeOperations) -> None:
    def answer(_: object) -> S3Response:
        headers = {
            "Content-Length": "0",
            "x-amz-meta-crlf": "a\r\nSet-Cookie: b",
            "x-amz-meta-euro": "5 € \udcff é",
            "x-amz-meta-nul": "\0\x7f\t",
            "x-amz-meta-é": "name",
            "x-amz-meta\r\n": "name",
            "": "name",
        }
        return S3Response(status=200, headers=headers)

    operations.respond = answer
    headers = ask(operations, "/archive/k").headers
    assert headers["x-amz-meta-crlf"] == "a??Set-Cookie: b"
    assert headers["x-amz-meta-euro"] == "5 ? ? é"
    assert headers["x-amz-meta-nul"] == "??\t"
    assert sorted(name for name in headers if name.startswith("x-amz-meta")) == [
        "x-amz-meta-crlf",
        "x-amz-meta-euro",
        "x-amz-meta-nul",
    ]
    assert "" not in headers


def test_a_bug_is_an_internal_error_and_a_traceback_in_the_log(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    operations.respond = lambda _: raise_error(KeyError("bug"))
    answer = ask(operations, "/archive/k")
    assert (answer.status, answer.error["Code"]) == (500, "InternalError")
    assert "bug" not in answer.body.decode()
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.exc_info
    assert answer.error["RequestId"] in record.getMessage()
    operations.reset()
    assert ask(operations, "/archive/k").body == b"content"


# ---- Bodies that fail ----------------------------------------------------------------------------


def breaks_after(*pieces: bytes, error: Exception) -> Iterator[bytes]:
    yield from pieces
    raise error


@pytest.mark.parametrize(
    ("body", "length", "why"),
    [
        (breaks_after(b"ab", error=OSError("gone")), 4, "gone"),
        (breaks_after(b"ab", error=S3Error("SlowDown", 503, "slow")), 4, "slow"),
        ([b"ab"], 4, "2 bytes are missing"),
        ([b"ab", b"cde"], 4, "1 bytes too many"),
    ],
)
def test_a_body_that_is_not_what_was_announced_breaks_off(
    operations: FakeOperations,
    caplog: pytest.LogCaptureFixture,
    body: Iterator[bytes],
    length: int,
    why: str,
) -> None:
    pieces = Body(body)
    operations.respond = streamed(pieces, length)
    with pytest.raises(S3Error):
        ask(operations, "/archive/some/key")
    assert pieces.closed
    message = next(r for r in caplog.records if r.levelno == logging.ERROR).getMessage()
    assert "some/key" in message
    assert why in message
    assert re.search("request [0-9A-F]{16} broke off after 2 bytes", message)


def test_only_a_bug_in_a_body_is_worth_a_traceback(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (S3Error("SlowDown", 503, "slow"), KeyError("bug")):
        operations.respond = streamed(Body(breaks_after(b"ab", error=error)), 4)
        with pytest.raises(S3Error):
            ask(operations, "/archive/k")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [bool(record.exc_info) for record in errors] == [False, True]


# ---- The request log -----------------------------------------------------------------------------


def logged_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    lines = [record for record in caplog.records if record.levelno == logging.INFO]
    assert {record.name for record in lines} <= {"s3archivefs.requests"}
    return [json.loads(record.getMessage()) for record in lines]


@pytest.mark.parametrize(
    ("method", "target", "line"),
    [
        ("GET", "/archive/d/%C3%BC%ff", ("GetObject", "d/ü\udcff", 200, None)),
        ("HEAD", "/archive/k", ("HeadObject", "k", 200, None)),
        ("GET", "/archive?list-type=2", ("ListObjectsV2", None, 200, None)),
        ("GET", "/archive", ("ListObjects", None, 200, None)),
        ("GET", "/", ("ListBuckets", None, 200, None)),
        ("HEAD", "/archive", ("HeadBucket", None, 200, None)),
        ("GET", "/archive?location", ("GetBucketLocation", None, 200, None)),
        ("PUT", "/archive/k", (None, "k", 405, "MethodNotAllowed")),
        ("GET", "/archive/%", (None, None, 400, "InvalidURI")),
    ],
)
def test_each_request_is_one_line_of_the_request_log(
    operations: FakeOperations,
    caplog: pytest.LogCaptureFixture,
    method: str,
    target: str,
    line: tuple[str | None, str | None, int, str | None],
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    answer = ask(operations, target, method)
    (logged,) = logged_lines(caplog)
    assert logged.pop("ms") >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", logged.pop("time"))
    operation, key, status, error = line
    assert logged == {
        "operation": operation,
        "method": method,
        "client": CLIENT,
        "access_key_id": None,
        "error": error,
        "key": key,
        "archive": None,
        "status": status,
        "bytes": len(answer.body),
        "s3_requests": 0,
        "s3_bytes": 0,
        "cache_hits": 0,
        "cache_misses": 0,
        "request_id": answer.headers["x-amz-request-id"],
    }


def test_a_line_tells_the_time_since_the_request_arrived(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    started = time.monotonic() - 1000
    app = make_app(operations, bucket="archive", verifier=None)
    request = HttpRequest(
        method="GET", target="/archive/k", headers=(("host", "::1"),), arrived=0.5, started=started
    )
    app(request).body.close()
    (line,) = logged_lines(caplog)
    assert line["time"] == "1970-01-01T00:00:00.500Z"
    assert line["ms"] >= 1_000_000


def expired(sent: Sent) -> Sent:
    return sent.query("X-Amz-Date=20", "X-Amz-Date=19").query("%2F20", "%2F19")


REFUSED: dict[str, tuple[Callable[[], Sent], str | None, str, str]] = {
    "nobody": (lambda: request_of("GET", "/archive/k", {}), None, "AccessDenied", "not signed"),
    "half a signature": (
        lambda: request_of("GET", "/archive/k?X-Amz-Signature=0", {}),
        *(None, "AuthorizationQueryParametersError", "X-Amz parameters missing"),
    ),
    "another secret": (
        lambda: signed(credentials=Credentials(ACCESS_KEY, "other")),
        *(ACCESS_KEY, "SignatureDoesNotMatch", "signature does not match"),
    ),
    "another key": (
        lambda: presigned_v2(credentials=Credentials("AKIDOTHER", SECRET)),
        *("AKIDOTHER", "InvalidAccessKeyId", "unknown access key"),
    ),
    "expired": (
        lambda: expired(presigned()),
        *(ACCESS_KEY, "AccessDenied", "expired at 19..-..-..T..:..:..Z"),
    ),
    "a header added": (
        lambda: signed().with_headers(x_amz_acl="private"),
        *(ACCESS_KEY, "AccessDenied", "headers not signed: x-amz-acl"),
    ),
    "a session": (
        lambda: presigned(credentials=Credentials(ACCESS_KEY, SECRET, "the token")),
        *(ACCESS_KEY, "InvalidToken", "session token"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_line_says_who_was_refused_and_why(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    caplog.set_level(logging.DEBUG, "s3archivefs")
    make, signer, error, reason = REFUSED[case]
    sent = make()
    headers = (*sent.headers.items(), ("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=x"))
    ask(operations, sent.target, headers=headers, verifier=Verifier(ACCESS_KEY, SECRET))
    (line,) = logged_lines(caplog)
    assert (line["client"], line["access_key_id"], line["error"]) == (CLIENT, signer, error)
    assert re.fullmatch(reason, line["refused"])
    authorization = sent.headers.get("authorization", "")
    query = sent.target.partition("?")[2]
    secrets = [authorization, query, "the token", SECRET, *re.findall("Signature=([^&]+)", query)]
    assert not [secret for secret in secrets if len(secret) > 1 and secret in caplog.text]


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_a_line_says_who_signed(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture, sent: Callable[[], Sent]
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    asked = sent()
    headers = tuple(asked.headers.items())
    for verifier in (Verifier(ACCESS_KEY, SECRET), None):
        ask(operations, asked.target, headers=headers, verifier=verifier)
    lines = logged_lines(caplog)
    assert [(line["access_key_id"], line["error"]) for line in lines] == [(ACCESS_KEY, None)] * 2
    assert not [line for line in lines if "refused" in line]


def test_a_line_says_that_another_host_was_asked_for(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    ask(operations, "/archive/k", headers=(("host", "example.org"),))
    (line,) = logged_lines(caplog)
    assert line["refused"] == "not signed, and for another host than this machine"


def costly(*pieces: bytes) -> Iterator[bytes]:
    """A body of which each piece costs a request of its length."""
    for piece in pieces:
        add("s3_requests")
        add("s3_bytes", len(piece))
        yield piece


def test_a_line_says_what_its_request_alone_cost_body_included(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")

    def answer(request: S3Request) -> S3Response:
        add_archive("s3://bucket/archive.sqfs")
        add("s3_requests")
        add("cache_hits", 3)
        return streamed(Body(costly(b"ab", b"cde")), 5)(request)

    operations.respond = answer
    ask(operations, "/archive/k")
    ask(operations, "/archive/k")
    add("s3_requests")  # for no request
    ask(operations, "/archive/k", "HEAD")
    lines = [
        (line["archive"], line["s3_requests"], line["s3_bytes"], line["cache_hits"], line["bytes"])
        for line in logged_lines(caplog)
    ]
    got = ("s3://bucket/archive.sqfs", 3, 5, 3, 5)
    assert lines == [got, got, ("s3://bucket/archive.sqfs", 1, 0, 3, 0)]


def test_what_a_refused_request_has_cost_stands_in_its_line(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")

    def answer(_: S3Request) -> S3Response:
        add("s3_requests", 5)
        raise S3Error("SlowDown", 503, "slow")

    operations.respond = answer
    refused = ask(operations, "/archive/k")
    (line,) = logged_lines(caplog)
    assert (line["status"], line["s3_requests"]) == (503, 5)
    assert line["request_id"] == refused.error["RequestId"]


def test_a_body_that_breaks_off_is_logged_with_the_bytes_that_went_out(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    operations.respond = streamed(Body(breaks_after(b"ab", b"c", error=OSError("gone"))), 9)
    with pytest.raises(S3Error):
        ask(operations, "/archive/k", emf=True)
    (line,) = logged_lines(caplog)
    assert (line["status"], line["bytes"], line["Errors"]) == (200, 3, 1)


def test_a_reader_who_leaves_is_no_error(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    operations.respond = streamed(Body(iter([b"ab", b"cd"])), 4)
    app = make_app(operations, bucket="archive", verifier=None, emf=True)
    body = app(HttpRequest(method="GET", target="/archive/k")).body
    assert next(body) == b"ab"
    body.close()
    (line,) = logged_lines(caplog)
    assert (line["status"], line["bytes"], line["Errors"]) == (200, 2, 0)


def test_lines_carry_metrics_where_they_are_asked_for(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    ask(operations, "/archive/k", emf=True)
    ask(operations, "/archive/k")
    with_metrics, plain = caplog.messages
    found = {metric.name: metric.value for metric in metrics_of(with_metrics)}
    assert (found["Requests"], found["BytesOut"]) == (1, 7)
    assert "_aws" not in json.loads(plain)


# ---- With boto3 ----------------------------------------------------------------------------------


def client_of(server: S3HttpServer, secret: str = SECRET) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        region_name="eu-west-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
        ),
    )


@dataclass
class Site:
    """A server that checks signatures, and a client that signs."""

    operations: FakeOperations
    server: S3HttpServer
    client: S3Client


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    operations = FakeOperations()
    verifier = Verifier(ACCESS_KEY, SECRET, region="eu-west-1")
    app = make_app(operations, bucket="archive", verifier=verifier)
    with S3HttpServer(app, port=0) as server, closing(client_of(server)) as client:
        yield Site(operations, server, client)


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.operations.reset()
    return running_site


@pytest.mark.parametrize("key", ODD_KEYS)
def test_boto3_reads_odd_keys(site: Site, key: str) -> None:
    got = site.client.get_object(Bucket="archive", Key=key, Range="bytes=0-6")
    assert got["Body"].read() == b"content"
    assert site.operations.last.key == key
    assert site.operations.last.headers["range"] == "bytes=0-6"
    assert got["Metadata"] == {"file-owner": "1000"}  # in the case in which it was given
    assert site.client.head_object(Bucket="archive", Key=key)["ContentLength"] == 7
    assert site.operations.last.key == key
    site.client.list_objects_v2(Bucket="archive", Prefix=key, Delimiter="/", StartAfter=key)
    assert site.operations.last.query == {
        "list-type": "2",
        "prefix": key,
        "delimiter": "/",
        "start-after": key,
        "encoding-type": "url",
    }


@pytest.mark.parametrize("key", ODD_KEYS)
def test_presigned_urls_open_without_further_ado(site: Site, key: str) -> None:
    parameters = {"Bucket": "archive", "Key": key, "ResponseContentType": "a b+c"}
    url = site.client.generate_presigned_url("get_object", Params=parameters)
    with urlopen(url) as response:  # noqa: S310 -- it is http
        assert response.read() == b"content"
    assert site.operations.last.key == key
    assert site.operations.last.query == {"response-content-type": "a b+c"}
    site.operations.reset()
    with closing(HTTPConnection(urlsplit(url).netloc)) as client:
        client.request("GET", url)  # the whole URL as the target
        assert client.getresponse().read() == b"content"
    assert site.operations.last.key == key


def test_boto3_learns_of_the_bucket(site: Site) -> None:
    assert [found["Name"] for found in site.client.list_buckets()["Buckets"]] == ["archive"]
    pages = site.client.get_paginator("list_buckets").paginate(
        Prefix="arch", PaginationConfig={"PageSize": 1}
    )
    (found,) = pages.search("Buckets[]")
    assert (found["Name"], found["BucketRegion"]) == ("archive", "eu-west-1")
    location = site.client.get_bucket_location(Bucket="archive")
    assert location["LocationConstraint"] == "eu-west-1"
    assert site.client.head_bucket(Bucket="archive")["BucketRegion"] == "eu-west-1"


def test_boto3_with_another_secret_is_refused(site: Site) -> None:
    with closing(client_of(site.server, secret="other")) as client:
        with pytest.raises(ClientError) as caught:
            client.get_object(Bucket="archive", Key="k")
        assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
        with pytest.raises(ClientError) as caught:
            client.head_object(Bucket="archive", Key="k")
        assert caught.value.response["Error"]["Code"] == "403"
    assert site.operations.asked == []


def test_boto3_is_told_that_nothing_can_be_written(site: Site) -> None:
    client = site.client
    for call in (
        lambda: client.put_object(Bucket="archive", Key="k", Body=b"x" * 3_000_000),
        lambda: client.delete_object(Bucket="archive", Key="k"),
        lambda: client.create_multipart_upload(Bucket="archive", Key="k"),
        lambda: client.create_bucket(Bucket="other"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "MethodNotAllowed"
    assert client.get_object(Bucket="archive", Key="k")["Body"].read() == b"content"


def test_the_log_never_holds_a_signature_or_a_secret(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "s3archivefs")
    verifier = Verifier(ACCESS_KEY, SECRET)
    app = make_app(operations, bucket="archive", verifier=verifier)
    with S3HttpServer(app, port=0) as server, closing(client_of(server)) as client:
        parameters = {"Bucket": "archive", "Key": "asked-here"}
        url = client.generate_presigned_url("get_object", Params=parameters)
        malformed = url.replace("/asked-here?", "/%?")
        for asked in (url, url + "0", f"{url}&X-Amz-Date=", malformed):
            try:
                response = urlopen(asked)  # noqa: S310 -- it is http
            except HTTPError as error:
                response = error  # it holds the connection, as a response does
            with response:
                response.read()
    signature = url.rpartition("=")[2]
    # Other servers of these tests may still be logging.
    lines = [line for line in logged_lines(caplog) if line["key"] == "asked-here"]
    assert sorted(line["status"] for line in lines) == [200, 400, 403]
    assert not [text for text in (signature, SECRET, "Signature=") if text in caplog.text]


@pytest.mark.parametrize(
    "target", ["/", "/archive", "/archive/k", "/archive?list-type=2", "/archive?acl"]
)
def test_unsigned_requests_are_refused_where_signatures_are_asked_for(
    operations: FakeOperations, target: str
) -> None:
    verifier = Verifier(ACCESS_KEY, SECRET)
    answer = ask(operations, target, verifier=verifier, headers=(("host", "h"),))
    assert (answer.status, answer.error["Code"]) == (403, "AccessDenied")
    assert ask(operations, target, "HEAD", verifier=verifier, headers=(("host", "h"),)).status in {
        403,
        405,
    }
    assert operations.asked == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:9000", "127.0.0.1:9000", "127.8.0.1", "[::1]:9000", "[::1]", ""],
)
def test_unsigned_request_for_this_machine_is_answered(
    operations: FakeOperations, host: str
) -> None:
    assert ask(operations, "/archive/key", headers=(("host", host),)).status == 200


@pytest.mark.parametrize("host", ["example.org", "rebound.example:9000", "10.0.0.1:9000", "x:y"])
def test_unsigned_request_for_another_name_is_refused(
    operations: FakeOperations, host: str
) -> None:
    answer = ask(operations, "/archive/key", headers=(("host", host),))
    assert answer.status == 403
    assert answer.error["Code"] == "AccessDenied"


@pytest.mark.parametrize("target", ["/other", "/other/k", "/other?acl"])
def test_anybody_is_told_that_there_is_no_such_bucket(
    operations: FakeOperations, target: str
) -> None:
    verifier = Verifier(ACCESS_KEY, SECRET)
    answer = ask(operations, target, verifier=verifier)
    assert (answer.status, answer.error["Code"]) == (404, "NoSuchBucket")
    assert ask(operations, target, "HEAD", verifier=verifier).status == 404
    wrong = (("authorization", "AWS4-HMAC-SHA256 Credential=a"),)
    refused = ask(operations, target, verifier=verifier, headers=wrong)
    assert refused.error["Code"] == "AuthorizationHeaderMalformed"


@pytest.mark.parametrize("sent", [signed, presigned, presigned_v2])
def test_operations_learn_whether_anybody_signed(
    operations: FakeOperations, sent: Callable[..., Sent]
) -> None:
    other = Credentials("AKIDOTHER", "secret")
    for by, verifier in ((other, None), (CREDENTIALS, Verifier(ACCESS_KEY, SECRET))):
        request = sent("/archive/key?partNumber=1", credentials=by)
        headers = tuple(request.headers.items())
        assert ask(operations, request.target, headers=headers, verifier=verifier).status == 200
        assert not operations.last.is_anonymous
        assert operations.last.query == {"partNumber": "1"}
    ask(operations, "/archive/key")
    assert operations.last.is_anonymous


@pytest.mark.parametrize(
    "signature",
    [
        *("X-Amz-Signature=1", "Signature=1", "AWSAccessKeyId=a&Signature=1&Expires=never"),
        "X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256",
    ],
)
@pytest.mark.parametrize("authorization", [None, "x", "AWS4-HMAC-SHA256 Credential=..."])
def test_what_only_looks_signed_is_anonymous(
    operations: FakeOperations, signature: str, authorization: str | None
) -> None:
    headers = () if authorization is None else (("authorization", authorization),)
    ask(operations, f"/archive/key?{signature}", headers=headers)
    assert operations.last.is_anonymous
    ask(operations, "/archive/key", headers=headers)
    assert operations.last.is_anonymous
