"""Listings in gzip."""

from __future__ import annotations

import gzip

import pytest

from s3archivefs_lambda.endpoint.content_coding import takes_gzip
from s3archivefs_lambda.endpoint.cors import Cors
from s3archivefs_lambda.s3api.messages import S3Request, S3Response, xml_response
from tests.support.adapter.asked_application import ask
from tests.support.adapter.fake_operations import FakeOperations

LONG = b"<ListBucketResult>" + b"<Contents/>" * 500 + b"</ListBucketResult>"


def listing(_: S3Request) -> S3Response:
    return xml_response(LONG)


@pytest.mark.parametrize(
    ("value", "takes"),
    [
        ("gzip", True),
        ("GZIP;q=0.5", True),
        ("x-gzip", True),
        ("br, gzip ; q=1.000, deflate", True),
        ("*", True),
        ("*;q=0.1, identity", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("gzipped", False),
        ("gzip;q=2", False),
        ("gzip;q=", False),
    ],
)
def test_a_client_says_whether_it_takes_gzip(value: str, *, takes: bool) -> None:
    assert takes_gzip(value) is takes


@pytest.mark.parametrize("target", ["/archive?list-type=2", "/archive", "/archive?versions"])
def test_listings_come_in_gzip_to_those_who_take_it(
    operations: FakeOperations, target: str
) -> None:
    operations.respond = listing
    plain = ask(operations, target)
    assert (plain.body, "content-encoding" in plain.headers) == (LONG, False)
    zipped = ask(operations, target, headers=(("accept-encoding", "gzip"),))
    assert gzip.decompress(zipped.body) == LONG
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["content-length"] == str(len(zipped.body))
    assert len(zipped.body) < len(LONG) // 5
    assert zipped.headers["vary"] == "Accept-Encoding"


def test_objects_errors_and_short_documents_come_as_they_are(operations: FakeOperations) -> None:
    accepted = (("accept-encoding", "gzip"),)
    operations.content = b"a" * 9000
    for target in ("/archive/k", "/archive?list-type=2", "/other?list-type=2"):
        answer = ask(operations, target, headers=accepted)
        assert "content-encoding" not in answer.headers


def test_what_answers_vary_by_adds_up(operations: FakeOperations) -> None:
    operations.respond = listing
    asked = (("accept-encoding", "gzip"), ("origin", "https://a"))
    vary = ask(operations, "/archive", headers=asked, cors=Cors(["*"])).headers["vary"]
    assert vary.startswith("Accept-Encoding, Origin")


def test_cache_control_is_of_objects_that_say_nothing_of_it(operations: FakeOperations) -> None:
    def respond(request: S3Request) -> S3Response:
        answer = FakeOperations().object(request)
        headers = answer.headers | {"Cache-Control": "own"}
        return S3Response(status=200, headers=headers, body=answer.body)

    for method in ("GET", "HEAD"):
        answer = ask(operations, "/archive/k", method, cache_control="max-age=60")
        assert answer.headers["cache-control"] == "max-age=60"
    for target in ("/archive", "/other/k"):
        assert "cache-control" not in ask(operations, target, cache_control="max-age=60").headers
    operations.respond = respond
    said = ask(operations, "/archive/k", cache_control="max-age=60").headers["cache-control"]
    assert said == "own"
