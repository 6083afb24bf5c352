"""Bodies that fail, and the lines of the request log."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import TYPE_CHECKING

import pytest
from botocore.credentials import Credentials

from s3archivefs_lambda.accounting import add, add_archive
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.messages import HttpRequest
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response
from tests.support.adapter.asked_application import CLIENT, ask
from tests.support.adapter.fake_operations import Body, FakeOperations, streamed
from tests.support.adapter.request_lines import logged_lines
from tests.support.adapter.signed_requests import (
    ACCESS_KEY,
    KEYS,
    SECRET,
    Sent,
    presigned,
    presigned_v2,
    request_of,
    signed,
)
from tests.support.aws.emf import metrics_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
        "bucket": "archive" if target != "/" and error != "InvalidURI" else None,
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
    app = make_app({"archive": ServedBucket(operations)}, verifier=None)
    request = HttpRequest(
        method="GET", target="/archive/k", headers=(("host", "::1"),), arrived=0.5, started=started
    )
    app(request).answer().body.close()
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
    ask(operations, sent.target, headers=headers, verifier=Verifier(KEYS))
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
    for verifier in (Verifier(KEYS), None):
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
    app = make_app({"archive": ServedBucket(operations)}, verifier=None, emf=True)
    body = app(HttpRequest(method="GET", target="/archive/k")).answer().body
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
