from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveReplacedError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
    StoreRefusedError,
)
from s3archivefs_lambda.store.objects import StoredObject, get_object, head_object
from tests.support.adapter.scripted_device import CONTENT, SIZE
from tests.support.servers.scripted_store import Reply, ScriptedStore, always, error_reply

MIB = 1 << 20


def get(store: ScriptedStore, **parameters: Any) -> StoredObject:  # noqa: ANN401 -- botocore's
    return get_object(store.client(), "bucket", "key", parameters)


def head(store: ScriptedStore, **parameters: Any) -> StoredObject:  # noqa: ANN401 -- botocore's
    return head_object(store.client(), "bucket", "key", parameters)


def test_get_has_the_stores_status_headers_and_body(store: ScriptedStore) -> None:
    store.metadata = {"who": "me"}
    found = get(store)
    assert (found.status, found.length) == (200, SIZE)
    assert found.headers["etag"] == '"v1"'
    assert found.headers["x-amz-meta-who"] == "me"
    assert b"".join(found.body) == CONTENT
    assert len(store.requests) == 1


def test_get_of_a_range_asks_for_it_alone(store: ScriptedStore) -> None:
    found = get(store, Range="bytes=5-9")
    assert (found.status, found.length) == (206, 5)
    assert found.headers["content-range"] == f"bytes 5-9/{SIZE}"
    assert b"".join(found.body) == CONTENT[5:10]


def test_head_has_the_length_and_no_body(store: ScriptedStore) -> None:
    found = head(store)
    assert (found.status, found.length, list(found.body)) == (200, SIZE, [])


def test_a_body_comes_in_pieces_of_a_mebibyte(store: ScriptedStore) -> None:
    store.content = bytes(2 * MIB + 5)
    assert [len(piece) for piece in get(store).body] == [MIB, MIB, 5]


def test_a_body_is_passed_as_it_is_stored_whatever_its_encoding(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.with_headers(Content_Encoding="gzip"))
    assert b"".join(get(store).body) == CONTENT


def test_a_body_that_breaks_off_is_resumed_in_the_same_version(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=100), match="None")
    assert b"".join(get(store).body) == CONTENT
    first, second = store.requests
    assert first.range is None
    assert second.range == f"bytes=100-{SIZE - 1}"
    assert second.headers["if-match"] == '"v1"'


def test_a_body_is_resumed_as_long_as_each_attempt_brings_a_piece(store: ScriptedStore) -> None:
    store.content = bytes(range(256)) * (12 * MIB // 256)
    store.script(lambda _, reply: replace(reply, cut=MIB), times=11)
    assert b"".join(get(store).body) == store.content
    assert len(store.requests) == 12


def test_a_body_that_breaks_off_again_and_again_is_given_up(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=0), times=99)
    with pytest.raises(ArchiveUnavailableError, match="also when asked for again"):
        list(get(store).body)


def test_a_body_of_a_replaced_object_breaks_off(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=100))
    body = get(store).body
    store.etag = '"v2"'
    with pytest.raises(ArchiveReplacedError):
        list(body)


def test_a_body_that_is_not_read_closes_its_connection(store: ScriptedStore) -> None:
    store.content = bytes(8 * MIB)
    client = store.client(max_pool_connections=1)
    for _ in range(3):
        get_object(client, "bucket", "key", {}).body.close()
    with_one_piece = get_object(client, "bucket", "key", {}).body
    assert len(next(iter(with_one_piece))) == MIB
    with_one_piece.close()
    assert b"".join(get_object(client, "bucket", "key", {}).body) == store.content


def test_an_empty_object_has_an_empty_body(store: ScriptedStore) -> None:
    store.content = b""
    found = get(store)
    assert (found.length, list(found.body)) == (0, [])


