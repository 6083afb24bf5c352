from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveForbiddenError,
    ArchiveThrottledError,
    StoreRefusedError,
)
from s3archivefs_lambda.store.presigned import CLIENT, CallersObjects
from tests.support.adapter.scripted_device import CONTENT, SIZE
from tests.support.servers.scripted_store import Reply, ScriptedStore, always, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/a%20b/%2E./c?versionId=v&X-Amz-SignedHeaders=host%3Bx-amz-checksum-mode&X-Amz-Signature=0"
HEADERS = {"x-amz-checksum-mode": "ENABLED", "x-amz-other": "not signed", "host": "elsewhere"}


@pytest.fixture
def objects(store: ScriptedStore) -> Iterator[CallersObjects]:
    yield CallersObjects("my-bucket", store.url + PATH, HEADERS)
    CLIENT.close()


def test_get_asks_the_url_as_it_is_with_the_headers_that_are_signed(
    store: ScriptedStore, objects: CallersObjects
) -> None:
    found = objects.get("key", {"Range": "bytes=5-9", "ChecksumMode": "DISABLED", "VersionId": "x"})
    assert b"".join(found.body) == CONTENT[5:10]
    assert found.status == 206
    (request,) = store.requests
    assert (request.method, request.path) == ("GET", PATH)
    sent = {name: value for name, value in request.headers.items() if name.startswith("x-amz-")}
    assert sent == {"x-amz-checksum-mode": "ENABLED"}
    assert request.range == "bytes=5-9"
    assert "authorization" not in request.headers
    assert request.headers["host"] == store.url.removeprefix("http://")


def test_head_asks_it_likewise(store: ScriptedStore, objects: CallersObjects) -> None:
    assert objects.head("key", {}).length == SIZE
    assert [(request.method, request.path) for request in store.requests] == [("HEAD", PATH)]


def test_a_body_is_resumed_at_the_same_url(store: ScriptedStore, objects: CallersObjects) -> None:
    store.script(lambda _, reply: replace(reply, cut=100))
    assert b"".join(objects.get("key", {}).body) == CONTENT
    assert [request.path for request in store.requests] == [PATH, PATH]
    assert store.ranges == [None, f"bytes=100-{SIZE - 1}"]


def test_refusals_and_faults_are_those_of_any_object(
    store: ScriptedStore, objects: CallersObjects
) -> None:
    store.script(always(error_reply(404, "NoSuchKey")))
    with pytest.raises(StoreRefusedError):
        objects.get("key", {})
    store.script(always(error_reply(403, "AccessDenied")))
    with pytest.raises(ArchiveForbiddenError, match=r"^s3://my-bucket/key: "):
        objects.get("key", {})


def test_a_bare_400_of_head_is_told_as_the_urls_credentials_are_s3s_own(
    store: ScriptedStore, objects: CallersObjects
) -> None:
    store.script(always(Reply(400)), times=9)
    with pytest.raises(StoreRefusedError) as error:
        objects.head("key", {})
    assert error.value.status == 400
    assert {request.method for request in store.requests} == {"HEAD"}
    store.script(always(Reply(400)), times=9)
    with pytest.raises(StoreRefusedError):
        objects.check("HeadObject", "key")


OPERATIONS = ("GetObject", "HeadObject", "ListObjects")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_check_passes_where_the_caller_is_answered(
    store: ScriptedStore, objects: CallersObjects, operation: str
) -> None:
    store.script(always(Reply(200, {"ETag": '"v1"'}, b"<ListBucketResult/>")))
    objects.check(operation, "key")
    assert len(store.requests) == 1


@pytest.mark.parametrize("operation", ["GetObject", "HeadObject"])
@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchVersion"])
def test_a_check_passes_where_the_caller_is_told_that_nothing_is_there(
    store: ScriptedStore, objects: CallersObjects, operation: str, code: str
) -> None:
    store.script(always(error_reply(404, code)))
    objects.check(operation, "key")
    assert len(store.requests) == 1


def token_reply(argument: str = "continuation-token", code: str = "InvalidArgument") -> Reply:
    """What S3 answers to a token that is not its own."""
    told = f"<Code>{code}</Code><Message>m</Message><ArgumentName>{argument}</ArgumentName>"
    return Reply(400, {"Content-Type": "application/xml"}, f"<Error>{told}</Error>".encode())


PAGE_2 = "/?list-type=2&prefix=a&continuation-token=ours&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
PAGE_1 = PAGE_2.replace("&continuation-token=ours", "")


def test_a_check_passes_where_only_our_token_is_unknown(store: ScriptedStore) -> None:
    store.script(always(token_reply()))
    CallersObjects("my-bucket", store.url + PAGE_2, {}).check("ListObjects", "")
    CLIENT.close()


@pytest.mark.parametrize(
    ("page", "answer"),
    [
        (PAGE_1, token_reply()),
        (PAGE_2, token_reply("prefix")),
        (PAGE_2, token_reply(code="InvalidRequest")),
        (PAGE_2, error_reply(400, "InvalidArgument")),
        (PAGE_2, error_reply(400, "KeyTooLongError")),
        (PAGE_2, error_reply(404, "NoSuchBucket")),
    ],
)
def test_a_check_of_a_listing_fails_by_any_other_refusal(
    store: ScriptedStore, page: str, answer: Reply
) -> None:
    store.script(always(answer))
    with pytest.raises(StoreRefusedError):
        CallersObjects("my-bucket", store.url + page, {}).check("ListObjects", "")
    CLIENT.close()


REFUSALS = [
    (304, "NotModified"),
    (400, "InvalidArgument"),
    (400, "KeyTooLongError"),
    (403, "InvalidObjectState"),
    (404, "NoSuchBucket"),
    (405, "MethodNotAllowed"),
    (412, "PreconditionFailed"),
    (416, "InvalidRange"),
]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_check_of_an_object_fails_by_what_does_not_say_that_the_caller_may_read_it(
    store: ScriptedStore, objects: CallersObjects, status: int, code: str
) -> None:
    store.script(always(error_reply(status, code)))
    with pytest.raises(StoreRefusedError) as error:
        objects.check("GetObject", "key")
    assert (error.value.status, error.value.code) == (status, code)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [((403, "AccessDenied"), ArchiveForbiddenError), ((503, "SlowDown"), ArchiveThrottledError)],
)
def test_a_check_fails_where_the_caller_is_refused_or_nobody_is_answered(
    store: ScriptedStore,
    objects: CallersObjects,
    operation: str,
    answer: tuple[int, str],
    kind: type[ArchiveAccessError],
) -> None:
    store.script(always(error_reply(*answer)), times=9)
    with pytest.raises(ArchiveAccessError) as error:
        objects.check(operation, "key")
    assert type(error.value) is kind
