"""Hosts that name buckets, and hosts of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.hosts import Host, Hosts
from tests.support.adapter.asked_application import answer_of
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.signed_requests import (
    ODD_KEYS,
    Sent,
    presigned,
    presigned_v2,
    sent_by,
    signed,
    signing_client,
    verifier,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.adapter.asked_application import Answer

DOMAINS = ["s3.example.com", "example.com", "Other.Test"]
SIGNINGS = [signed, presigned, presigned_v2]


@pytest.mark.parametrize(
    ("header", "bucket", "is_ours"),
    [
        ("localhost", "", True),
        ("LOCALHOST:9000", "", True),
        ("localhost:", "", True),
        ("archive.localhost", "archive", True),
        ("Archive.LocalHost:9000", "archive", True),
        ("a.b.localhost", "a.b", True),
        ("127.0.0.1:9000", "", True),
        ("[::1]:9000", "", True),
        ("", "", True),
        ("10.0.0.1:9000", "", False),
        ("evil.example:9000", "", False),
        ("notlocalhost", "", False),
        ("localhost.evil.example", "", False),
        ("archive.localhost.", "", False),
        ("x" * 1000 + ".localhost", "", False),
        ("s3.example.com", "", True),
        ("s3.example.com:443", "", True),
        ("maps.s3.example.com", "maps", True),
        ("example.com", "", True),
        ("maps.example.com", "maps", True),
        ("maps.other.test", "maps", True),
        ("notexample.com", "", False),
    ],
)
def test_the_first_part_of_a_name_below_a_domain_is_a_bucket(
    header: str, bucket: str, *, is_ours: bool
) -> None:
    assert Hosts(DOMAINS).read(header) == Host(bucket, is_ours)


def test_without_domains_localhost_is_the_only_one() -> None:
    assert Hosts().read("archive.localhost:9000") == Host("archive", is_ours=True)
    assert Hosts().read("archive.example.com") == Host("", is_ours=False)


def ask(sent: Sent, operations: FakeOperations, *domains: str, is_signed: bool = True) -> Answer:
    app = make_app(
        {"archive": ServedBucket(operations), "maps": ServedBucket(FakeOperations())},
        verifier=verifier() if is_signed else None,
        hosts=Hosts(domains),
    )
    return answer_of(app, sent.target, sent.method, tuple(sent.headers.items()))


@pytest.mark.parametrize("signing", SIGNINGS)
@pytest.mark.parametrize(
    ("host", "domains"), [("archive.localhost:9000", ()), ("archive.s3.test", ("s3.test",))]
)
def test_a_bucket_is_read_by_its_host(
    operations: FakeOperations, signing: Callable[..., Sent], host: str, domains: tuple[str, ...]
) -> None:
    for target, asked in (
        ("/docs/a%20b", ("GetObject", "docs/a b")),
        ("/archive/docs/a", ("GetObject", "archive/docs/a")),
        ("/?prefix=docs", ("ListObjects", "")),
    ):
        assert ask(signing(target, host=host), operations, *domains).status == 200
        operation, request = operations.asked[-1]
        assert (operation, request.key, request.bucket) == (*asked, "archive")


@pytest.mark.parametrize("signing", SIGNINGS)
def test_a_signature_for_one_bucket_is_none_for_another(
    operations: FakeOperations, signing: Callable[..., Sent]
) -> None:
    sent = signing("/docs/a", host="archive.localhost").with_headers(host="maps.localhost")
    assert ask(sent, operations).error["Code"] == "SignatureDoesNotMatch"
    sent = signing("/archive/docs/a").with_headers(host="maps.localhost")
    assert ask(sent, operations).error["Code"] == "SignatureDoesNotMatch"
    assert operations.asked == []


def test_a_host_may_name_a_bucket_that_is_not_there(operations: FakeOperations) -> None:
    answer = ask(signed("/docs/a", host="none.localhost:9000"), operations)
    assert (answer.status, answer.error["Code"]) == (404, "NoSuchBucket")
    assert answer.error["BucketName"] == "none"


def test_the_host_of_an_absolute_target_names_the_bucket(operations: FakeOperations) -> None:
    sent = Sent("GET", "http://archive.localhost:9000/docs/a", {"host": "maps.localhost"})
    assert ask(sent, operations, is_signed=False).status == 200
    assert operations.last.key == "docs/a"


@pytest.mark.parametrize("host", ["s3.test", "archive.s3.test:80", "archive.localhost"])
def test_unsigned_requests_to_domains_of_the_endpoint_are_answered(
    operations: FakeOperations, host: str
) -> None:
    sent = Sent("HEAD", "/", {"host": host})
    assert ask(sent, operations, "s3.test", is_signed=False).status in {200, 405}
    refused = ask(sent, operations, "s3.test.example", is_signed=False)
    assert refused.status == (403 if "s3.test" in host else 200)


@pytest.mark.parametrize("version", ["s3v4", None])
@pytest.mark.parametrize("key", ODD_KEYS)
def test_boto3_addresses_buckets_as_hosts(
    operations: FakeOperations, key: str, version: str | None
) -> None:
    with signing_client(version, endpoint="http://localhost:9000", style="virtual") as client:
        sent = sent_by(client, "get_object", Key=key)
        listing = sent_by(client, "list_objects_v2", Prefix=key)
        url = client.generate_presigned_url("get_object", Params={"Bucket": "archive", "Key": key})
    assert sent.headers["host"] == "archive.localhost:9000"
    assert ask(sent, operations).status == 200
    assert operations.last.key == key
    assert ask(listing, operations).status == 200
    assert operations.last.query["prefix"] == key
    scheme_and_host = "http://archive.localhost:9000"
    target = url.removeprefix(scheme_and_host)
    assert ask(Sent("GET", target, {"host": "archive.localhost:9000"}), operations).status == 200
    assert operations.last.key == key