@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        (error_reply(404, "NoSuchKey"), "NoSuchKey", 404),
        (error_reply(404, "NoSuchBucket"), "NoSuchBucket", 404),
        (error_reply(404, "NoSuchVersion"), "NoSuchVersion", 404),
        (error_reply(400, "InvalidArgument"), "InvalidArgument", 400),
        (error_reply(405, "MethodNotAllowed"), "MethodNotAllowed", 405),
        (error_reply(403, "InvalidObjectState"), "InvalidObjectState", 403),
        (Reply(304, {"ETag": '"v1"'}), "NotModified", 304),
    ],
)
def test_refusals_of_the_request_are_the_stores_own(
    store: ScriptedStore, reply: Reply, code: str, status: int
) -> None:
    store.script(always(reply))
    with pytest.raises(StoreRefusedError) as error:
        get(store)
    assert (error.value.code, error.value.status) == (code, status)


def test_conditions_and_ranges_are_the_stores_to_judge(store: ScriptedStore) -> None:
    with pytest.raises(StoreRefusedError) as error:
        get(store, IfMatch='"v0"')
    assert error.value.code == "PreconditionFailed"
    with pytest.raises(StoreRefusedError) as error:
        get(store, IfNoneMatch='"v1"')
    assert error.value.headers["etag"] == '"v1"'
    with pytest.raises(StoreRefusedError) as error:
        get(store, Range=f"bytes={SIZE}-{SIZE + 5}")
    assert error.value.code == "InvalidRange"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error_reply(403, "AccessDenied"), ArchiveForbiddenError),
        (error_reply(403, "SignatureDoesNotMatch"), ArchiveCredentialsError),
        (error_reply(400, "ExpiredToken"), ArchiveCredentialsError),
        (error_reply(503, "SlowDown"), ArchiveThrottledError),
        (error_reply(400, "RequestThrottled"), ArchiveThrottledError),
        (error_reply(500, "InternalError"), ArchiveUnavailableError),
        (error_reply(301, "PermanentRedirect"), ArchiveUnavailableError),
    ],
)
def test_faults_of_the_store_are_those_of_reading(
    store: ScriptedStore, reply: Reply, kind: type[ArchiveAccessError]
) -> None:
    store.script(always(reply), times=9)
    with pytest.raises(ArchiveAccessError) as error:
        get(store)
    assert type(error.value) is kind


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            error_reply(400, "InvalidRequest"),
            "InvalidRequest",
        ),  # of an object with a customer's key
        (Reply(400), "BadRequest"),
    ],
)
def test_a_bare_400_of_head_is_the_refusal_that_get_tells(
    store: ScriptedStore, answer: Reply, code: str
) -> None:
    store.script(
        always(Reply(400)), match="HEAD", times=9
    )  # upon which botocore asks for the region
    store.script(always(answer), match="GET")
    with pytest.raises(StoreRefusedError) as error:
        head(store)
    assert (error.value.code, error.value.status) == (code, 400)
    assert store.ranges[-1] == "bytes=0-0"


def test_a_bare_400_of_head_may_be_one_of_credentials(store: ScriptedStore) -> None:
    store.script(always(Reply(400)), match="HEAD", times=18)
    store.script(always(error_reply(400, "ExpiredToken")), match="GET")
    with pytest.raises(ArchiveCredentialsError, match="ExpiredToken"):
        head(store)
    with pytest.raises(ArchiveCredentialsError):  # as GET, which now works, tells nothing
        head(store)


def test_a_bare_400_of_head_is_told_where_the_request_may_be_at_fault(store: ScriptedStore) -> None:
    store.script(always(Reply(400)), times=9)
    with pytest.raises(StoreRefusedError) as error:
        head(store, VersionId="no such")
    assert (error.value.code, error.value.status) == ("BadRequest", 400)
    assert "GET" not in {request.method for request in store.requests}


def test_head_of_a_missing_object_has_s3s_code(store: ScriptedStore) -> None:
    store.script(always(Reply(404)))
    with pytest.raises(StoreRefusedError) as error:
        head(store)
    assert (error.value.code, error.value.status) == ("NoSuchKey", 404)


def test_an_answer_that_contradicts_itself_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.with_headers(Content_Range="bytes 0-1/9"))
    with pytest.raises(ArchiveUnavailableError, match="length of its own"):
        get(store)


def test_an_answer_without_an_etag_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.without("ETag"))
    with pytest.raises(ArchiveUnavailableError, match="ETag"):
        get(store)
