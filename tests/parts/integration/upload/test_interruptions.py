"""What an interrupted upload leaves in S3, and how it is resumed."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.uploads import (
    BUCKET,
    PART_BYTES,
    Store,
    empty_bucket,
    hash_of,
    parts_sent,
)
from tests.support.documents.pages import blocks
from tests.support.proxy.counting_proxy import Answer

if TYPE_CHECKING:
    from tests.support.processes.forked_program import ForkedProgram
    from tests.support.servers.radosgw_server import RadosGateway


def test_ctrl_c_says_how_to_go_on(uploads: Store, image_in_parts: Path) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    written = uploads.interrupt(signal.SIGINT, image_in_parts, url, "--force", part=5)
    command = f"s3archivefs upload {image_in_parts} {url} --force --part-size {PART_BYTES}"
    assert f"to go on: {command};" in written
    assert f"s3archivefs upload --abort {url}" in written
    there = uploads.parts("a.sqfs")
    uploads.proxy.reset()
    uploads.upload(image_in_parts, url, "--force")
    assert parts_sent(uploads.proxy.requests) == sorted({1, 2, 3, 4, 5} - there)


def test_an_upload_may_be_interrupted_again_and_again(uploads: Store, image_in_parts: Path) -> None:
    there: set[int] = set()
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        uploads.interrupt(number, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=5)
        before, there = there, uploads.parts("a.sqfs")
        assert there
        assert before <= there
    uploads.proxy.reset()
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert parts_sent(uploads.proxy.requests) == sorted({1, 2, 3, 4, 5} - there)
    assert uploads.unfinished() == []
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_upload_that_holds_no_part_yet_leaves_nothing_when_interrupted(
    number: int, uploads: Store, image_in_parts: Path
) -> None:
    written = uploads.interrupt(number, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=1)
    assert "to go on" not in written
    assert uploads.unfinished() == []


def test_other_uploads_are_left_alone_and_named(uploads: Store, image_in_parts: Path) -> None:
    for _ in range(2):
        uploads.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=1)
    written = uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert uploads.unfinished() == ["a.sqfs", "a.sqfs"]
    assert "S3 holds unfinished uploads to it (2 of them)" in written
    assert f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs" in written


def test_an_upload_without_the_first_part_may_have_been_begun_with_other_metadata(
    uploads: Store, image_in_parts: Path
) -> None:
    client = uploads.store.client()
    upload = client.create_multipart_upload(Bucket=BUCKET, Key="a.sqfs")["UploadId"]
    with image_in_parts.open("rb") as image:
        content = os.pread(image.fileno(), PART_BYTES, PART_BYTES)
        superblock = os.pread(image.fileno(), 96, 0)
    client.upload_part(Bucket=BUCKET, Key="a.sqfs", UploadId=upload, PartNumber=2, Body=content)
    uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs")
    assert uploads.superblock("a.sqfs") == superblock
    assert uploads.unfinished() == ["a.sqfs"]


def test_an_unfinished_upload_is_deleted_on_demand(uploads: Store, image_in_parts: Path) -> None:
    for key in ("a.sqfs", "a.sqfs.other"):
        uploads.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/{key}", part=3)
    written = uploads.upload("--abort", f"s3://{BUCKET}/a.sqfs")
    assert written == f"s3://{BUCKET}/a.sqfs: 1 unfinished upload deleted\n"
    assert uploads.unfinished() == ["a.sqfs.other"]
    assert "0 unfinished uploads deleted" in uploads.upload("--abort", f"s3://{BUCKET}/a.sqfs")


def test_an_unfinished_upload_of_another_image_is_not_gone_on_from(
    uploads: Store, image_in_parts: Path, tmp_path: Path
) -> None:
    uploads.interrupt(signal.SIGKILL, image_in_parts, f"s3://{BUCKET}/a.sqfs", part=5)
    content = bytearray(image_in_parts.read_bytes())
    for part in range(5):
        content[part * PART_BYTES + 500] ^= 1
    other = tmp_path / "other.sqfs"
    other.write_bytes(content)
    written = uploads.upload("--no-verify", other, f"s3://{BUCKET}/a.sqfs")
    assert uploads.hash("a.sqfs") == hash_of(other)
    assert uploads.unfinished() == ["a.sqfs"]
    assert f"s3archivefs upload --abort s3://{BUCKET}/a.sqfs" in written


def test_a_directory_leaves_nothing_when_interrupted(uploads: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(6).randbytes(3 * PART_BYTES))
    written = uploads.interrupt(signal.SIGTERM, tree, f"s3://{BUCKET}/a.sqfs", part=2)
    assert "to go on" not in written
    assert uploads.unfinished() == []
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_a_terminal_that_is_closed_ends_it_as_ctrl_c_does(uploads: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(8).randbytes(3 * PART_BYTES))
    uploads.interrupt(signal.SIGHUP, tree, f"s3://{BUCKET}/a.sqfs", part=2)
    assert uploads.unfinished() == []
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_a_directory_whose_parts_cannot_be_deleted_says_so(swift: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(9).randbytes(3 * PART_BYTES))
    refused = Answer(403, "AccessDenied")
    swift.proxy.inject(refused, times=9, match=lambda request: request.method == "DELETE")
    written = swift.interrupt(signal.SIGTERM, tree, f"s3://{BUCKET}/a.sqfs", part=2)
    assert "what was sent may still be in S3" in written
    assert f"to delete it: s3archivefs upload --abort s3://{BUCKET}/a.sqfs\n" in written
    assert [*(tmp_path / "temporary").iterdir()] == []


def test_the_kept_image_of_a_directory_is_gone_on_from(uploads: Store, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(Random(7).randbytes(4 * PART_BYTES + 1))
    image = tmp_path / "kept.sqfs"
    folder = f"s3://{BUCKET}/folder/"
    written = uploads.interrupt(signal.SIGINT, tree, folder, "--image", image, part=5)
    url = f"{folder}tree.sqfs"
    assert f"to go on: s3archivefs upload {image} {url} --part-size {PART_BYTES};" in written
    assert f"to delete it: s3archivefs upload --abort {url}\n" in written
    there = uploads.parts("folder/tree.sqfs")
    uploads.proxy.reset()
    uploads.upload(image, url)
    assert not there & {*parts_sent(uploads.proxy.requests)}
    assert uploads.hash("folder/tree.sqfs") == hash_of(image)


def test_the_lifecycle_rule_of_the_page_is_one(
    gateway: RadosGateway, program: ForkedProgram, tmp_path: Path
) -> None:
    command = "aws s3api put-bucket-lifecycle-configuration"
    (block,) = [each for each in blocks("docs/deploy.md") if each.text.startswith(command)]
    words = shlex.split(block.text)
    rule = json.loads(words[words.index("--lifecycle-configuration") + 1])
    with empty_bucket(gateway, program, tmp_path) as uploads:
        client = uploads.store.client()
        client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule)
        (kept,) = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert kept["Status"] == "Enabled"
    assert kept["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
