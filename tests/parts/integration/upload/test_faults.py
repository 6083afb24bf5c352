"""Faults of the network, the store, the image and the credentials."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.uploads import (
    BUCKET,
    PART_BYTES,
    Store,
    before,
    hash_of,
    part_number,
    parts_sent,
)
from tests.support.proxy.counting_proxy import Answer, Reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.proxy.counting_proxy import Fault
    from tests.support.proxy.recorded import Request
    from tests.support.servers.swift_store import SwiftStore


@pytest.mark.parametrize(
    "fault", [Answer(500, "InternalError"), Answer(503, "SlowDown"), Reset()], ids=repr
)
def test_a_fault_of_the_network_or_the_store_is_tried_again(
    fault: Fault, uploads: Store, image_in_parts: Path
) -> None:
    uploads.proxy.inject(fault, times=3, match=lambda request: part_number(request) > 1)
    uploads.proxy.inject(fault, match=lambda request: request.method == "POST")
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert sum(request.fault == fault for request in uploads.proxy.requests) == 4
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert uploads.unfinished() == []


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_a_write_whose_answer_is_lost_is_no_failure(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)

    def writes_the_object(request: Request) -> bool:
        completes = request.method == "POST" and "uploadId=" in request.path
        return completes or (request.method == "PUT" and "partNumber" not in request.path)

    uploads.proxy.inject(Reset(0), match=writes_the_object)
    uploads.upload(path, f"s3://{BUCKET}/a.sqfs")
    assert any(request.fault == Reset(0) for request in uploads.proxy.requests)
    assert uploads.hash("a.sqfs") == hash_of(path)


def test_a_store_that_fails_for_good_leaves_what_it_has(swift: Store, image_in_parts: Path) -> None:
    environ = swift.environ | {"AWS_MAX_ATTEMPTS": "2"}
    swift.proxy.inject(Answer(503), times=99, match=lambda request: part_number(request) == 5)
    done = subprocess.run(
        swift.command(image_in_parts, f"s3://{BUCKET}/a.sqfs"),
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "S3 asks for fewer requests" in done.stderr
    assert "to go on: " in done.stderr
    swift.proxy.heal()
    swift.proxy.reset()
    there = swift.parts("a.sqfs")
    swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert parts_sent(swift.proxy.requests) == sorted({1, 2, 3, 4, 5} - there)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.utime(path, (1, 1)),
        lambda path: os.truncate(path, path.stat().st_size - PART_BYTES),
    ],
    ids=["written to", "shortened"],
)
def test_an_image_that_changes_meanwhile_is_not_completed(
    change: Callable[[Path], None], swift: Store, image_in_parts: Path, tmp_path: Path
) -> None:
    image = tmp_path / "changing.sqfs"
    image.write_bytes(image_in_parts.read_bytes())
    before(swift, lambda request: part_number(request) == 1, partial(change, image))
    written = swift.upload(image, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "the image changed while it was read" in written
    assert swift.keys() == swift.unfinished() == []


def test_a_bucket_that_is_not_there(uploads: Store, small_image: Path) -> None:
    written = uploads.upload(small_image, "s3://no-such-bucket/a.sqfs", status=1)
    assert "s3://no-such-bucket/a.sqfs: there is no such object or bucket" in written
    assert "make the bucket first" in written
    assert "Verifying" not in written


def test_credentials_that_may_not_write(swift: Store, store: SwiftStore, small_image: Path) -> None:
    environ = store.environ(store.stranger, endpoint_url=swift.proxy.url)
    done = subprocess.run(
        swift.command(small_image, f"s3://{BUCKET}/a.sqfs"),
        env=swift.environ | environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "s3:PutObject" in done.stderr
    assert store.stranger.secret_key not in done.stdout + done.stderr


@pytest.mark.parametrize("answer", [Answer(403, "AccessDenied"), Answer(404, "NoSuchUpload")])
def test_an_upload_whose_parts_cannot_be_listed_is_let_alone(
    swift: Store, image_in_parts: Path, answer: Answer
) -> None:
    def lists_parts(request: Request) -> bool:
        return request.method == "GET" and "uploadId=" in request.path

    swift.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=3)
    swift.proxy.inject(answer, times=99, match=lists_parts)
    written = swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert swift.hash("a.sqfs") == hash_of(image_in_parts)
    assert swift.unfinished() == ["a.sqfs"]
    assert f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs" in written


def test_credentials_that_may_only_write(uploads: Store, image_in_parts: Path) -> None:
    def reads(request: Request) -> bool:
        return request.method in {"GET", "HEAD"}

    uploads.proxy.inject(Answer(403, "AccessDenied"), times=99, match=reads)
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
