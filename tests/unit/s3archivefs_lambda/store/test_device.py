from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from s3archivefs_lambda.store.client import make_s3_client
from s3archivefs_lambda.store.device import S3Device, current_identity
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveCredentialsError,
    ArchiveForbiddenError,
    ArchiveNotFoundError,
    ArchiveReplacedError,
    ArchiveSilentError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
)
from tests.support.adapter.scripted_device import CONTENT, SIZE, device_of
from tests.support.servers.scripted_store import (
    SECRETS,
    Reply,
    Request,
    ScriptedStore,
    always,
    error_reply,
)


def fails(kind: type[ArchiveAccessError], device: S3Device, offset: int = 10) -> str:
    """The message with which reading 100 bytes at `offset` fails, checked to be as all are."""
    with pytest.raises(ArchiveAccessError) as error:
        device.pread(offset, 100)
    assert type(error.value) is kind
    message = str(error.value)
    assert message.startswith("s3://bucket/key: ")
    assert message.endswith(kind.advice)
    assert "\n" not in message
    assert not any(secret in message for secret in (*SECRETS, "Signature"))
    return message


def lost(request: Request, reply: Reply) -> Reply:
    """No answer at all."""
    return Reply(0, cut=0)


# --- pread


def test_a_range_is_read_with_one_pinned_get(store: ScriptedStore) -> None:
    assert device_of(store).pread(1000, 500) == CONTENT[1000:1500]
    (request,) = store.requests
    assert request.method == "GET"
    assert request.path == "/bucket/key"
    assert request.headers["range"] == "bytes=1000-1499"
    assert request.headers["if-match"] == '"v1"'


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (SIZE - 1, 1), (0, SIZE), (17, 2_000_000)])
def test_ranges_of_every_size_are_read_whole(
    store: ScriptedStore, offset: int, length: int
) -> None:
    data = device_of(store).pread(offset, length)
    assert isinstance(data, bytes)
    assert data == CONTENT[offset : offset + length]


def test_an_empty_range_costs_no_request(store: ScriptedStore) -> None:
    assert device_of(store).pread(SIZE, 0) == b""
    assert store.requests == []


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (0, SIZE + 1), (SIZE, 1)])
def test_a_range_outside_the_object_is_the_callers_mistake(
    store: ScriptedStore, offset: int, length: int
) -> None:
    with pytest.raises(ValueError, match="not within"):
        device_of(store).pread(offset, length)
    assert store.requests == []


def test_reads_one_after_another_share_a_connection(store: ScriptedStore) -> None:
    device = device_of(store)
    for offset in range(0, SIZE, 500_000):
        device.pread(offset, 500_000)
    assert len(store.requests) == 6
    assert len(store.connections) == 1


def test_threads_share_a_device(store: ScriptedStore) -> None:
    device = device_of(store)
    with ThreadPoolExecutor(8) as executor:
        pieces = list(executor.map(lambda i: device.pread(i * 100_000, 100_000), range(30)))
    assert b"".join(pieces) == CONTENT


# --- answers that are refused, or not


def test_status_200_with_the_right_content_range_is_accepted(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, status=200))
    assert device_of(store).pread(10, 100) == CONTENT[10:110]


def test_status_200_without_content_range_is_accepted_for_the_whole_object(
    store: ScriptedStore,
) -> None:
    store.script(lambda _, reply: replace(reply, status=200).without("Content-Range"))
    assert device_of(store).pread(0, SIZE) == CONTENT


def test_a_store_that_ignores_ranges_is_refused_without_reading_the_object(
    store: ScriptedStore,
) -> None:
    headers = {"ETag": store.etag, "Content-Length": str(1 << 50)}
    # Returns only because the connection is closed: the store never stops sending.
    store.script(always(Reply(200, headers, bytes(100_000), endless=True)))
    message = fails(ArchiveUnavailableError, device_of(store))
    assert "Range bytes=10-109 with status 200, Content-Range None" in message


