"""Answers of the application, and what clients and signatures see of it."""

from __future__ import annotations

import logging
import re
from contextlib import closing
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.server import S3HttpServer
from s3archivefs_lambda.s3api.messages import S3Error, S3Response
from tests.support.adapter.asked_application import ask
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.request_lines import logged_lines
from tests.support.adapter.signed_requests import (
    ACCESS_KEY,
    CREDENTIALS,
    KEYS,
    SECRET,
    Sent,
    presigned,
    presigned_v2,
    signed,
    signing_client,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client


ODD_KEYS = ["a b/ü+%?#&=.txt", "x//y", "./z", "../z", "~t", "a*b(c)!'", "%2F", "+", "/", "a/"]


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
    verifier = Verifier(KEYS, region="eu-west-1")
    app = make_app({"archive": ServedBucket(operations)}, verifier=verifier)
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
    verifier = Verifier(KEYS)
    app = make_app({"archive": ServedBucket(operations)}, verifier=verifier)
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
    verifier = Verifier(KEYS)
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


@pytest.mark.parametrize(
    ("length", "status"),
    [
        *(("0", 200), ("00", 200), ("1", 400), ("01", 400), ("", 400), ("0,0", 400), ("0, 0", 400)),
        *(("+0", 400), ("-0", 400), ("0x0", 400), ("0_0", 400), ("0 0", 400), ("\xb2", 400)),
    ],
)
def test_a_request_has_no_body_if_its_length_is_zero(
    operations: FakeOperations, length: str, status: int
) -> None:
    answer = ask(operations, "/archive/key", headers=(("content-length", length),))
    assert answer.status == status


@pytest.mark.parametrize("target", ["/other", "/other/k", "/other?acl"])
def test_anybody_is_told_that_there_is_no_such_bucket(
    operations: FakeOperations, target: str
) -> None:
    verifier = Verifier(KEYS)
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
    for by, verifier in ((other, None), (CREDENTIALS, Verifier(KEYS))):
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


MOVED = "x-amz-checksum-mode=ENABLED&x-amz-object-attributes=ETag%2CChecksum"
"""What SDKs make of header fields when they presign."""


@pytest.mark.parametrize("verifier", [None, Verifier(KEYS)])
def test_header_fields_that_a_presigned_url_has_in_its_query_count(
    operations: FakeOperations, verifier: Verifier | None
) -> None:
    capitals = MOVED.replace("x-amz-checksum-mode", "X-Amz-Checksum-Mode")
    for sent in (
        presigned(f"/archive/key?{MOVED}"),
        presigned(f"/archive/key?{capitals}"),
        presigned_v2(f"/archive/key?{MOVED}"),
        presigned_v2("/archive/key", headers={"x-amz-checksum-mode": "ENABLED"}),
    ):
        ask(operations, sent.target, verifier=verifier, headers=tuple(sent.headers.items()))
        assert operations.last.headers["x-amz-checksum-mode"] == "ENABLED"
        attributes = operations.last.headers.get("x-amz-object-attributes")
        assert attributes == ("ETag,Checksum" if "attributes" in sent.target else None)
        assert not [
            name
            for name in operations.last.headers
            if name.startswith("x-amz-") and name[6:] not in {"checksum-mode", "object-attributes"}
        ]


@pytest.mark.parametrize("version", [None, "s3v4"])
def test_attributes_are_told_by_a_presigned_url(
    operations: FakeOperations, version: str | None
) -> None:
    with signing_client(version) as client:
        asked = {"Bucket": "archive", "Key": "key", "ObjectAttributes": ["ETag", "ObjectSize"]}
        url = urlsplit(client.generate_presigned_url("get_object_attributes", Params=asked))
    headers = [("host", url.netloc)]
    if version == "s3v4":  # botocore has the client send it
        headers.append(("x-amz-object-attributes", "ETag,ObjectSize"))
    answer = ask(
        operations, f"{url.path}?{url.query}", verifier=Verifier(KEYS), headers=tuple(headers)
    )
    assert answer.status == 200
    assert b"<ETag>0123-1</ETag><ObjectSize>7</ObjectSize>" in answer.body


def test_only_what_a_signature_covers_becomes_a_header_field(operations: FakeOperations) -> None:
    def fields(sent: Sent, verifier: Verifier | None = None) -> dict[str, str]:
        ask(operations, sent.target, verifier=verifier, headers=tuple(sent.headers.items()))
        return {k: v for k, v in operations.last.headers.items() if k.startswith("x-amz-checksum")}

    capital = "X-Amz-Checksum-Mode=ENABLED"
    added = presigned_v2()
    added = replace(added, target=f"{added.target}&{capital}")  # which Version 2 does not cover
    assert fields(added, Verifier(KEYS)) == {}
    for query in (MOVED, capital):
        assert fields(Sent("GET", f"/archive/key?{query}", {})) == {}
        assert fields(signed(f"/archive/key?{query}"), Verifier(KEYS)) == {}
        assert fields(Sent("GET", f"/archive/key?{query}&X-Amz-Signature=0", {})) == {}


def test_a_header_field_counts_before_what_a_presigned_url_has_in_its_query(
    operations: FakeOperations,
) -> None:
    sent = presigned_v2("/archive/key?x-amz-a=2%0a3", headers={"x-amz-b": "1"})
    ask(operations, sent.target)
    assert operations.last.headers == {"x-amz-a": "2 3", "x-amz-b": "1"}
    ask(operations, sent.target, headers=(("x-amz-b", "3"),))
    assert operations.last.headers == {"x-amz-a": "2 3", "x-amz-b": "3"}
