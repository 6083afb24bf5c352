"""The page asks S3's operations, with the rights of an access key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.endpoint.access_keys import AccessKey
from s3archivefs_lambda.endpoint.browsing.s3_reader import Entry, S3Reader
from s3archivefs_lambda.endpoint.bucket_operations import EndpointOperations, ServedBucket
from s3archivefs_lambda.endpoint.cors import Cors
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response
from tests.support.adapter.browsed import packed
from tests.support.adapter.fake_operations import Body, FakeOperations, streamed
from tests.support.adapter.local_archives import operations_on

if TYPE_CHECKING:
    from pathlib import Path

    from s3archivefs_lambda.bucket.operations import ServedOperations

KEY = AccessKey("READER", "secret of reader", {"archive": ("docs/",)})


def reader_of(operations: ServedOperations, key: AccessKey | None = None) -> S3Reader:
    buckets = {"archive": ServedBucket(operations), "other": ServedBucket(operations)}
    endpoint = EndpointOperations(buckets, "us-east-1", Cors())
    return S3Reader(endpoint, S3Request(bucket="archive", request_id="id"), key)


def test_a_page_is_in_the_order_of_keys(tmp_path: Path) -> None:
    names = [b"a-b", b"a/x", b"a0", b"\xff", b"line\nbreak", b"p%20+ q"]
    operations = operations_on({"": packed(dict.fromkeys(names, b"abc"), tmp_path / "image")})
    reader = reader_of(operations)
    page = reader.listing("", None, delimiter="/", most=1000)
    assert [entry.key for entry in page.entries] == [
        *("a-b", "a/", "a0", "line\nbreak", "p%20+ q", "\udcff")
    ]
    assert page.entries[0] == Entry("a-b", 3, "1970-01-01T00:00:00.000Z")
    assert page.entries[1] == Entry("a/")
    assert page.token is None
    first = reader.listing("", None, delimiter="/", most=2)
    assert first.token is not None
    assert first.entries + reader.listing("", first.token, delimiter="/", most=9).entries == (
        page.entries
    )


def test_a_key_asks_for_what_it_may_read_alone() -> None:
    operations = FakeOperations()
    reader = reader_of(operations, KEY)
    assert reader.buckets() == ["archive"]
    reader.head("docs/a")
    assert reader.first_bytes("docs/a", 10) == b"content"
    reader.listing("docs/", None, delimiter="/", most=10)
    asked = len(operations.asked)
    for forbidden in (
        lambda: reader.head("other/a"),
        lambda: reader.first_bytes("docs", 10),
        lambda: reader.listing("", None, delimiter="/", most=10),
        lambda: reader.listing("docs2/", None, delimiter="", most=10),
    ):
        with pytest.raises(S3Error, match="AccessDenied"):
            forbidden()
    assert len(operations.asked) == asked


def test_only_the_beginning_of_an_object_is_asked_for() -> None:
    operations = FakeOperations()
    reader_of(operations).first_bytes("a", 10)
    assert operations.last.headers == {"range": "bytes=0-9"}
    assert operations.last.request_id == "id"


def test_an_error_is_raised_and_a_body_closed() -> None:
    body = Body([b"abc"])
    operations = FakeOperations(streamed(body, 3))
    assert reader_of(operations).first_bytes("a", 10) == b"abc"
    assert body.closed

    def refuse(_: S3Request) -> S3Response:
        raise S3Error("SlowDown", 503, "later")

    with pytest.raises(S3Error, match="SlowDown"):
        reader_of(FakeOperations(refuse)).head("a")