@pytest.mark.parametrize(
    "content_range",
    [
        f"bytes 0-99/{SIZE}",
        f"bytes 10-108/{SIZE}",
        f"bytes 10-110/{SIZE}",
        f"bytes 11-109/{SIZE}",
        "bytes 10-109/*",
        f"bytes */{SIZE}",
        f"bytes 10-/{SIZE}",
        f"octets 10-109/{SIZE}",
        "bytes 10-109/" + "9" * 5000,
    ],
)
@pytest.mark.parametrize("status", [200, 206])
def test_another_range_than_the_one_asked_for_is_refused(
    store: ScriptedStore, content_range: str, status: int
) -> None:
    store.script(
        lambda _, reply: replace(reply, status=status).with_headers(Content_Range=content_range)
    )
    assert "Range bytes=10-109 with status" in fails(ArchiveUnavailableError, device_of(store))
    assert len(store.requests) == 1


def test_status_206_without_content_range_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.without("Content-Range"))
    fails(ArchiveUnavailableError, device_of(store))


def test_a_longer_body_than_asked_for_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: replace(reply, body=CONTENT[10:111]))
    assert "and 101 bytes" in fails(ArchiveUnavailableError, device_of(store))


def test_an_answer_without_etag_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.without("ETag"))
    assert "lacks ETag" in fails(ArchiveUnavailableError, device_of(store))


def test_an_answer_with_headers_that_cannot_be_parsed_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.with_headers(Last_Modified="yesterday"))
    with pytest.raises(ArchiveUnavailableError, match="ValueError"):
        current_identity(store.client(), "bucket", "key")


def test_quotes_around_the_etag_do_not_matter(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.with_headers(ETag="v1"))
    assert device_of(store).pread(10, 100) == CONTENT[10:110]


def test_the_next_read_after_a_refused_answer_is_served(store: ScriptedStore) -> None:
    device = device_of(store)
    store.script(lambda _, reply: reply.without("ETag"))
    fails(ArchiveUnavailableError, device)
    assert device.pread(10, 100) == CONTENT[10:110]


# --- replaced objects


def test_a_replaced_object_is_noticed(store: ScriptedStore) -> None:
    device = device_of(store)
    store.etag = '"v2"'
    assert "was replaced (status 412" in fails(ArchiveReplacedError, device)


def test_a_replaced_object_is_noticed_where_the_store_ignores_if_match(
    store: ScriptedStore,
) -> None:
    device = device_of(store)
    store.script(lambda _, reply: reply.with_headers(ETag='"v2"'))
    fails(ArchiveReplacedError, device)


def test_another_size_under_the_same_etag_is_a_replaced_object(store: ScriptedStore) -> None:
    device = device_of(store)
    store.content = CONTENT[:60]  # the range asked for is clipped to 10-59
    fails(ArchiveReplacedError, device)
    assert len(store.requests) == 1


def test_416_inside_the_pinned_size_means_a_replaced_object(store: ScriptedStore) -> None:
    device = device_of(store)
    store.content = CONTENT[:10]
    fails(ArchiveReplacedError, device)


@pytest.mark.parametrize("code", ["NoSuchKey", "NoSuchBucket"])
def test_a_deleted_object_is_noticed_and_is_no_missing_file(
    store: ScriptedStore, code: str
) -> None:
    store.script(always(error_reply(404, code)), times=9)
    assert "no longer there" in fails(ArchiveReplacedError, device_of(store))
    assert not issubclass(ArchiveReplacedError, FileNotFoundError)


