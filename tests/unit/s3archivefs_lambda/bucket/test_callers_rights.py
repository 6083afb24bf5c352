"""Requests with a URL at which the store answers the caller itself, as Object Lambda's have one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fixtures.tree import file
from s3archivefs_lambda.s3api.listing import encode_token
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from s3archivefs_lambda.store.presigned import CLIENT
from tests.support.adapter.local_archives import ask, content
from tests.support.adapter.memory_store import MemoryStore
from tests.support.adapter.store_buckets import operations_over
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import Reply, ScriptedStore, always, error_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.bucket.operations import Operations

QUERY = "?X-Amz-SignedHeaders=host&X-Amz-Signature=0"
EMPTY_LISTING = Reply(200, {"ETag": '"v"'}, b"<ListBucketResult/>")


@pytest.fixture
def callers() -> Iterator[ScriptedStore]:
    """What answers at the URLs."""
    with ScriptedStore(b"to the caller") as callers:
        yield callers
        CLIENT.close()


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """What the adapter reads with its own rights."""
    image = make_image(tmp_path, (file("x", b"in x"),)).read_bytes()
    return MemoryStore({"a.sqfs": image, "b": b"with rights of its own"})


@pytest.fixture
def operations(store: MemoryStore, tmp_path: Path) -> Operations:
    return operations_over(store.client, tmp_path)


def request(callers: ScriptedStore, key: str = "") -> S3Request:
    return S3Request(key=key, callers_url=f"{callers.url}/{key}{QUERY}")


def refused(operations: Operations, operation: str, asked: S3Request) -> str:
    with pytest.raises(S3Error) as error:
        ask(operations, operation, asked)
    return error.value.code


def test_an_object_is_read_at_the_url_alone(
    callers: ScriptedStore, store: MemoryStore, operations: Operations
) -> None:
    assert content(ask(operations, "GetObject", request(callers, "b"))) == b"to the caller"
    assert ask(operations, "HeadObject", request(callers, "b")).headers["ETag"] == '"v1"'
    assert [each.method for each in callers.requests] == ["GET", "HEAD"]
    assert store.take_counts() == {}
    callers.script(always(error_reply(403, "AccessDenied")))
    assert refused(operations, "GetObject", request(callers, "b")) == "AccessDenied"


def test_a_member_is_read_where_the_url_does_not_refuse_its_key(
    callers: ScriptedStore, operations: Operations
) -> None:
    callers.script(always(error_reply(404, "NoSuchKey")))
    assert content(ask(operations, "GetObject", request(callers, "a.sqfs/x"))) == b"in x"
    assert [each.path for each in callers.requests] == [f"/a.sqfs/x{QUERY}"]
    callers.script(always(error_reply(403, "AccessDenied")))
    assert refused(operations, "GetObject", request(callers, "a.sqfs/x")) == "AccessDenied"
    callers.script(always(error_reply(403, "AccessDenied")))
    assert refused(operations, "HeadObject", request(callers, "a.sqfs/none")) == "AccessDenied"


@pytest.mark.parametrize(
    ("status", "code"), [(400, "KeyTooLongError"), (405, "MethodNotAllowed"), (416, "InvalidRange")]
)
def test_a_member_is_refused_as_the_url_refuses_its_key(
    callers: ScriptedStore, operations: Operations, status: int, code: str
) -> None:
    callers.script(always(error_reply(status, code)))
    answer = operations.answer("GetObject", request(callers, "a.sqfs/x"))
    assert (answer.status, answer.error_code) == (status, code)


def test_a_listing_is_given_where_the_url_gives_one(
    callers: ScriptedStore, operations: Operations
) -> None:
    callers.script(always(EMPTY_LISTING))
    document = content(ask(operations, "ListObjectsV2", request(callers)))
    assert b"<Key>a.sqfs/x</Key>" in document
    assert len(callers.requests) == 1
    callers.script(always(error_reply(403, "AccessDenied")))
    assert refused(operations, "ListObjects", request(callers)) == "AccessDenied"


def test_a_listing_is_refused_as_the_url_refuses_it(
    callers: ScriptedStore, operations: Operations
) -> None:
    callers.script(always(error_reply(400, "InvalidArgument")))
    assert refused(operations, "ListObjectsV2", request(callers)) == "InvalidArgument"


def test_a_page_that_a_token_begins_is_given_where_s3_knows_only_the_token_not(
    callers: ScriptedStore, operations: Operations
) -> None:
    token = encode_token(b"a.sqfs/")
    query = {"list-type": "2", "continuation-token": token}
    url = f"{callers.url}/{QUERY}&continuation-token={token}"
    page_2 = S3Request(query=query, callers_url=url)
    told = b"<Code>InvalidArgument</Code><ArgumentName>continuation-token</ArgumentName>"
    callers.script(always(Reply(400, {}, b"<Error>" + told + b"</Error>")))
    assert b"<Key>a.sqfs/x</Key>" in content(ask(operations, "ListObjectsV2", page_2))
    callers.script(always(error_reply(400, "InvalidArgument")))
    assert refused(operations, "ListObjectsV2", page_2) == "InvalidArgument"


def test_a_part_of_an_object_cannot_be_asked_for_at_the_url(
    callers: ScriptedStore, operations: Operations
) -> None:
    asked = replace(request(callers, "b"), query={"partNumber": "1"})
    assert refused(operations, "GetObject", asked) == "InvalidRequest"
    assert callers.requests == []


def test_the_url_is_not_shown(callers: ScriptedStore) -> None:
    assert "Signature" not in repr(request(callers, "b"))
