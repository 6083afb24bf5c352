"""Packing into S3 that fails at each of its requests, on real stores."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.image_stream import ImageStream
from s3archivefs_lambda.upload.upload_target import UploadTarget
from tests.parts.integration.upload.conftest import program, swift, uploads
from tests.support.adapter.uploads import BUCKET, PART_BYTES, Store, completes, part_number
from tests.support.proxy.counting_proxy import Reset, Stall
from tests.support.servers.swift_store import SwiftStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.proxy.recorded import Request

__all__ = ["program", "swift", "uploads"]  # fixtures

URL = f"s3://{BUCKET}/a.sqfs"
CONTENT = Random(3).randbytes(2 * PART_BYTES + 1000)
WAIT_SECONDS = 200


class Stages:
    """Tells the requests of one packing apart."""

    def __init__(self) -> None:
        self._completed = False

    def of(self, request: Request) -> str:
        """The request's stage."""
        if completes(request):
            self._completed = True
            return "complete"
        if request.method == "HEAD":
            bucket = request.path.strip("/") == BUCKET
            return "bucket" if bucket else "read-back" if self._completed else "look"
        if number := part_number(request):
            return "first part" if number == 1 else "part"
        return "create" if request.method == "POST" else "abort"


STAGES = ["bucket", "look", "create", "part", "first part", "complete", "read-back"]


def at(stage: str) -> Callable[[Request], bool]:
    """Matches the requests of a stage."""
    stages = Stages()
    return lambda request: stages.of(request) == stage


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory whose image has three parts."""
    top = tmp_path / "source"
    top.mkdir()
    (top / "large").write_bytes(CONTENT)
    return top


def require_whole(uploads: Store, directory: Path) -> None:
    path = directory / "stored.sqfs"
    uploads.store.client().download_file(BUCKET, "a.sqfs", str(path))
    with s3archivefs.open(path) as fs:
        assert fs.read_bytes("/large") == CONTENT


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", [Reset(), Reset(0)], ids=["request", "answer"])
def test_a_connection_that_is_lost_once_is_no_failure(
    uploads: Store, source: Path, tmp_path: Path, stage: str, fault: Reset
) -> None:
    uploads.proxy.inject(fault, match=at(stage))
    uploads.run("pack", source, URL)
    assert [each.fault for each in uploads.proxy.requests].count(fault) == 1
    require_whole(uploads, tmp_path)
    # Of a request to create an upload whose answer is lost, nobody knows the id: it has no parts.
    unknown = stage == "create" and fault == Reset(0)
    assert uploads.unfinished() == ["a.sqfs"] * unknown


@pytest.mark.parametrize("stage", STAGES)
def test_a_connection_that_is_lost_for_good_ends_it_in_one_line(
    uploads: Store, source: Path, tmp_path: Path, stage: str
) -> None:
    uploads = replace(uploads, environ=uploads.environ | {"AWS_MAX_ATTEMPTS": "2"})
    uploads.proxy.inject(Reset(), times=99, match=at(stage))
    written = uploads.run("pack", source, URL, status=1)
    (line,) = written.splitlines()
    assert line.startswith("s3archivefs: s3://")
    assert uploads.unfinished() == []
    if stage == "read-back":
        assert line.endswith("; the image was stored, but cannot be looked at")
        require_whole(uploads, tmp_path)
    else:
        assert uploads.keys() == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_one_leaves_nothing_half_made_and_does_not_bar_the_next(
    uploads: Store, source: Path, tmp_path: Path, stage: str
) -> None:
    arrived = threading.Event()
    is_at = at(stage)

    def match(request: Request) -> bool:
        if not is_at(request):
            return False
        arrived.set()
        return True

    uploads.proxy.inject(Stall(None), times=99, match=match)
    with uploads.program.start("pack", str(source), URL, environ=uploads.environ) as running:
        assert arrived.wait(WAIT_SECONDS)
        os.kill(running.pid, signal.SIGKILL)
        assert running.wait().returncode == -signal.SIGKILL
    uploads.proxy.heal()
    uploads.proxy.reset()  # waits for what is still on its way to the store
    if uploads.keys():
        assert stage in {"complete", "read-back"}
        require_whole(uploads, tmp_path)
        uploads.run("pack", "--force", source, URL)
    else:
        uploads.run("pack", source, URL)
    require_whole(uploads, tmp_path)
    uploads.upload("--abort", URL)
    assert uploads.unfinished() == []
    require_whole(uploads, tmp_path)


def test_credentials_that_are_refused_end_it_in_one_line(uploads: Store, source: Path) -> None:
    for environ in (
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        {"AWS_ACCESS_KEY_ID": "nobody"},
    ):
        refused = replace(uploads, environ=uploads.environ | environ)
        (line,) = refused.run("pack", source, URL, status=1).splitlines()
        assert "check the credentials" in line
        assert uploads.keys() == uploads.unfinished() == []


def test_credentials_that_may_not_write_end_it_in_one_line(
    swift: Store, store: SwiftStore, source: Path
) -> None:
    environ = store.environ(store.stranger, endpoint_url=swift.proxy.url)
    stranger = replace(swift, environ=swift.environ | environ)
    (line,) = stranger.run("pack", source, URL, status=1).splitlines()
    assert "s3:PutObject" in line


def test_a_missing_bucket_ends_it_before_the_work(uploads: Store, source: Path) -> None:
    (line,) = uploads.run("pack", source, "s3://no-such-bucket/a.sqfs", status=1).splitlines()
    assert line.endswith("make the bucket first, or correct its name")
    assert [each.method for each in uploads.proxy.requests] == ["HEAD"]


def test_more_parts_than_the_store_takes_are_told(swift: Store) -> None:
    """Swift takes 1,000, of any size until the upload is completed."""
    client = swift.store.client()
    stream = ImageStream(UploadTarget(client, BUCKET, "a.sqfs"), part_bytes=64)
    advice = "the store may take fewer than 1,001 parts: set S3ARCHIVEFS_MPU_CHUNK_SIZE to more"
    with pytest.raises(UploadError, match=advice):
        stream.write(b"content." * 10_000)
    stream.abandon()
    assert swift.keys() == swift.unfinished() == []


def test_reading_back_that_fails_leaves_the_image(uploads: Store, source: Path) -> None:
    """Each of `--verify`'s requests is a GET; none is before it."""
    environ = uploads.environ | {"AWS_MAX_ATTEMPTS": "2"}
    uploads = replace(uploads, environ=environ)
    uploads.proxy.inject(Reset(), times=99, match=lambda request: request.method == "GET")
    written = uploads.run("pack", "--verify", source, URL, status=1)
    assert len(written.splitlines()) == 1
    assert uploads.keys() == ["a.sqfs"]


def test_a_full_pipe_of_standard_input_that_ends_early_leaves_nothing(uploads: Store) -> None:
    done = subprocess.run(
        [*uploads.command()[:-1], "pack", "-", URL],
        env=uploads.environ,
        input=b"no tar" * 200,
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert uploads.keys() == uploads.unfinished() == []