# --- errors of the store


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", ArchiveForbiddenError),
        (403, "InvalidObjectState", ArchiveForbiddenError),
        (401, "Unauthorized", ArchiveForbiddenError),
        (400, "ExpiredToken", ArchiveCredentialsError),
        (403, "InvalidAccessKeyId", ArchiveCredentialsError),
        (403, "RequestTimeTooSkewed", ArchiveCredentialsError),
        (503, "SlowDown", ArchiveThrottledError),
        (429, "Whatever", ArchiveThrottledError),
        (503, "ServiceUnavailable", ArchiveUnavailableError),
        (500, "InternalError", ArchiveUnavailableError),
        (400, "BadRequest", ArchiveUnavailableError),
        (301, "PermanentRedirect", ArchiveUnavailableError),
    ],
)
def test_each_error_of_the_store_has_its_class(
    store: ScriptedStore, status: int, code: str, kind: type[ArchiveAccessError]
) -> None:
    store.script(always(error_reply(status, code)), times=9)
    assert f"(status {status}, {code}, request R1)" in fails(kind, device_of(store))


def test_the_status_is_an_attribute(store: ScriptedStore) -> None:
    store.script(always(error_reply(403, "AccessDenied")))
    with pytest.raises(ArchiveForbiddenError) as error:
        device_of(store).pread(0, 1)
    assert error.value.status == 403


def test_an_error_page_that_is_not_s3s_still_has_its_class(store: ScriptedStore) -> None:
    store.script(always(Reply(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway")))
    fails(ArchiveUnavailableError, device_of(store))


def test_no_answer_at_all_is_silence(store: ScriptedStore) -> None:
    store.script(lost)
    assert "ConnectionClosedError" in fails(ArchiveSilentError, device_of(store))


def test_no_answer_in_time_is_silence(store: ScriptedStore) -> None:
    store.script(always(Reply(0, cut=0, ending="stall")))
    assert "ReadTimeoutError" in fails(ArchiveSilentError, device_of(store, read_timeout=0.05))


def test_a_store_that_is_not_there_is_silence() -> None:
    with ScriptedStore(CONTENT) as store:
        device = device_of(store)
    assert "EndpointConnectionError" in fails(ArchiveSilentError, device)


def test_missing_credentials_are_reported_as_such(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
    client = make_s3_client()
    device = S3Device(client, "bucket", "key", etag='"v1"', size=SIZE)
    assert "NoCredentialsError" in fails(ArchiveCredentialsError, device)


def test_a_bug_is_not_taken_for_a_fault_of_the_store() -> None:
    device = S3Device(None, "bucket", "key", etag='"v1"', size=1)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        device.pread(0, 1)


def test_keys_with_control_characters_keep_messages_on_one_line() -> None:
    error = ArchiveNotFoundError.of("bucket", "a\nb\udcff ключ", "gone")
    assert str(error).startswith("$'s3://bucket/a\\x0ab\\xff ключ': gone; ")


# --- current_identity


def test_a_version_asks_by_one_head_whether_it_is_current(store: ScriptedStore) -> None:
    for etag, is_current in (('"v1"', True), ('"v0"', False)):
        device = S3Device(store.client(), "bucket", "key", etag=etag, size=SIZE)
        assert device.is_current() is is_current
    assert [request.method for request in store.requests] == ["HEAD"] * 2


def test_the_current_identity_costs_one_head(store: ScriptedStore) -> None:
    device = S3Device(store.client(), "bucket", "key", etag='"v1"', size=SIZE)
    assert current_identity(store.client(), "bucket", "key") == device.identity
    assert [request.method for request in store.requests] == ["HEAD"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, ArchiveNotFoundError),
        (403, ArchiveForbiddenError),
        (503, ArchiveThrottledError),
        (500, ArchiveUnavailableError),
        (400, ArchiveCredentialsError),
    ],
)
def test_an_error_without_body_has_its_class(
    store: ScriptedStore, status: int, kind: type[ArchiveAccessError]
) -> None:
    store.script(always(Reply(status)))
    with pytest.raises(kind):
        current_identity(store.client(), "bucket", "key")


def test_a_head_without_etag_is_refused(store: ScriptedStore) -> None:
    store.script(lambda _, reply: reply.without("ETag"))
    with pytest.raises(ArchiveUnavailableError):
        current_identity(store.client(), "bucket", "key")
