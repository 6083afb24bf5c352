"""Objects of the store through the operations: as the store answers, whatever that is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from tests.support.adapter.local_archives import ask, content
from tests.support.adapter.memory_store import MemoryStore, etag_of
from tests.support.adapter.store_buckets import operations_over
from tests.support.servers.scripted_store import Reply, ScriptedStore, always, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.bucket.operations import Operations
    from s3archivefs_lambda.s3api.messages import S3Response

CONTENT = b"0123456789" * 10


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    """One object, at every key."""
    with ScriptedStore(CONTENT) as running:
        yield running


@pytest.fixture
def operations(store: ScriptedStore, tmp_path: Path) -> Operations:
    return operations_over(store.client, tmp_path)


def get(operations: Operations, **headers: str) -> S3Response:
    """GetObject of a key, with header fields; `_` stands for `-`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(operations, "GetObject", S3Request(key="a/b c", headers=fields))


def refused(operations: Operations, operation: str, request: S3Request) -> S3Error:
    with pytest.raises(S3Error) as error:
        ask(operations, operation, request)
    return error.value


# ---- Answers -------------------------------------------------------------------------------------


def test_an_object_has_the_headers_that_the_store_gives_it(
    store: ScriptedStore, operations: Operations
) -> None:
    given = {
        "Content-Type": "text/x",
        "Content-Encoding": "br",
        "Content-Language": "de",
        "Content-Disposition": "inline",
        "Cache-Control": "max-age=1",
        "Expires": "Wed, 21 Oct 2015 07:28:00 GMT",
        "x-amz-meta-who": "me",
        "x-amz-storage-class": "GLACIER_IR",
        "x-amz-version-id": "v",
        "x-amz-server-side-encryption": "AES256",
    }
    of_the_exchange = {"x-amz-request-id": "R", "x-amz-id-2": "I", "Server": "s", "x-trans-id": "t"}
    store.script(lambda _, reply: reply.with_headers(**given, **of_the_exchange))
    response = get(operations)
    assert content(response) == CONTENT
    assert response.headers == given | {
        "Accept-Ranges": "bytes",
        "Content-Length": "100",
        "ETag": '"v1"',
        "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT",
    }


def test_head_answers_as_get_does_but_for_the_body(operations: Operations) -> None:
    head = ask(operations, "HeadObject", S3Request(key="a/b c"))
    got = get(operations)
    got.close()
    assert head.headers == got.headers
    assert tuple(head.body) == ()


def test_a_range_and_conditions_go_to_the_store(
    store: ScriptedStore, operations: Operations
) -> None:
    asked = {
        "range": "bytes=5-9",
        "if-match": '"v1"',
        "if-unmodified-since": "Wed, 21 Oct 2015 07:28:00 GMT",
    }
    response = ask(operations, "GetObject", S3Request(key="k", headers=asked))
    assert content(response) == CONTENT[5:10]
    assert (response.status, response.headers["Content-Range"]) == (206, "bytes 5-9/100")
    (request,) = store.requests
    assert {name: request.headers[name] for name in asked} == asked


@pytest.mark.parametrize(("odd", "sent"), [("\xe9", "?"), ("\u20ac", "?"), ("a\tb", "a b")])
def test_fields_go_to_the_store_in_what_a_signature_covers_as_it_is_sent(
    store: ScriptedStore, operations: Operations, odd: str, sent: str
) -> None:
    names = ("if-none-match", "x-amz-expected-bucket-owner", "x-amz-request-payer")
    asked = dict.fromkeys(names, f'"{odd}"')
    content(ask(operations, "GetObject", S3Request(key="k", headers=asked)))
    assert {store.requests[0].headers[name] for name in asked} == {f'"{sent}"'}
    error = refused(operations, "GetObject", S3Request(key="k", headers={"if-match": f'"{odd}"'}))
    assert error.code == "PreconditionFailed"
    resumed = {"range": "bytes=5-9", "if-range": f'"{odd}"'}
    whole = ask(operations, "GetObject", S3Request(key="k", headers=resumed))
    assert (whole.status, content(whole)) == (200, CONTENT)


