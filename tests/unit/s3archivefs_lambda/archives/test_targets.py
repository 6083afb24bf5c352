"""Archives for fsspec: in S3, reached as s3fs would reach it, and by chunks of other devices."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import SquashFS, Superblock
from s3archivefs_lambda.archives.targets import by_chunks, find_in_s3
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.store.errors import ArchiveReplacedError
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3archivefs_lambda.archives.targets import S3Target

MIB = 1 << 20
CONTENT = noise(5 * MIB)
KEYS = {"key": "AKIAGIVEN", "secret": "given-secret"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = (file("large", CONTENT), *(file(f"{number:05}", b"") for number in range(3000)))
    return make_image(tmp_path_factory.mktemp("targets"), tree).read_bytes()


@pytest.fixture
def store(image: bytes) -> Iterator[ScriptedStore]:
    with ScriptedStore(image) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_DIR", str(tmp_path))


def found(url: str, **options: Any) -> S3Target:  # noqa: ANN401 -- s3fs's
    target = find_in_s3(url, options)
    assert target is not None
    return target


def signed_by(store: ScriptedStore) -> set[str | None]:
    """Key ids, regions and session tokens of the requests."""
    named = set()
    for request in store.requests:
        credential = request.headers.get("authorization", "").partition("Credential=")[2]
        key_id, _, scope = credential.partition("/")
        named |= {key_id, *scope.split("/")[1:2], request.headers.get("x-amz-security-token")}
    return named - {None, ""}


# ---- In S3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "signed"),
    [
        (KEYS, {"AKIAGIVEN", "us-east-1"}),
        ({"username": "AKIAGIVEN", "password": "p"}, {"AKIAGIVEN", "us-east-1"}),
        ({**KEYS, "token": "session"}, {"AKIAGIVEN", "us-east-1", "session"}),
        ({**KEYS, "client_kwargs": {"region_name": "eu-west-1"}}, {"AKIAGIVEN", "eu-west-1"}),
        (
            {
                "client_kwargs": {
                    "aws_access_key_id": "AKIAGIVEN",
                    "aws_secret_access_key": "s",
                    "aws_session_token": "session",
                }
            },
            {"AKIAGIVEN", "us-east-1", "session"},
        ),
        ({**KEYS, "anon": False, "max_concurrency": 20}, {"AKIAGIVEN", "us-east-1"}),
        ({"anon": True}, set()),
    ],
)
def test_options_of_s3fs_decide_how_the_store_is_reached(
    store: ScriptedStore,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    signed: set[str],
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    target = found("s3://bucket/a.sqfs", endpoint_url=store.url, **options)
    with SquashFS(target.open().source) as opened:
        assert opened.read_bytes("/large") == CONTENT
    assert store.requests
    assert signed_by(store) == signed


def test_the_endpoint_may_be_an_option_of_the_client(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    target = found("s3://bucket/a.sqfs", client_kwargs={"endpoint_url": store.url}, **KEYS)
    assert "a.sqfs" in target.version()


def test_a_profile_names_the_credentials(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "credentials"
    settings.write_text("[other]\naws_access_key_id=AKIAOTHER\naws_secret_access_key=s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(settings))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    found("s3://bucket/a.sqfs", endpoint_url=store.url, profile="other").version()
    assert signed_by(store) == {"AKIAOTHER", "us-east-1"}


@pytest.mark.parametrize("name", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
def test_credentials_that_replace_others_in_a_file_are_used(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    settings = tmp_path / "settings"
    monkeypatch.setenv(name, str(settings))
    for turn, key in enumerate(("AKIAFORMER", "AKIALATTER")):
        settings.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\n")
        os.utime(settings, (turn, turn))
        store.requests.clear()
        found("s3://bucket/a.sqfs", endpoint_url=store.url).version()
        assert signed_by(store) == {key, "us-east-1"}


def test_archives_share_memory_when_credentials_are_replaced_and_keep_those_they_have(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    settings = tmp_path / "settings"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(settings))
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_MAX_BYTES", "0")
    devices = []
    for turn in range(4):
        settings.write_text(f"[default]\naws_access_key_id=KEY{turn}\naws_secret_access_key=s\n")
        os.utime(settings, (turn, turn))
        target = found("s3://bucket/a.sqfs", endpoint_url=store.url)
        devices += [target.open().source, by_chunks(CountingDevice(store.content), "version")]
    cached = [each for each in devices if isinstance(each, CachedDevice)]
    in_s3, elsewhere = cached[::2], cached[1::2]
    assert [len({id(each.background) for each in some}) for some in (in_s3, elsewhere)] == [1, 1]
    for turn, device in enumerate(in_s3):
        store.requests.clear()
        device.pread((turn + 1) * MIB, 1)
        assert signed_by(store) == {f"KEY{turn}", "us-east-1"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/a.sqfs", {"requester_pays": True}),
        ("s3://bucket/a.sqfs", {"version_aware": True}),
        ("s3://bucket/a.sqfs", {"s3_additional_kwargs": {"SSECustomerKey": "k"}}),
        ("s3://bucket/a.sqfs", {"config_kwargs": {"signature_version": "s3"}}),
        ("s3://bucket/a.sqfs", {"client_kwargs": {"api_version": "2006-03-01"}}),
        ("s3://bucket/a.sqfs", {"session": object()}),
        ("s3://bucket/a.sqfs?versionId=1", {}),
    ],
)
def test_what_cannot_be_honoured_is_left_to_s3fs(url: str, options: dict[str, Any]) -> None:
    assert find_in_s3(url, options) is None


def test_options_that_say_nothing_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"requester_pays": False, "config_kwargs": {}, "session": None}
    assert found("s3://bucket/a.sqfs", **nothing).key == found("s3://bucket/a.sqfs").key


def test_a_key_tells_archives_and_ways_to_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    one = found("s3://bucket/a.sqfs", **KEYS)
    assert one.key == found("s3://bucket/a.sqfs", **KEYS).key
    others = [found("s3://bucket/b.sqfs", **KEYS), found("s3://bucket/a.sqfs", anon=True)]
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    others.append(found("s3://bucket/a.sqfs", **KEYS))
    assert len({one.key, *(each.key for each in others)}) == 4
    assert "given-secret" not in repr(one.key)


def test_a_url_of_no_object_is_refused() -> None:
    with pytest.raises(SettingError, match="s3://bucket names no object"):
        find_in_s3("s3://bucket", {})


def test_opening_takes_one_round_trip_and_its_version_is_confirmed_by_one_request(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    target = found("s3://bucket/a.sqfs", endpoint_url=store.url, **KEYS)
    opened = target.open()
    assert len(store.requests) == 2  # both ends at once
    store.requests.clear()
    assert target.version() == opened.version
    assert json.loads(opened.version)[-1] == opened.source.size
    assert [request.method for request in store.requests] == ["HEAD"]
    assert target.trusted_seconds == 60


def test_a_replaced_archive_is_noticed(
    store: ScriptedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    target = found("s3://bucket/a.sqfs", endpoint_url=store.url, **KEYS)
    opened = target.open()
    store.etag = '"another"'
    assert target.version() != opened.version
    with SquashFS(opened.source) as image, pytest.raises(ArchiveReplacedError, match="open it"):
        image.read_bytes("/large")
    opened.close()


# ---- By chunks -----------------------------------------------------------------------------------


def test_a_device_is_read_by_chunks_once_each(image: bytes) -> None:
    device = CountingDevice(image)
    chunked = by_chunks(device, "version")
    assert len(device.reads) <= 3
    with SquashFS(chunked) as opened:
        assert len(opened.listdir("/")) == 3001
        assert len(device.reads) <= 3
        assert opened.read_bytes("/large") == CONTENT
        device.forget()
        assert opened.read_bytes("/large") == CONTENT
        assert device.reads == []


def test_long_metadata_is_fetched_whole(image: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3ARCHIVEFS_TAIL_BYTES", "1000")
    device = CountingDevice(image)
    with SquashFS(by_chunks(device, "version")) as opened:
        device.forget()
        assert len(opened.listdir("/")) == 3001
        assert opened.stat("/02999").size == 0
        assert device.reads == []


def test_two_devices_of_one_version_share_no_chunk(image: bytes) -> None:
    changed = bytearray(image)
    at = image.index(CONTENT[:1000])
    changed[at : at + 4] = b"else"
    first, second = (
        by_chunks(CountingDevice(image), ""),
        by_chunks(CountingDevice(bytes(changed)), ""),
    )
    assert first.pread(at, 4) == CONTENT[:4]
    assert second.pread(at, 4) == b"else"


@pytest.mark.parametrize("content", [b"", b"short", bytes(95)])
def test_what_is_shorter_than_an_image_is_left_as_it_is(content: bytes) -> None:
    device = CountingDevice(content)
    assert by_chunks(device, "version") is device
    assert Superblock.layout.size == 96
