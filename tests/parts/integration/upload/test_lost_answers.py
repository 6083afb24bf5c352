"""Writes that S3 carried out, but whose answers are lost."""

from __future__ import annotations

import base64
import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.uploads import (
    BUCKET,
    WAIT_SECONDS,
    Store,
    before,
    begins,
    complete,
    completes,
    hash_of,
    is_write,
    part_number,
)
from tests.support.proxy.counting_proxy import Answer, Stall

if TYPE_CHECKING:
    from tests.support.proxy.recorded import Request

ABORT = f"to delete it: s3archivefs upload --abort s3://{BUCKET}/a.sqfs\n"


def test_storing_in_one_request_whose_answer_is_lost(uploads: Store, small_image: Path) -> None:
    def store() -> None:
        content = small_image.read_bytes()
        metadata = {"s3archivefs-superblock": base64.b64encode(content[:96]).decode()}
        client = uploads.store.client()
        client.put_object(Bucket=BUCKET, Key="a.sqfs", Body=content, Metadata=metadata)

    before(uploads, is_write, store)  # so that the attempt that is seen is the second
    assert " bytes stored\n" in uploads.upload(small_image, f"s3://{BUCKET}/a.sqfs")
    assert [each.status for each in uploads.proxy.requests if is_write(each)] == [412]


@pytest.mark.parametrize(
    "answer", [None, Answer(404, "NoSuchUpload"), Answer(412, "PreconditionFailed")], ids=repr
)
def test_completing_parts_when_the_answer_is_lost(
    answer: Answer | None, uploads: Store, image_in_parts: Path
) -> None:
    """Whatever the second attempt is told: AWS and these stores differ in that."""
    before(uploads, completes, partial(complete, uploads), then=answer)
    forbidden = Answer(403, "AccessDenied")
    uploads.proxy.inject(forbidden, times=9, match=lambda request: request.method == "DELETE")
    assert " bytes stored\n" in uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert uploads.unfinished() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_parts_beside_the_stored_image_are_deleted_ends_it(
    number: int, swift: Store, image_in_parts: Path
) -> None:
    deleted = threading.Event()

    def deletes(request: Request) -> bool:
        if request.method == "DELETE":
            deleted.set()
        return request.method == "DELETE"

    exists = Answer(412, "PreconditionFailed")
    before(swift, completes, partial(complete, swift), then=exists)
    swift.proxy.inject(Stall(None), times=99, match=deletes)
    command = ("upload", str(image_in_parts), f"s3://{BUCKET}/a.sqfs")
    with swift.program.start(*command, environ=swift.environ) as running:
        assert deleted.wait(WAIT_SECONDS)
        os.kill(running.pid, number)
        done = running.wait()
    swift.proxy.heal()
    assert done.returncode == 130
    assert done.stderr.endswith(ABORT)


def test_parts_beside_the_stored_image_that_cannot_be_deleted_are_named(
    swift: Store, image_in_parts: Path
) -> None:
    exists = Answer(412, "PreconditionFailed")
    before(swift, completes, partial(complete, swift), then=exists)
    refused = Answer(403, "AccessDenied")
    swift.proxy.inject(refused, times=9, match=lambda request: request.method == "DELETE")
    written = swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert " bytes stored\n" in written
    assert "what was sent may still be in S3" in written
    assert written.endswith(ABORT)


@pytest.mark.parametrize("refused", [False, True])
def test_beginning_an_upload_when_the_answer_is_lost(
    uploads: Store, source: Path, *, refused: bool
) -> None:
    """The upload that nobody knows has no parts, so costs nothing; how to delete it is told."""
    begin = partial(uploads.store.client().create_multipart_upload, Bucket=BUCKET, Key="a.sqfs")
    before(uploads, begins, begin, then=Answer(500))
    if refused:
        forbidden = Answer(403, "AccessDenied")
        uploads.proxy.inject(forbidden, times=99, match=lambda request: part_number(request) == 2)
    written = uploads.run(
        "pack", "--compressor", "none", source, f"s3://{BUCKET}/a.sqfs", status=int(refused)
    )
    command = f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs"
    (line,) = [line for line in written.splitlines() if "unfinished" in line]
    assert line.endswith(f" (1 of them); if they are nobody's, delete them: {command}")
    assert uploads.unfinished() == ["a.sqfs"]
    assert "1 unfinished upload deleted" in uploads.upload("--abort", f"s3://{BUCKET}/a.sqfs")
    assert uploads.keys() == ([] if refused else ["a.sqfs"])


def test_an_upload_that_another_program_ends(swift: Store, image_in_parts: Path) -> None:
    def end() -> None:
        client = swift.store.client()
        (upload,) = client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
        client.abort_multipart_upload(Bucket=BUCKET, Key="a.sqfs", UploadId=upload["UploadId"])

    before(swift, completes, end)
    written = swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "another program has ended the upload: upload it again" in written
    assert "to go on" not in written
    assert swift.keys() == []
