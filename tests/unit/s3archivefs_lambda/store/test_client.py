"""The S3 clients: what the environment decides, and what it cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.utils import parse_timestamp

from s3archivefs_lambda.store.client import (
    make_response_client,
    make_s3_client,
    make_upload_client,
)
from s3archivefs_lambda.store.device import S3Device, head_object
from s3archivefs_lambda.store.errors import ArchiveUnavailableError, StoreSettingsError
from s3archivefs_lambda.upload.errors import UploadError, upload_errors
from tests.support.servers.scripted_store import SECRETS, Reply, ScriptedStore, always

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.scripted_store import Change

CONTENT = bytes(range(256))
both_clients = pytest.mark.parametrize("make", [make_s3_client, make_response_client])


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Standard AWS settings that name a region and credentials alone."""
    for name in ("ENDPOINT_URL", "ENDPOINT_URL_S3", "RETRY_MODE", "MAX_ATTEMPTS", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRETS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[1])
    return monkeypatch


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    with ScriptedStore(CONTENT) as running:
        yield running


def settings_of(client: Any) -> Any:  # noqa: ANN401 -- the stubs' Config lacks its attributes
    return client.meta.config


# ---- Settings that cannot be used ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("AWS_PROFILE", "none-such", "none-such"),
        ("AWS_ENDPOINT_URL", "nowhere", "nowhere"),
        ("AWS_REGION", "no region", "no region"),
        ("AWS_RETRY_MODE", "none-such", "none-such"),
        ("AWS_MAX_ATTEMPTS", "many", "many"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_CONFIG_FILE", "no section\n", "config"),
        ("AWS_CONFIG_FILE", "[profile a]\ncredential_process = /none/such\n", "/none/such"),
        (
            "AWS_CONFIG_FILE",
            "[profile a]\ncredential_process = FOLDER/config\n",
            "Exec format error",
        ),
        ("AWS_CONFIG_FILE", "[profile a]\ncredential_process = FOLDER/config/x\n", "config/x"),
        ("AWS_CONFIG_FILE", "[profile a]\ncredential_process = echo []\n", "AttributeError"),
        ("AWS_CONFIG_FILE", "[profile a]\ncredential_process =\n", "IndexError"),
    ],
)
def test_settings_that_cannot_be_used_are_told_in_a_line(
    environ: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, told: str
) -> None:
    if name == "AWS_CONFIG_FILE":
        config = tmp_path / "config"
        config.write_text(value.replace("FOLDER", str(tmp_path)))
        config.chmod(0o700)  # of those that give credentials, one that is no program
        if "credential_process" in value:
            environ.setenv("AWS_PROFILE", "a")
            environ.delenv("AWS_ACCESS_KEY_ID")
        value = str(config)
    environ.setenv(name, value)
    for make in (make_s3_client, partial(make_upload_client, threads=1)):
        with pytest.raises(StoreSettingsError) as raised:
            make()
        said = str(raised.value)
        assert said.startswith("the settings for AWS: ")
        assert told in said
        assert "\n" not in said


# ---- Endpoint and region -------------------------------------------------------------------------


@both_clients
def test_requests_go_to_the_region_of_the_environment(make: Any) -> None:  # noqa: ANN401 -- either maker
    client = make()
    assert client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    assert (settings_of(client).s3 or {}).get("addressing_style") is None
    assert settings_of(client).inject_host_prefix is True


@both_clients
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_a_custom_endpoint_gets_all_requests_in_path_style(
    environ: pytest.MonkeyPatch,
    make: Any,  # noqa: ANN401 -- either maker
    name: str,
) -> None:
    environ.setenv(name, "http://127.0.0.1:9")
    client = make()
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert settings_of(client).s3["addressing_style"] == "path"
    assert settings_of(client).inject_host_prefix is False


@both_clients
def test_an_endpoint_set_to_nothing_is_none(environ: pytest.MonkeyPatch, make: Any) -> None:  # noqa: ANN401 -- either maker
    environ.setenv("AWS_ENDPOINT_URL_S3", "")
    client = make()
    assert client.meta.endpoint_url == "https://s3.eu-west-1.amazonaws.com"
    assert settings_of(client).inject_host_prefix is True


