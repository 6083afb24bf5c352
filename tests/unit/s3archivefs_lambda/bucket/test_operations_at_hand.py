"""Answers from memory alone, for an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise
from fixtures.tree import directory, file, symlink
from s3archivefs_lambda.archives import local
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response
from tests.support.adapter.archives_in_s3 import archives_in
from tests.support.adapter.local_archives import ask, content, get, operations_on
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from pathlib import Path

TREE = (
    directory("d"),
    file("d/small", b"content"),
    file("d/limit", noise(64 << 10)),
    file("d/large", noise((64 << 10) + 1)),
    symlink("d/link", "small"),
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path, TREE, "-b", "128K")


@pytest.fixture
def operations(image: Path) -> Operations:
    return operations_on({"a": image})


def at_hand(operations: Operations, key: str, **headers: str) -> S3Response | None:
    """GetObject, as an event loop asks."""
    response = operations.at_hand("GetObject", S3Request(key=key, headers=headers))
    if response is not None and response.error is not None:
        raise response.error
    return response


def content_at_hand(operations: Operations, key: str) -> bytes:
    response = at_hand(operations, key)
    assert response is not None
    return content(response)


@pytest.mark.parametrize("key", ["a/d/small", "a/d/limit"])
def test_an_object_that_was_read_is_at_hand(operations: Operations, key: str) -> None:
    assert at_hand(operations, key) is None
    expected = get(operations, key)
    assert content_at_hand(operations, key) == expected
    part = at_hand(operations, key, range="bytes=1-3")
    assert part is not None
    assert (part.status, content(part)) == (206, expected[1:4])


@pytest.mark.parametrize("key", ["a/d/large", "a/d/link"])
def test_what_may_take_long_is_not_at_hand(operations: Operations, key: str) -> None:
    get(operations, key)
    get(operations, "a/d/small")
    assert at_hand(operations, key) is None


def test_what_a_symlink_leads_to_is_not_judged_at_hand(operations: Operations) -> None:
    asked = S3Request(key="a/d/link", may_read=lambda key: key == "a/d/link")
    for _ in range(2):
        assert operations.at_hand("GetObject", asked) is None
        assert operations.answer("GetObject", asked).error_code == "AccessDenied"


def test_a_long_key_is_not_at_hand(operations: Operations) -> None:
    get(operations, "a/d/small")
    with pytest.raises(S3Error, match="NoSuchKey"):
        at_hand(operations, "a/d/small/".ljust(1024, "x"))
    assert at_hand(operations, "a/d/small/".ljust(1025, "x")) is None


def test_a_listing_is_not_at_hand(operations: Operations) -> None:
    request = S3Request(query={"list-type": "2"})
    ask(operations, "ListObjectsV2", request)
    assert operations.at_hand("ListObjectsV2", request) is None


def test_attributes_of_any_object_are_at_hand(operations: Operations) -> None:
    get(operations, "a/d/large")
    response = operations.at_hand("HeadObject", S3Request(key="a/d/large"))
    assert response is not None
    assert response.headers["Content-Length"] == str((64 << 10) + 1)


def test_errors_are_at_hand(operations: Operations) -> None:
    get(operations, "a/d/small")
    for key in ("a/d/missing", "a/d", "b/x"):
        with pytest.raises(S3Error, match="NoSuchKey"):
            at_hand(operations, key)


def test_a_local_image_that_is_replaced_is_not_served_again(
    operations: Operations, image: Path, tmp_path: Path
) -> None:
    assert get(operations, "a/d/small") == b"content"
    make_image(tmp_path, (directory("d"), file("d/small", b"newer")), name="new").replace(image)
    assert at_hand(operations, "a/d/small") is None
    assert get(operations, "a/d/small") == b"newer"
    assert content_at_hand(operations, "a/d/small") == b"newer"


def test_a_local_image_of_another_machine_is_looked_at_by_a_thread(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "may_hang", lambda _: True)
    operations = operations_on({"a": image})
    assert get(operations, "a/d/small") == b"content"
    assert at_hand(operations, "a/d/small") is None


def test_a_local_image_that_is_gone_is_told_of_by_a_thread(
    operations: Operations, image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    get(operations, "a/d/small")
    image.unlink()
    assert at_hand(operations, "a/d/small") is None
    assert caplog.records == []
    with pytest.raises(S3Error, match="NoSuchKey"):
        get(operations, "a/d/small")


def test_an_archive_in_s3_is_at_hand_until_its_store_must_be_asked(
    image: Path, tmp_path: Path
) -> None:
    clock = Clock()
    with ScriptedStore(image.read_bytes()) as store:
        archives = archives_in(store, tmp_path / "cache", clock, mapped=1, stale_seconds=3600)
        operations = Operations(archives)
        assert get(operations, "a000/d/small") == b"content"
        requests = len(store.requests)
        clock.now += 59
        assert content_at_hand(operations, "a000/d/small") == b"content"
        clock.now += 1
        assert at_hand(operations, "a000/d/small") is None
        assert len(store.requests) == requests
        assert get(operations, "a000/d/small") == b"content"
        assert content_at_hand(operations, "a000/d/small") == b"content"
        archives.wait_idle()
