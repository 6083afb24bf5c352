"""The S3 server that the integration tests rely on does what they rely on."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.swift_store import Credentials, SwiftStore, SwiftStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = os.urandom(100_000)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftStore]:
    with SwiftStore.start(tmp_path_factory.mktemp("swift")) as store:
        client = store.client()
        client.create_bucket(Bucket="archives")
        client.put_object(Bucket="archives", Key="a b/ü+%", Body=BODY, Metadata={"colour": "red"})
        yield store


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_object_comes_back_with_its_metadata(store: SwiftStore) -> None:
    response = store.client().get_object(Bucket="archives", Key="a b/ü+%")
    assert response["Body"].read() == BODY
    assert response["Metadata"] == {"colour": "red"}


def test_a_suffix_range_is_answered_with_206_and_the_size(store: SwiftStore) -> None:
    response = store.client().get_object(Bucket="archives", Key="a b/ü+%", Range="bytes=-7")
    assert response["Body"].read() == BODY[-7:]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert response["ContentRange"] == "bytes 99993-99999/100000"


def test_a_range_of_another_version_is_refused(store: SwiftStore) -> None:
    client = store.client()
    assert (
        status_of(
            lambda: client.get_object(
                Bucket="archives", Key="a b/ü+%", Range="bytes=0-0", IfMatch='"other"'
            )
        )
        == 412
    )


def test_the_stranger_is_refused_what_the_owner_has(store: SwiftStore) -> None:
    stranger = store.client(store.stranger)
    assert status_of(lambda: stranger.get_object(Bucket="archives", Key="a b/ü+%")) == 403
    assert status_of(lambda: stranger.head_object(Bucket="archives", Key="a b/ü+%")) == 403
    assert status_of(lambda: stranger.list_objects_v2(Bucket="archives")) == 403


def test_a_wrong_secret_is_refused(store: SwiftStore) -> None:
    liar = store.client(Credentials(store.access_key, "wrong"))
    assert status_of(lambda: liar.get_object(Bucket="archives", Key="a b/ü+%")) == 403


def test_a_multipart_upload_is_put_together(store: SwiftStore, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(BODY * 90)
    client = store.client()
    client.upload_file(str(large), "archives", "large")
    head = client.head_object(Bucket="archives", Key="large")
    assert head["ContentLength"] == 9_000_000
    assert head["ETag"].endswith('-2"')


def test_environ_points_a_subprocess_at_the_store(store: SwiftStore) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    listing = subprocess.run(
        [sys.executable, "-m", "awscli", "s3api", "list-buckets", "--output", "json"],
        env=clean | store.environ(),
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout
    assert [bucket["Name"] for bucket in json.loads(listing)["Buckets"]] == ["archives"]


def test_the_secrets_are_not_shown(store: SwiftStore) -> None:
    assert store.secret_key not in repr(store)


def test_leaving_stops_the_server_and_keeps_the_objects(tmp_path: Path) -> None:
    with SwiftStore.start(tmp_path) as store:
        store.client().create_bucket(Bucket="kept")
        port = store.url.rpartition(":")[2]
        gone = store.client()
    assert not listening(port)
    with pytest.raises(EndpointConnectionError):
        gone.list_buckets()
    with SwiftStore.start(tmp_path) as store:
        assert [bucket["Name"] for bucket in store.client().list_buckets()["Buckets"]] == ["kept"]


def test_an_error_inside_stops_the_server(tmp_path: Path) -> None:
    ports = []

    def fail_inside() -> None:
        with SwiftStore.start(tmp_path) as store:
            ports.append(store.url.rpartition(":")[2])
            assert listening(ports[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert not listening(ports[0])


def listening(port: str) -> bool:
    """Whether any socket of this machine listens on the IPv4 port (Linux's own table)."""
    local = f":{int(port):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(local) and row[3] == "0A" for row in rows)


def test_a_server_that_fails_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("in the way")
    with (
        pytest.raises(SwiftStoreError, match=r"(?s)exit status 1\n.*server\.log.*FileExistsError"),
        SwiftStore.start(tmp_path),
    ):
        pass


def test_a_server_that_is_not_ready_in_time_is_given_up(tmp_path: Path) -> None:
    with (
        pytest.raises(SwiftStoreError, match=r"not ready within 0\.0 s"),
        SwiftStore.start(tmp_path, ready_seconds=0.0),
    ):
        pass


def test_a_file_system_without_extended_attributes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    with (
        pytest.raises(SwiftStoreError, match=f"{tmp_path}: the file system keeps no user extended"),
        SwiftStore.start(tmp_path),
    ):
        pass


def test_a_missing_swift_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SwiftStoreError, match="pip install swift"), SwiftStore.start(tmp_path):
        pass
