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


OPERATIONS = ("GetObject", "HeadObject", "ListObjects")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_check_passes_where_the_caller_may_ask_though_nothing_is_there(
    store: ScriptedStore, objects: CallersObjects, operation: str
) -> None:
    store.script(always(error_reply(404, "NoSuchKey")))
    objects.check(operation, "key")
    store.script(always(Reply(200, {"ETag": '"v1"'}, b"<ListBucketResult/>")))
    objects.check(operation, "key")
    assert len(store.requests) == 2


def test_a_check_passes_where_the_caller_may_list_though_not_from_a_token_of_ours(
    store: ScriptedStore, objects: CallersObjects
) -> None:
    store.script(always(error_reply(400, "InvalidArgument")))
    objects.check("ListObjects", "")


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
