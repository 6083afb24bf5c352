"""Opening an object: both its ends in one round trip, whatever the store can do."""

from __future__ import annotations

import base64
import logging
import threading
from dataclasses import replace

import pytest

from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
)
from s3archivefs_lambda.store.opening import OpenedObject, open_object
from tests.support.adapter.scripted_device import CONTENT, SIZE
from tests.support.servers.scripted_store import (
    Reply,
    Request,
    ScriptedStore,
    always,
    error_reply,
)


def opened(
    store: ScriptedStore, tail_bytes: int = 1000, *, expect_superblock: bool = False
) -> OpenedObject:
    return open_object(
        store.client(), "bucket", "key", tail_bytes=tail_bytes, expect_superblock=expect_superblock
    )


def test_opening_reads_both_ends_at_once(store: ScriptedStore) -> None:
    both_in_flight = threading.Barrier(2, timeout=30)

    def meet(_request: Request, reply: Reply) -> Reply:
        both_in_flight.wait()
        return reply

    store.script(meet, times=2)
    result = opened(store)
    assert sorted(store.ranges, key=str) == ["bytes=-1000", "bytes=0-95"]
    assert result.head == CONTENT[:96]
    assert result.tail == CONTENT[-1000:]
    assert result.superblock() == CONTENT[:96]
    assert (result.device.etag, result.device.size) == ('"v1"', SIZE)


def test_an_opened_device_is_pinned_to_the_version_opened(store: ScriptedStore) -> None:
    device = opened(store).device
    assert device.pread(10, 100) == CONTENT[10:110]
    store.etag = '"v2"'
    with pytest.raises(ArchiveReplacedError):
        device.pread(10, 100)


def superblock_metadata(data: bytes = CONTENT[:96]) -> dict[str, str]:
    return {"s3archivefs-superblock": base64.b64encode(data).decode()}


def test_opening_costs_one_request_where_the_metadata_has_the_superblock(
    store: ScriptedStore,
) -> None:
    store.metadata = superblock_metadata()
    result = opened(store, expect_superblock=True)
    assert store.ranges == ["bytes=-1000"]
    assert result.superblock() == CONTENT[:96]
    assert result.head == b""


def test_metadata_that_is_another_archives_is_not_counted_on_the_next_time(
    store: ScriptedStore,
) -> None:
    store.metadata = superblock_metadata(b"x" * 96)
    result = opened(store)
    assert result.superblock() == CONTENT[:96]
    assert not result.has_superblock
    store.metadata = superblock_metadata()
    assert opened(store).has_superblock


def test_an_object_that_is_no_image_has_no_superblock_whatever_its_metadata_says() -> None:
    with ScriptedStore(b"short") as store:
        store.metadata = superblock_metadata()
        assert opened(store, expect_superblock=True).superblock() is None


def test_a_missing_superblock_is_fetched_after_all(store: ScriptedStore) -> None:
    result = opened(store, expect_superblock=True)
    assert store.ranges == ["bytes=-1000", "bytes=0-95"]
    assert store.requests[1].headers["if-match"] == '"v1"'
    assert result.superblock() == CONTENT[:96]


@pytest.mark.parametrize(
    ("length", "fits"),
    [(9000, True), (9001, True), (12288, True), (8999, False), (12289, False), (20480, False)],
)
def test_a_superblock_of_an_image_of_another_length_is_not_counted_on(
    store: ScriptedStore, length: int, *, fits: bool
) -> None:
    former = b"hsqs" + CONTENT[4:40] + (9000).to_bytes(8, "little") + CONTENT[48:96]
    now = bytearray(former)
    now[8] ^= 1  # the time that it was made
    store.content = bytes(now) + bytes(length - 96)
    store.metadata = superblock_metadata(former)
    result = opened(store, expect_superblock=True)
    assert store.ranges == ["bytes=-1000", "bytes=0-95"][: 1 if fits else 2]
    assert result.superblock() == (former if fits else now)
    assert result.has_superblock == fits


def test_names_of_metadata_are_lower_case_whatever_the_store_returns(store: ScriptedStore) -> None:
    store.metadata = {"S3archivefs-Superblock": superblock_metadata().popitem()[1], "OTHER": "x"}
    result = opened(store, expect_superblock=True)
    assert result.metadata["other"] == "x"
    assert len(store.requests) == 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "not base64!",
        base64.b64encode(CONTENT[:95]).decode(),
        base64.b64encode(CONTENT[:97]).decode(),
        base64.b64encode(CONTENT[:96]).decode()[:-1] + "é",
    ],
)
@pytest.mark.parametrize("expect_superblock", [False, True])
def test_a_malformed_superblock_in_the_metadata_is_ignored_with_one_warning(
    store: ScriptedStore, caplog: pytest.LogCaptureFixture, value: str, *, expect_superblock: bool
) -> None:
    store.metadata = {"s3archivefs-superblock": value}
    result = opened(store, expect_superblock=expect_superblock)
    assert result.superblock() == CONTENT[:96]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "s3://bucket/key" in record.getMessage()


