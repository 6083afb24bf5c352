"""What botocore prepares, for how long it is sent, and for which clients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs_lambda.store import prepared_gets
from s3archivefs_lambda.store.access import StoreAccess
from s3archivefs_lambda.store.client import make_s3_client, make_unsigned_client
from s3archivefs_lambda.store.prepared_gets import (
    PreparedGet,
    before_send,
    prepare_gets,
    prepared_gets_of,
)
from tests.support.clock import Clock
from tests.support.processes.interrupted import interrupted_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.store.prepared_gets import PreparedGets

TRACE = "_X_AMZN_TRACE_ID"


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return monkeypatch


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(clock: Clock) -> Iterator[S3Client]:
    with closing(make_s3_client()) as made:
        prepare_gets(made, clock=clock)
        yield made


def gets_of(client: S3Client) -> PreparedGets:
    found = prepared_gets_of(client)
    assert found is not None
    return found


def prepared(
    client: S3Client, bucket: str = "bucket", key: str = "key", **more: str
) -> PreparedGet:
    kept: list[PreparedGet] = []
    made = gets_of(client).prepare(
        lambda: None, kept.append, client, Bucket=bucket, Key=key, **more
    )
    assert made is not None
    assert kept == [made]
    return made


def prepares_elsewhere(gets: PreparedGets, client: S3Client) -> bool:
    """Whether another thread may prepare at once."""

    def kept() -> PreparedGet:
        return PreparedGet("", {}, 0, None)

    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(gets.prepare, kept, lambda _: None, client, Bucket="b", Key="k")
        return made.result() is not None


def test_a_prepared_get_is_botocores_but_for_what_names_one_call(client: S3Client) -> None:
    get = prepared(client)
    headers = {name.lower(): value for name, value in get.headers.items()}
    assert get.url == "https://bucket.s3.eu-west-1.amazonaws.com/key"
    assert headers["user-agent"].startswith("Botocore/")
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert signed == "host;x-amz-content-sha256;x-amz-date"
    assert not [name for name in headers if name.startswith("amz-sdk-")]
    assert not headers.keys() & {"range", "if-match"}


@pytest.mark.parametrize(
    ("bucket", "key", "url"),
    [
        ("bucket", "a b/ü+%?#&=~.txt", "/a%20b/%C3%BC%2B%25%3F%23%26%3D~.txt"),
        ("bucket", "x//y/../z/./", "/x//y/../z/./"),
        ("bucket.with.dots", "key", "https://s3.eu-west-1.amazonaws.com/bucket.with.dots/key"),
        (
            "arn:aws:s3:eu-west-1:123456789012:accesspoint/point",
            "key",
            "https://point-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/key",
        ),
    ],
)
def test_buckets_and_keys_are_addressed_as_by_the_client(
    client: S3Client, bucket: str, key: str, url: str
) -> None:
    assert prepared(client, bucket, key).url.endswith(url)


def test_a_version_is_part_of_what_is_prepared(client: S3Client) -> None:
    assert prepared(client, VersionId="v+1").url.endswith("/key?versionId=v%2B1")


def test_session_tokens_are_signed() -> None:
    access = StoreAccess(access_key_id="A", secret_access_key="b", session_token="token")
    with closing(make_s3_client(access=access)) as client:
        get = prepared(client)
    assert get.headers["X-Amz-Security-Token"] == "token"
    assert "x-amz-security-token" in get.headers["Authorization"]


def test_anonymous_requests_are_not_signed() -> None:
    with closing(make_s3_client(access=StoreAccess(is_anonymous=True))) as client:
        assert "authorization" not in {name.lower() for name in prepared(client).headers}


def test_a_prepared_get_shows_no_secret(client: S3Client) -> None:
    assert "AKID" not in f"{prepared(client)!r} {prepared(client)}"


def test_to_prepare_is_to_send_nothing() -> None:
    with closing(make_s3_client(access=StoreAccess(endpoint_url="http://127.0.0.1:9"))) as client:
        assert prepared(client).url == "http://127.0.0.1:9/bucket/key"


# ---- For how long --------------------------------------------------------------------------------


def test_a_prepared_get_is_sent_for_a_minute(client: S3Client, clock: Clock) -> None:
    gets, get = gets_of(client), prepared(client)
    clock.now += 59
    assert gets.is_fresh(get)
    clock.now += 1
    assert not gets.is_fresh(get)


def test_a_clock_that_is_set_back_makes_it_stale(client: S3Client, clock: Clock) -> None:
    gets, get = gets_of(client), prepared(client)
    gets.note_failure()
    clock.now -= 1
    assert not gets.is_fresh(get)
    assert not gets.are_resting


def test_another_invocation_of_a_function_has_its_own(
    client: S3Client, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    environ.setenv(TRACE, "Root=1-2-3")
    gets, get = gets_of(client), prepared(client)
    assert get.headers["X-Amzn-Trace-Id"] == "Root=1-2-3"
    assert gets.is_fresh(get)
    environ.setenv(TRACE, "Root=4-5-6")
    assert not gets.is_fresh(get)


def test_what_another_thread_prepared_meanwhile_is_taken(client: S3Client) -> None:
    get, kept = prepared(client), list[PreparedGet]()
    gets = gets_of(client)
    assert gets.prepare(lambda: get, kept.append, client, Bucket="other", Key="key") is get
    assert kept == []


def test_what_is_prepared_is_kept_before_another_thread_looks(client: S3Client) -> None:
    gets, seen = gets_of(client), list[bool]()

    def keep(_: PreparedGet) -> None:
        seen.append(prepares_elsewhere(gets, client))

    gets.prepare(lambda: None, keep, client, Bucket="bucket", Key="key")
    assert seen == [False]
    assert prepares_elsewhere(gets, client)


def test_an_interruption_lets_others_prepare_and_the_thread_send(
    client: S3Client, environ: pytest.MonkeyPatch
) -> None:
    gets, kept = gets_of(client), list[PreparedGet]()
    get_object, answers = client.get_object, list[object]()
    # Kept, as an interruption where an answer is freed would be lost.
    environ.setattr(client, "get_object", lambda **asked: answers.append(get_object(**asked)))
    act = partial(gets.prepare, lambda: None, kept.append, client, Bucket="bucket", Key="key")
    for event in count(1):
        was_interrupted = interrupted_at(event, act, prepared_gets)
        assert prepares_elsewhere(gets, client)
        assert before_send(None, "before-send.s3.GetObject") is None
        if not was_interrupted:
            break
    assert event > 15


def test_failures_bring_ever_longer_rests_until_one_succeeds(
    client: S3Client, clock: Clock
) -> None:
    gets = gets_of(client)
    rests = []
    for _ in range(8):
        gets.note_failure()
        rest = 0
        while gets.are_resting:
            rest += 1
            clock.now += 1
        rests.append(rest)
    assert rests == [2, 4, 8, 16, 32, 64, 64, 64]
    gets.note_failure()
    assert gets.are_resting
    gets.note_success()
    assert not gets.are_resting


def test_any_number_of_failures_brings_a_rest_that_ends(client: S3Client, clock: Clock) -> None:
    gets = gets_of(client)
    for _ in range(2000):
        gets.note_failure()
        assert gets.are_resting
        clock.now += 64
        assert not gets.are_resting


# ---- For which clients ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("RETRY_MODE", "adaptive"), ("MAX_ATTEMPTS", "1")])
def test_retries_that_count_each_attempt_keep_requests_with_the_client(
    environ: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environ.setenv(f"AWS_{name}", value)
    with closing(make_s3_client()) as client:
        assert prepared_gets_of(client) is None


def test_the_client_of_presigned_urls_has_none() -> None:
    with closing(make_unsigned_client()) as client:
        assert prepared_gets_of(client) is None


def test_anything_but_our_clients_has_none() -> None:
    class Anything:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- anything
            return self

    anything: Any = Anything()
    assert prepared_gets_of(anything) is None
