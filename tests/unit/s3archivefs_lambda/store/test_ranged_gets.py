"""Reads by prepared GETs: the bytes and errors of the client's own way, whatever befalls them."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda import accounting
from s3archivefs_lambda.accounting import Usage
from s3archivefs_lambda.store.access import StoreAccess
from s3archivefs_lambda.store.client import make_s3_client
from s3archivefs_lambda.store.device import S3Device
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveReplacedError,
    ArchiveUnavailableError,
)
from s3archivefs_lambda.store.opening import open_object
from s3archivefs_lambda.store.prepared_gets import PreparedGets, prepare_gets
from s3archivefs_lambda.store.process_client import process_client
from tests.support.adapter.scripted_device import CONTENT, SIZE
from tests.support.clock import Clock
from tests.support.servers.scripted_store import (
    SECRETS,
    Reply,
    Request,
    ScriptedStore,
    always,
    error_reply,
)
from tests.support.servers.tls import authority, install, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.scripted_store import Change


@pytest.fixture(autouse=True)
def environ(store: ScriptedStore, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
    for name, secret in zip(
        ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"), SECRETS, strict=True
    ):
        monkeypatch.setenv(f"AWS_{name}", secret)
    return monkeypatch


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(environ: pytest.MonkeyPatch, clock: Clock) -> Iterator[S3Client]:
    with closing(make_s3_client()) as made:
        prepare_gets(made, clock=clock)
        yield made


@pytest.fixture
def device(client: S3Client, store: ScriptedStore) -> S3Device:
    """A device that has read already, so that its next GET is prepared."""
    return warm(client, store)


def warm(client: S3Client, store: ScriptedStore, version_id: str | None = None) -> S3Device:
    device = device_of(client, version_id)
    assert device.pread(0, 10) == CONTENT[:10]
    store.requests.clear()
    return device


def device_of(client: S3Client, version_id: str | None = None) -> S3Device:
    return S3Device(client, "bucket", "key", etag='"v1"', size=SIZE, version_id=version_id)


def calls(client: S3Client) -> list[str]:
    """From now on, an item for each GetObject that goes through botocore."""
    made: list[str] = []
    client.meta.events.register("before-call.s3.GetObject", lambda **_: made.append("call"))
    return made


def is_prepared(request: Request) -> bool:
    return "amz-sdk-invocation-id" not in request.headers


def ways(store: ScriptedStore) -> list[str]:
    return ["prepared" if is_prepared(request) else "client" for request in store.requests]


def only_prepared(change: Change) -> Change:
    """Let a change befall prepared GETs alone."""
    return lambda request, reply: change(request, reply) if is_prepared(request) else reply


# ---- As it should be -----------------------------------------------------------------------------


def test_the_first_range_is_the_clients_and_the_next_ones_share_a_signature(
    client: S3Client, store: ScriptedStore
) -> None:
    made = calls(client)
    device = device_of(client)
    for offset in (0, 1000, 2_999_990):
        assert device.pread(offset, 10) == CONTENT[offset : offset + 10]
    assert ways(store) == ["client", "prepared", "prepared"]
    assert store.ranges == ["bytes=0-9", "bytes=1000-1009", "bytes=2999990-2999999"]
    assert {request.headers["if-match"] for request in store.requests} == {'"v1"'}
    assert len({request.headers["authorization"] for request in store.requests[1:]}) == 1
    assert len({request.headers["user-agent"] for request in store.requests}) == 1
    assert len(made) == 2
    assert len(store.connections) == 1


def test_an_object_that_the_client_opened_is_read_by_prepared_gets(
    client: S3Client, store: ScriptedStore
) -> None:
    opened = open_object(client, "bucket", "key", tail_bytes=100)
    opened.device.pread(5, 5)
    assert sorted(ways(store)) == ["client", "client", "prepared"]


def test_whether_a_version_may_be_asked_for_is_not_known_from_opening(
    client: S3Client, store: ScriptedStore
) -> None:
    store.script(lambda _, reply: reply.with_headers(x_amz_version_id="v7"), times=9)
    opened = open_object(client, "bucket", "key", tail_bytes=100)
    for _ in range(2):
        opened.device.pread(5, 5)
    assert ways(store)[2:] == ["client", "prepared"]
    assert store.requests[-1].path == "/bucket/key?versionId=v7"


def test_a_new_one_is_prepared_when_its_time_is_over(
    client: S3Client, device: S3Device, store: ScriptedStore, clock: Clock
) -> None:
    made = calls(client)
    for _ in range(4):
        device.pread(5, 5)
        clock.now += 40
    assert ways(store) == ["prepared"] * 4
    assert len(made) == 2


def test_requests_are_counted_and_preparations_are_not(
    client: S3Client, store: ScriptedStore
) -> None:
    device, usage = device_of(client), Usage()
    with accounting.request_scope(usage):
        for offset in range(5):
            device.pread(offset, 100)
    assert (usage.figures["s3_requests"], usage.figures["s3_bytes"]) == (5, 500)
    assert len(store.requests) == 5


def test_a_version_is_asked_for_until_that_is_forbidden(
    client: S3Client, store: ScriptedStore
) -> None:
    device = warm(client, store, "v7")
    device.pread(5, 5)
    assert ways(store) == ["prepared"]
    assert store.requests[0].path == "/bucket/key?versionId=v7"

    def refused(request: Request, reply: Reply) -> Reply:
        return error_reply(403, "AccessDenied") if "versionId" in request.path else reply

    store.script(refused, times=100)
    assert device.pread(5, 5) == CONTENT[5:10]
    assert ways(store) == ["prepared", "prepared", "client", "client"]
    assert store.requests[-1].path == "/bucket/key"


def test_many_threads_share_one_preparation(client: S3Client, device: S3Device) -> None:
    made = calls(client)
    with ThreadPoolExecutor(32) as executor:
        offsets = range(0, 320_000, 1000)
        read = [*executor.map(lambda offset: device.pread(offset, 1000), offsets)]
    assert b"".join(read) == CONTENT[:320_000]
    assert len(made) == 1


def test_a_thread_that_waited_in_vain_leaves_what_another_prepared(
    client: S3Client, device: S3Device, store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    made, prepare = calls(client), PreparedGets.prepare

    def wait_in_vain(*_: object, **__: object) -> None:
        environ.setattr(PreparedGets, "prepare", prepare)
        device.pread(0, 5)  # the other thread's

    environ.setattr(PreparedGets, "prepare", wait_in_vain)
    for offset in (5, 10):
        device.pread(offset, 5)
    assert ways(store) == ["prepared", "client", "prepared"]
    assert len(made) == 2


def test_what_stands_for_a_client_sends_prepared_gets_too(store: ScriptedStore) -> None:
    client = process_client(make_s3_client)
    warm(client, store).pread(5, 5)
    client.close()
    assert ways(store) == ["prepared"]


def test_a_client_that_cannot_be_made_in_a_child_is_an_error_of_access(
    environ: pytest.MonkeyPatch,
) -> None:
    device = device_of(process_client(make_s3_client))
    device.note_answer()  # of its parent's client
    environ.setenv("AWS_PROFILE", "none-such")
    with pytest.raises(ArchiveAccessError, match="StoreSettingsError"):
        device.pread(5, 5)


def test_the_log_has_no_signature(
    device: S3Device, store: ScriptedStore, caplog: pytest.LogCaptureFixture
) -> None:
    device.pread(0, 5)  # botocore itself logs what it signs
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "s3archivefs")  # where the function was imported, it is higher
    device.pread(5, 5)
    store.script(only_prepared(always(error_reply(403, "AccessDenied"))))
    logging.getLogger("botocore").setLevel(logging.INFO)
    try:
        device.pread(5, 5)
    finally:
        logging.getLogger("botocore").setLevel(logging.NOTSET)
    assert ways(store) == ["prepared"] * 3 + ["client"]
    assert "a prepared GET failed: status 403" in caplog.text
    signature = store.requests[0].headers["authorization"].rpartition("=")[2]
    assert not any(secret in caplog.text for secret in (signature, *SECRETS))


# ---- Faults --------------------------------------------------------------------------------------


FAULTS: dict[str, Change] = {
    "the whole object": always(Reply(200, {"ETag": '"v1"'}, CONTENT)),
    "the range as 200": lambda _, reply: replace(reply, status=200),
    "another range": lambda _, reply: reply.with_headers(
        Content_Range=f"bytes 11-110/{SIZE}",
    ),
    "another size": lambda _, reply: reply.with_headers(Content_Range="bytes 10-109/110"),
    "no range": lambda _, reply: reply.without("Content-Range"),
    "another version": lambda _, reply: reply.with_headers(ETag='"v2"'),
    "no version": lambda _, reply: reply.without("ETag"),
    "a coding": lambda _, reply: reply.with_headers(Content_Encoding="gzip"),
    "chunks": lambda _, reply: replace(
        reply.with_headers(Transfer_Encoding="chunked"), body=b"64\r\n" + reply.body + b"\r\n0\r\n"
    ),
    "more bytes": lambda _, reply: replace(reply, body=reply.body + b"more"),
    "no answer": always(Reply(0, cut=0)),
    "a reset": always(Reply(0, cut=0, ending="reset")),
    "noise": always(Reply(206, {"\x00\r\n\x01": "\x02"}, b"\xff", cut=1)),
} | {
    str(status): always(error_reply(status, code))
    for status, code in [
        (301, "PermanentRedirect"),
        (307, "TemporaryRedirect"),
        (400, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (404, "NoSuchKey"),
        (412, "PreconditionFailed"),
        (416, "InvalidRange"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ]
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_other_answer_the_client_asks(
    client: S3Client, device: S3Device, store: ScriptedStore, clock: Clock, fault: str
) -> None:
    store.script(only_prepared(FAULTS[fault]))
    made = calls(client)
    assert device.pread(10, 100) == CONTENT[10:110]
    assert ways(store) == ["prepared", "client"]
    clock.now += 3
    assert device.pread(10, 100) == CONTENT[10:110]
    assert ways(store)[2:] == ["prepared"]
    assert len(made) == 3  # as the first one is not used again


@pytest.mark.parametrize("fault", ["the range as 200", "403", "a reset"])
def test_a_store_that_takes_none_gets_few_in_vain(
    device: S3Device, store: ScriptedStore, clock: Clock, fault: str
) -> None:
    store.script(only_prepared(FAULTS[fault]), times=1000)
    for _ in range(26):
        assert device.pread(10, 100) == CONTENT[10:110]
        clock.now += 8
    assert Counter(ways(store)) == {"client": 26, "prepared": 8}


def test_other_objects_wait_until_the_store_takes_prepared_gets_again(
    client: S3Client, device: S3Device, store: ScriptedStore, clock: Clock
) -> None:
    store.script(only_prepared(FAULTS["503"]))
    device.pread(10, 100)
    other = warm(client, store)
    other.pread(10, 100)
    clock.now += 3
    other.pread(10, 100)
    assert ways(store) == ["client", "prepared"]


def test_reads_that_fail_together_bring_one_short_rest(
    client: S3Client, device: S3Device, store: ScriptedStore, clock: Clock
) -> None:
    device.pread(10, 100)
    in_flight = Barrier(32)

    def fail_together(request: Request, reply: Reply) -> Reply:
        in_flight.wait(60)
        return FAULTS["503"](request, reply)

    store.script(only_prepared(fail_together), times=64)  # each of the 32, and the client's own
    with ThreadPoolExecutor(32) as executor:
        read = [*executor.map(lambda _: device.pread(10, 100), range(32))]
    assert read == [CONTENT[10:110]] * 32
    store.requests.clear()
    clock.now += 3
    device.pread(10, 100)
    assert ways(store) == ["prepared"]


def test_one_that_is_gone_is_no_reason_for_others_to_wait(
    client: S3Client, device: S3Device, store: ScriptedStore
) -> None:
    store.script(FAULTS["404"], times=2)
    with pytest.raises(ArchiveReplacedError):
        device.pread(10, 100)
    warm(client, store).pread(10, 100)
    assert ways(store) == ["prepared"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ExpiredToken", "ArchiveCredentialsError"),
        (403, "AccessDenied", "ArchiveForbiddenError"),
        (412, "PreconditionFailed", "ArchiveReplacedError"),
        (503, "SlowDown", "ArchiveThrottledError"),
        (501, "NotImplemented", "ArchiveUnavailableError"),
    ],
)
def test_errors_are_those_of_the_client(
    device: S3Device, store: ScriptedStore, status: int, code: str, kind: str
) -> None:
    store.script(always(error_reply(status, code)), times=1000)
    with pytest.raises(ArchiveAccessError) as error:
        device.pread(10, 100)
    assert type(error.value).__name__ == kind
    assert f"status {status}, {code}, request R1" in str(error.value)
    assert ways(store) == ["prepared"] + ["client"] * (5 if status == 503 else 1)


def test_a_throttled_request_is_repeated_after_a_pause(
    device: S3Device, store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []
    environ.setattr(
        "s3archivefs_lambda.store.ranged_gets.time.sleep",
        lambda _: pauses.append(len(store.requests)),
    )
    store.script(FAULTS["503"])
    device.pread(10, 100)
    assert pauses == [1]
    assert ways(store) == ["prepared", "client"]


def test_a_replaced_object_is_noticed(device: S3Device, store: ScriptedStore) -> None:
    device.pread(10, 100)
    store.etag = '"v2"'
    with pytest.raises(ArchiveReplacedError):
        device.pread(10, 100)


def test_a_body_that_breaks_off_is_resumed_by_the_client(
    device: S3Device, store: ScriptedStore
) -> None:
    store.script(lambda _, reply: replace(reply, cut=60))
    assert device.pread(10, 100) == CONTENT[10:110]
    assert store.ranges == ["bytes=10-109", "bytes=70-109"]
    assert ways(store) == ["prepared", "client"]


def test_a_silent_store_costs_one_more_time_out_at_most(
    store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_MAX_ATTEMPTS", "2")
    store.script(always(Reply(0, cut=0, ending="stall")), times=1000)
    usage = Usage()
    with closing(make_s3_client(read_timeout=0.1)) as client, accounting.request_scope(usage):
        made = calls(client)
        device = device_of(client)
        device.note_answer()
        with pytest.raises(ArchiveUnavailableError):
            device.pread(10, 100)
    assert usage.figures["s3_requests"] == 3
    assert len(made) == 2  # a preparation, and the client's own way with its two attempts


# ---- Credentials, proxies, certificates ----------------------------------------------------------


def test_retired_credentials_are_renewed(
    store: ScriptedStore, environ: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        environ.delenv(f"AWS_{name}")
    given = tmp_path / "credentials.json"
    source = tmp_path / "source.py"
    source.write_text(f"print(open({str(given)!r}).read())")
    config = tmp_path / "config"
    config.write_text(f"[default]\ncredential_process = {sys.executable} {source}\n")
    environ.setenv("AWS_CONFIG_FILE", str(config))
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()  # so botocore asks each time

    def give(key: str) -> None:
        record = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", "Expiration": soon}
        given.write_text(json.dumps(record))

    def refuse_retired(request: Request, reply: Reply) -> Reply:
        is_retired = "Credential=OLD/" in request.headers["authorization"]
        return error_reply(403, "InvalidAccessKeyId") if is_retired else reply

    give("OLD")
    with closing(make_s3_client()) as client:
        prepare_gets(client, clock=clock)
        device = warm(client, store)
        device.pread(5, 5)
        give("NEW")
        store.script(refuse_retired, times=1000)
        for _ in range(3):
            assert device.pread(5, 5) == CONTENT[5:10]
            clock.now += 3
    assert ways(store) == ["prepared", "prepared", "client", "prepared", "prepared"]
    used = [
        request.headers["authorization"].partition("Credential=")[2][:3]
        for request in store.requests
    ]
    assert used == ["OLD", "OLD", "NEW", "NEW", "NEW"]


def test_a_proxy_of_the_environment_is_used_unless_that_makes_an_exception(
    store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", "http://store.invalid")
    environ.setenv("HTTP_PROXY", store.url.replace("http://", "http://user:secret@"))
    with closing(make_s3_client()) as client:
        warm(client, store).pread(5, 5)
    assert ways(store) == ["prepared"]
    assert store.requests[0].path == "http://store.invalid/bucket/key"
    assert store.requests[0].headers["proxy-authorization"].startswith("Basic ")
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    environ.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    environ.setenv("NO_PROXY", "127.0.0.1")
    with closing(make_s3_client()) as client:
        warm(client, store).pread(5, 5)
    assert ways(store) == ["prepared"]
    assert store.requests[0].path == "/bucket/key"


def verified_by_the_environment(environ: pytest.MonkeyPatch, file: str) -> S3Client:
    environ.setenv("AWS_CA_BUNDLE", file)
    return make_s3_client()


def verified_by_access(_: pytest.MonkeyPatch, file: str) -> S3Client:
    return make_s3_client(access=StoreAccess(verify=file))


@pytest.mark.parametrize("make", [verified_by_the_environment, verified_by_access])
def test_certificates_are_held_against_the_authorities_that_are_set(
    environ: pytest.MonkeyPatch,
    tmp_path: Path,
    make: Callable[[pytest.MonkeyPatch, str], S3Client],
) -> None:
    with ScriptedStore(CONTENT, tls=serving(*install("one", tmp_path))) as store:
        environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
        with closing(make(environ, str(authority("one")))) as client:
            warm(client, store).pread(5, 5)
            # A new connection is judged as the first was.
            store.script(lambda _, reply: replace(reply, cut=5))
            device = warm(client, store)
            device.pread(5, 5)
            device.pread(5, 5)
        assert ways(store) == ["prepared", "prepared"]