def test_version_and_part_go_to_the_store(store: ScriptedStore, operations: Operations) -> None:
    query = {"versionId": "v", "partNumber": "1"}
    ask(operations, "HeadObject", S3Request(key="k", query=query))
    assert store.requests[0].path == "/bucket/k?versionId=v&partNumber=1"
    error = refused(operations, "HeadObject", S3Request(key="k", query={"partNumber": "x"}))
    assert error.code == "InvalidArgument"


def test_several_ranges_are_ignored_as_s3_ignores_them(
    store: ScriptedStore, operations: Operations
) -> None:
    assert content(get(operations, range="bytes=0-1,3-4")) == CONTENT
    assert store.ranges == [None]


def test_headers_of_the_answer_can_be_set_by_who_signed_it(operations: Operations) -> None:
    query = {"response-content-type": "text/y"}
    response = ask(operations, "HeadObject", S3Request(key="k", query=query))
    assert response.headers["Content-Type"] == "text/y"
    request = S3Request(key="k", query=query, is_anonymous=True)
    assert refused(operations, "HeadObject", request).code == "InvalidRequest"


# ---- If-Range ------------------------------------------------------------------------------------


def test_a_range_of_the_version_that_the_client_has_is_served(operations: Operations) -> None:
    response = get(operations, range="bytes=5-9", if_range='"v1"')
    assert (response.status, content(response)) == (206, CONTENT[5:10])


@pytest.mark.parametrize("version", ['"v0"', 'W/"v1"', "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_client_that_has_another_version_gets_all_of_this_one(
    operations: Operations, version: str
) -> None:
    response = get(operations, range="bytes=5-9", if_range=version)
    assert (response.status, content(response)) == (200, CONTENT)


# ---- Refusals and faults -------------------------------------------------------------------------


def test_a_refusal_has_the_stores_code_status_and_elements(operations: Operations) -> None:
    error = refused(operations, "GetObject", S3Request(key="k", headers={"range": "bytes=200-300"}))
    assert (error.code, error.status, error.message) == ("InvalidRange", 416, "m")


def test_an_object_that_is_unchanged_says_which_it_is(operations: Operations) -> None:
    request = S3Request(key="k", headers={"if-none-match": '"v1"'})
    response = operations.answer("GetObject", request)
    assert (response.status, response.error) == (304, None)
    assert response.headers["ETag"] == '"v1"'


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        ((403, "AccessDenied"), "AccessDenied", 403),
        ((403, "InvalidAccessKeyId"), "AccessDenied", 403),
        ((403, "InvalidObjectState"), "InvalidObjectState", 403),
        ((404, "NoSuchKey"), "NoSuchKey", 404),
        ((503, "SlowDown"), "SlowDown", 503),
        ((500, "InternalError"), "ServiceUnavailable", 503),
        ((307, "TemporaryRedirect"), "ServiceUnavailable", 503),
    ],
)
def test_faults_keep_their_meaning(
    store: ScriptedStore, operations: Operations, answer: tuple[int, str], code: str, status: int
) -> None:
    store.script(always(error_reply(*answer)), times=9)
    error = refused(operations, "GetObject", S3Request(key="k"))
    assert (error.code, error.status) == (code, status)


