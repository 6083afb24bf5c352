"""Faults of archives and settings: one clear line for the operator, the matching S3 error for the
client, and the next request served normally.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.servers.served import ServeError
from tests.support.servers.transports import BUCKET, STORE_BUCKET, open_transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore
    from tests.support.servers.transports import Transport

GOOD_KEY = "good/json/decoder.py"


@pytest.fixture(scope="module", params=["object-lambda", "endpoint"])
def faulty(
    request: pytest.FixtureRequest,
    store: SwiftStore,
    image: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Transport]:
    """Both transports as a user who may read nothing in the store but one local image."""
    content = image.read_bytes()
    client = store.client()
    client.put_object(Bucket=STORE_BUCKET, Key="text.sqfs", Body=b"no squashfs image\n" * 100_000)
    client.put_object(Bucket=STORE_BUCKET, Key="short.sqfs", Body=content[: len(content) // 2])
    client.put_object(Bucket=STORE_BUCKET, Key="empty.sqfs", Body=b"")
    mappings = {
        "good": image.as_uri(),
        "text": f"s3://{STORE_BUCKET}/text.sqfs",
        "short": f"s3://{STORE_BUCKET}/short.sqfs",
        "empty": f"s3://{STORE_BUCKET}/empty.sqfs",
        "missing": f"s3://{STORE_BUCKET}/missing.sqfs",
        "nobucket": "s3://no-such-bucket/a.sqfs",
    }
    directory = tmp_path_factory.mktemp(f"faulty-{request.param}")
    with open_transport(request.param, store, directory, mappings) as transport:
        yield transport


@pytest.mark.parametrize(
    ("prefix", "code", "status", "said"),
    [
        ("text", "InternalError", 500, "not a squashfs image"),
        ("empty", "InternalError", 500, "squashfs image"),
        ("short", "InternalError", 500, "was its copy cut short?"),
        ("missing", "NoSuchKey", 404, "missing.sqfs"),
        ("nobucket", "NoSuchKey", 404, "no-such-bucket"),
    ],
)
def test_unusable_archive(
    faulty: Transport, prefix: str, code: str, status: int, said: str
) -> None:
    with one_line(faulty, said):
        error = error_of_get(faulty, f"{prefix}/json/decoder.py")
    assert error["Error"]["Code"] == code
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status
    assert_serves(faulty)


def test_unusable_archive_fails_a_listing_inside_it_and_leaves_others_alone(
    faulty: Transport,
) -> None:
    with pytest.raises(ClientError, match="InternalError"):
        faulty.client.list_objects_v2(Bucket=BUCKET, Prefix="text/")
    listed = faulty.client.list_objects_v2(Bucket=BUCKET)
    assert {item["Key"].split("/")[0] for item in listed["Contents"]} == {"good"}


@pytest.mark.parametrize("name", ["object-lambda", "endpoint"])
def test_archive_that_may_not_be_read_is_access_denied(
    name: str, store: SwiftStore, archive: str, image: Path, tmp_path: Path
) -> None:
    credentials = {
        "AWS_ACCESS_KEY_ID": store.stranger.access_key,
        "AWS_SECRET_ACCESS_KEY": store.stranger.secret_key,
    }
    mappings = {"good": image.as_uri(), "secret": archive}
    with open_transport(name, store, tmp_path, mappings, settings=credentials) as transport:
        with one_line(transport, archive):
            error = error_of_get(transport, "secret/json/decoder.py")
        assert error["Error"]["Code"] == "AccessDenied"
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert store.stranger.secret_key not in "\n".join(transport.log_lines())
        assert_serves(transport)


@pytest.mark.parametrize("name", ["object-lambda", "endpoint"])
def test_cache_directory_that_cannot_be_written_costs_one_warning(
    name: str, store: SwiftStore, archive: str, tmp_path: Path
) -> None:
    cache = {"S3ARCHIVEFS_CACHE_DIR": "/proc/nowhere"}
    with (
        open_transport(name, store, tmp_path, {"good": archive}, settings=cache) as transport,
        one_line(transport, "/proc/nowhere"),
    ):
        assert_serves(transport)
        assert_serves(transport)


def test_malformed_settings_stop_the_endpoint_with_a_line_for_each(
    store: SwiftStore, tmp_path: Path
) -> None:
    settings = {"S3ARCHIVEFS_PREFIX_VMAP7": "docs=s3://b/k", "S3ARCHIVEFS_CACHE_CHUNK_SIZE": "big"}
    with (
        pytest.raises(ServeError) as raised,
        open_transport("endpoint", store, tmp_path, {}, settings=settings),
    ):
        pass
    lines = str(raised.value).splitlines()[1:]
    assert len(lines) == 2
    assert any("S3ARCHIVEFS_PREFIX_VMAP7" in line for line in lines)
    assert any("S3ARCHIVEFS_CACHE_CHUNK_SIZE" in line for line in lines)


def test_malformed_settings_of_the_function_are_logged_and_answered(
    store: SwiftStore, tmp_path: Path
) -> None:
    settings = {"S3ARCHIVEFS_PREFIX_VMAP7": "docs=s3://b/k"}
    with open_transport("object-lambda", store, tmp_path, {}, settings=settings) as transport:
        with one_line(transport, "S3ARCHIVEFS_PREFIX_VMAP7"):
            error = error_of_get(transport, "docs/a")
        assert error["Error"]["Code"] == "InternalError"
        with pytest.raises(ClientError, match="settings"):
            transport.client.list_objects_v2(Bucket=BUCKET)


@contextmanager
def one_line(transport: Transport, said: str) -> Iterator[None]:
    """The operator gets exactly one more line that says so, and no traceback."""
    before = matching(transport, said)
    yield
    while len(matching(transport, said)) == len(before):  # it is written soon, not at once
        time.sleep(0.01)
    assert len(matching(transport, said)) == len(before) + 1
    assert not matching(transport, "Traceback")


def matching(transport: Transport, said: str) -> list[str]:
    """The logged lines that say so, without the one that the endpoint writes for each request."""
    return [line for line in transport.log_lines() if said in line and '"operation"' not in line]


def error_of_get(transport: Transport, key: str) -> dict[str, dict[str, object]]:
    """The error response to a GetObject."""
    with pytest.raises(ClientError) as raised:
        transport.client.get_object(Bucket=BUCKET, Key=key)
    return raised.value.response  # type: ignore[return-value]  # a TypedDict


def assert_serves(transport: Transport) -> None:
    """The next request is served normally."""
    with transport.client.get_object(Bucket=BUCKET, Key=GOOD_KEY)["Body"] as body:
        assert body.read().startswith(b'"""Implementation of JSONDecoder')