def test_the_objects_own_bytes_win_over_metadata_of_another_object(
    store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.metadata = superblock_metadata(bytes(96))
    assert opened(store).superblock() == CONTENT[:96]
    assert len(caplog.records) == 1


def test_a_right_superblock_in_the_metadata_is_no_cause_for_a_warning(
    store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.metadata = superblock_metadata()
    opened(store)
    opened(store, expect_superblock=True)
    assert caplog.records == []


@pytest.mark.parametrize("expect_superblock", [False, True])
@pytest.mark.parametrize("size", [1, 95, 96, 999, 1000])
def test_an_object_no_longer_than_the_tail_needs_no_head(
    store: ScriptedStore, size: int, *, expect_superblock: bool
) -> None:
    store.content = CONTENT[:size]
    store.script(always(error_reply(500, "InternalError")), match="bytes=0-95")
    result = opened(store, expect_superblock=expect_superblock)
    assert result.tail == CONTENT[:size]
    assert result.head == CONTENT[: min(size, 96)]
    assert result.superblock() == (CONTENT[:96] if size >= 96 else None)


@pytest.mark.parametrize("expect_superblock", [False, True])
@pytest.mark.parametrize("status", [200, 416])
def test_an_empty_object_opens_empty(
    store: ScriptedStore, status: int, *, expect_superblock: bool
) -> None:
    store.content = b""
    if status == 200:  # as Swift and moto answer
        store.script(always(Reply(200, {"ETag": '"v1"'})), match="GET", times=2)
    result = opened(store, expect_superblock=expect_superblock)
    assert (result.head, result.tail, result.device.size) == (b"", b"", 0)
    assert result.superblock() is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidArgument"),
        (400, "400"),  # as where there is no body
        (416, "InvalidRange"),
        (501, "NotImplemented"),
    ],
)
def test_a_store_without_suffix_ranges_gets_a_head_and_ordinary_ranges(
    store: ScriptedStore, status: int, code: str
) -> None:
    store.script(always(error_reply(status, code)), match="bytes=-", times=9)
    store.metadata = superblock_metadata()
    result = opened(store, expect_superblock=True)
    methods = [(request.method, request.range) for request in store.requests]
    assert methods == [
        ("GET", "bytes=-1000"),
        ("HEAD", None),
        ("GET", f"bytes={SIZE - 1000}-{SIZE - 1}"),
    ]
    assert result.tail == CONTENT[-1000:]
    assert result.superblock() == CONTENT[:96]
    assert opened(store).head == CONTENT[:96]


def test_a_store_that_ignores_suffix_ranges_is_refused(store: ScriptedStore) -> None:
    store.script(
        lambda _, reply: replace(reply, status=200, body=CONTENT).without("Content-Range"),
        match="bytes=-",
    )
    with pytest.raises(ArchiveUnavailableError, match="Range bytes=-1000 with status 200"):
        opened(store)


def test_expired_credentials_are_no_reason_to_try_without_suffix(store: ScriptedStore) -> None:
    store.script(always(error_reply(400, "ExpiredToken")), times=9)
    with pytest.raises(ArchiveForbiddenError):
        opened(store, expect_superblock=True)
    assert len(store.requests) == 1


def test_an_object_that_get_and_head_refuse_is_told_by_the_code_of_get(
    store: ScriptedStore,
) -> None:
    store.script(always(error_reply(400, "InvalidRequest")), times=9)  # as with a customer's key
    store.script(always(Reply(400)), match="HEAD", times=9)
    with pytest.raises(ArchiveUnavailableError, match=r"\(status 400, InvalidRequest, "):
        opened(store, expect_superblock=True)


def test_an_object_that_get_and_head_refuse_without_a_word_may_lack_credentials(
    store: ScriptedStore,
) -> None:
    store.script(always(Reply(400)), times=9)
    with pytest.raises(ArchiveCredentialsError):
        opened(store, expect_superblock=True)


@pytest.mark.parametrize("expect_superblock", [False, True])
def test_an_object_replaced_while_being_opened_is_opened_again(
    store: ScriptedStore, *, expect_superblock: bool
) -> None:
    store.script(lambda _, reply: reply.with_headers(ETag='"v0"'), match="bytes=-")
    result = opened(store, expect_superblock=expect_superblock)
    assert result.device.etag == '"v1"'
    assert len(store.requests) == 4


@pytest.mark.parametrize("expect_superblock", [False, True])
def test_an_object_that_never_stays_the_same_is_not_opened(
    store: ScriptedStore, *, expect_superblock: bool
) -> None:
    store.script(lambda _, reply: reply.with_headers(ETag='"v0"'), match="bytes=-", times=9)
    with pytest.raises(ArchiveReplacedError):
        opened(store, expect_superblock=expect_superblock)
    assert len(store.requests) == 4


def test_a_broken_tail_is_resumed_and_pinned(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, cut=400), match="bytes=-")
    assert opened(store, expect_superblock=True).tail == CONTENT[-1000:]
    assert store.ranges[:2] == ["bytes=-1000", f"bytes={SIZE - 600}-{SIZE - 1}"]
    assert store.requests[1].headers["if-match"] == '"v1"'


def test_both_ends_of_an_object_without_etag_are_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.without("ETag"), times=9)
    with pytest.raises(ArchiveUnavailableError, match="lacks ETag"):
        opened(store)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", ArchiveNotFoundError),
        (403, "AccessDenied", ArchiveForbiddenError),
        (503, "SlowDown", ArchiveThrottledError),
    ],
)
def test_an_object_that_cannot_be_opened_says_why(
    store: ScriptedStore, status: int, code: str, kind: type[ArchiveAccessError]
) -> None:
    store.script(always(error_reply(status, code)), times=9)
    with pytest.raises(kind):
        opened(store)