def test_a_bucket_is_named_in_the_path_at_a_custom_endpoint(
    store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    client = make_s3_client()
    assert head_object(client, "bucket.with.dots", "key")["ETag"] == store.etag
    assert store.requests[0].path == "/bucket.with.dots/key"
    client.close()


# ---- Redirects -----------------------------------------------------------------------------------


def redirecting(to: str, **headers: str) -> Change:
    """What answers all requests with a redirect, as far as a script has it do so."""
    return always(Reply(307, {"Location": f"{to}/bucket/key"}).with_headers(**headers))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("region", [{}, {"x_amz_bucket_region": "us-west-2"}])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_store_that_redirects_everything_is_one_error(
    store: ScriptedStore,
    environ: pytest.MonkeyPatch,
    status: int,
    region: dict[str, str],
    *,
    elsewhere: bool,
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    with ScriptedStore(CONTENT) as other:
        redirect = redirecting(other.url if elsewhere else store.url, **region)
        store.script(lambda *both: replace(redirect(*both), status=status), times=1000)
        client = make_s3_client()
        for ask in (
            lambda: S3Device(client, "bucket", "key", etag='"v1"', size=9).pread(0, 9),
            lambda: head_object(client, "bucket", "key"),
        ):
            with pytest.raises(ArchiveUnavailableError) as error:
                ask()
            assert f"status {status}" in str(error.value)
            assert "the store redirects requests, which are not followed" in str(error.value)
            assert len(str(error.value)) < 250
        client.close()
        assert len(store.requests) <= 4
        assert other.requests == []  # nor any credential, then


def test_a_redirected_upload_is_one_error_too(
    store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    with ScriptedStore(CONTENT) as other:
        store.script(redirecting(other.url), times=1000)
        client = make_upload_client(threads=1)
        with pytest.raises(UploadError, match="status 307"), upload_errors("bucket", "key"):
            client.head_bucket(Bucket="bucket")
        client.close()
        assert len(store.requests) == 1
        assert other.requests == []


def test_a_bucket_of_another_region_is_still_found(
    store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    store.script(redirecting(store.url))
    store.script(redirecting(store.url, x_amz_bucket_region="us-west-2"), match="HEAD", times=2)
    client = make_s3_client()
    assert S3Device(client, "bucket", "key", etag=store.etag, size=256).pread(0, 9) == CONTENT[:9]
    client.close()
    assert [request.method for request in store.requests] == ["GET", "HEAD", "HEAD", "GET"]
    assert "us-west-2" in store.requests[-1].headers["authorization"]


# ---- Time-outs, retries, connections -------------------------------------------------------------


def test_time_outs_and_retries_fit_into_a_functions_60_seconds() -> None:
    config = settings_of(make_s3_client())
    assert config.connect_timeout == 2
    assert config.read_timeout == 5
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}
    assert config.tcp_keepalive is True


def test_a_caller_may_pause_for_as_long_as_s3_waits_for_it() -> None:
    config: Any = make_response_client().meta.config
    # urllib3 has the first also for each piece of a body that is sent.
    assert (config.connect_timeout, config.read_timeout) == (60, 60)


def test_retries_are_the_operators_to_change(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("AWS_RETRY_MODE", "adaptive")
    environ.setenv("AWS_MAX_ATTEMPTS", "2")
    retries = settings_of(make_s3_client()).retries
    assert retries == {"mode": "adaptive", "total_max_attempts": 2}


def test_a_whole_objects_checksum_on_a_range_is_not_held_against_it(
    store: ScriptedStore, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    store.script(lambda _, reply: reply.with_headers(x_amz_checksum_crc32="AAAAAA=="))
    client = make_s3_client()
    device = S3Device(client, "bucket", "key", etag=store.etag, size=len(CONTENT))
    assert device.pread(10, 100) == CONTENT[10:110]
    client.close()


# ---- Times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "2015-10-21T07:28:00Z",
        "2015-10-21T07:28:00.000Z",
        "20151021T072800Z",
        "1445412480",
        "Wed, 21 Oct 2015 07:28:00 +0000",
    ],
)
def test_a_time_is_what_botocore_itself_makes_of_it(
    store: ScriptedStore, environ: pytest.MonkeyPatch, text: str
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    client = make_s3_client()
    store.script(lambda _, reply: reply.with_headers(Last_Modified=text))
    found = client.head_object(Bucket="bucket", Key="key")["LastModified"]
    client.close()
    assert found == parse_timestamp(text) == datetime(2015, 10, 21, 7, 28, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "Z", "GMT", "yesterday GMT", "2015-13-21T07:28:00Z"])
def test_what_is_no_time_is_no_answer(
    store: ScriptedStore, environ: pytest.MonkeyPatch, text: str
) -> None:
    environ.setenv("AWS_ENDPOINT_URL_S3", store.url)
    client = make_s3_client()
    store.script(lambda _, reply: reply.with_headers(Last_Modified=text))
    with pytest.raises(ValueError, match="Invalid timestamp"):
        client.head_object(Bucket="bucket", Key="key")
    client.close()