def test_a_fault_amid_a_body_breaks_it_off_and_is_logged(
    store: ScriptedStore, operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    store.content = bytes(3 << 20)
    store.script(lambda _, reply: type(reply)(200, reply.headers, reply.body, cut=1 << 20))
    response = get(operations)
    pieces = iter(response.body)
    assert len(next(pieces)) == 1 << 20
    store.etag = '"v2"'
    with caplog.at_level(logging.ERROR), pytest.raises(S3Error):
        next(pieces)
    response.close()
    assert "broke off after 1048576 bytes" in caplog.text
    assert "s3://bucket/a/b c: the object was replaced" in caplog.text


def test_a_key_that_is_not_utf_8_is_no_object(store: ScriptedStore, operations: Operations) -> None:
    assert refused(operations, "GetObject", S3Request(key="\udcff")).code == "NoSuchKey"
    assert store.requests == []


def test_a_key_that_no_store_has_for_its_length_is_refused_as_s3_refuses_it(
    store: ScriptedStore, operations: Operations
) -> None:
    for key in ("k" * 1025, "ü" * 513, "k" * 60_000, "x.sqfs/" * 147):
        for operation in ("GetObject", "HeadObject"):
            error = refused(operations, operation, S3Request(key=key))
            assert (error.code, error.status) == ("KeyTooLongError", 400)
            assert error.extra == {"Size": str(len(key.encode())), "MaxSizeAllowed": "1024"}
    assert {len(request.path) <= len("/bucket/") + 1024 for request in store.requests} <= {True}
    content(ask(operations, "GetObject", S3Request(key="k" * 1024)))


@pytest.mark.parametrize(
    ("status", "code"), [(414, "InvalidURI"), (431, "RequestHeaderSectionTooLarge")]
)
def test_what_is_too_long_for_the_store_is_the_clients_fault(
    store: ScriptedStore, operations: Operations, status: int, code: str
) -> None:
    store.script(always(Reply(status, {"Content-Type": "text/html"}, b"too long")), times=9)
    query = {"versionId": "v" * 20_000}
    error = refused(operations, "GetObject", S3Request(key="a", query=query))
    assert (error.code, error.status) == (code, status)
    assert len(store.requests) == 1


# ---- Which keys ----------------------------------------------------------------------------------


def test_only_keys_below_the_prefix_are_served(tmp_path: Path) -> None:
    store = MemoryStore({"data/a": b"1", "database": b"2", "other": b"3", "data/": b""})
    operations = operations_over(store.client, tmp_path, url="s3://bucket/data")
    assert content(ask(operations, "GetObject", S3Request(key="data/a"))) == b"1"
    assert content(ask(operations, "GetObject", S3Request(key="data/"))) == b""
    store.take_counts()
    for key in ("database", "other", "data"):
        assert refused(operations, "HeadObject", S3Request(key=key)).code == "NoSuchKey"
    assert store.take_counts() == {}


def test_dots_and_slashes_of_a_key_are_literal(
    store: ScriptedStore, operations: Operations
) -> None:
    for key in ("a/../b", "./a", "a//b", "a/"):
        content(ask(operations, "GetObject", S3Request(key=key)))
    paths = [request.path for request in store.requests]
    assert paths == ["/bucket/a/../b", "/bucket/./a", "/bucket/a//b", "/bucket/a/"]


@pytest.mark.parametrize("key", ["data/../a", "data/a/../../b", "data/../../other/a", "data/.."])
def test_a_key_that_would_lead_out_of_what_is_served_is_none(
    store: ScriptedStore, tmp_path: Path, key: str
) -> None:
    operations = operations_over(store.client, tmp_path, url="s3://bucket/data")
    assert refused(operations, "GetObject", S3Request(key=key)).code == "NoSuchKey"
    whole = operations_over(store.client, tmp_path)
    assert refused(whole, "HeadObject", S3Request(key="../bucket/a")).code == "NoSuchKey"
    assert store.requests == []


@pytest.mark.parametrize("version", ["\udcff", "a\udc80"])
def test_a_version_that_no_store_has_is_the_clients_fault(
    store: ScriptedStore, operations: Operations, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = refused(operations, "GetObject", S3Request(key="a", query={"versionId": version}))
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert store.requests == []
    assert caplog.records == []


@pytest.mark.parametrize(
    "element", ["AWSAccessKeyId", "StringToSign", "CanonicalRequest", "Token-0"]
)
@pytest.mark.parametrize(("code", "status"), [("RequestExpired", 400), ("NoSuchAccount", 404)])
def test_no_refusal_tells_of_the_credentials_that_the_store_refused(
    store: ScriptedStore, operations: Operations, element: str, code: str, status: int
) -> None:
    body = f"<Error><Code>{code}</Code><Message>m</Message><{element}>own</{element}></Error>"
    store.script(always(Reply(status, {"Content-Type": "application/xml"}, body.encode())), times=9)
    error = refused(operations, "GetObject", S3Request(key="a"))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert "own" not in error.to_xml("R").decode()


def test_an_object_passes_in_one_request(tmp_path: Path) -> None:
    store = MemoryStore({"a": b"1"})
    operations = operations_over(store.client, tmp_path)
    response = ask(operations, "GetObject", S3Request(key="a"))
    assert content(response) == b"1"
    assert response.headers["ETag"] == etag_of(b"1")
    assert store.take_counts() == {"GetObject": 1}
    assert operations.at_hand("GetObject", S3Request(key="a")) is None
    assert store.take_counts() == {}
