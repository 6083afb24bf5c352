"""An upload to the key of an object that exists."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from pathlib import Path

import pytest

from tests.support.adapter.uploads import (
    BUCKET,
    PART_BYTES,
    Store,
    before,
    completes,
    hash_of,
    is_write,
    put,
)


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_an_object_is_replaced_by_force_alone(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    uploads.store.client().put_object(Bucket=BUCKET, Key="a.sqfs", Body=b"precious")
    written = uploads.upload(path, f"s3://{BUCKET}/a.sqfs", status=1)
    assert f"s3://{BUCKET}/a.sqfs is there already; --force replaces it" in written
    assert not any(is_write(request) for request in uploads.proxy.requests)
    assert uploads.hash("a.sqfs") == hashlib.sha256(b"precious").hexdigest()
    uploads.upload(path, f"s3://{BUCKET}/a.sqfs", "--force")
    assert uploads.hash("a.sqfs") == hash_of(path)


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_an_object_that_comes_to_be_there_meanwhile_is_not_replaced(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    before(uploads, is_write, partial(put, uploads, b"precious"))
    written = uploads.upload(request.getfixturevalue(which), f"s3://{BUCKET}/a.sqfs", status=1)
    assert "--force replaces it" in written
    assert uploads.hash("a.sqfs") == hashlib.sha256(b"precious").hexdigest()


def test_the_last_request_of_all_still_asks_that_nothing_is_there(
    swift: Store, image_in_parts: Path
) -> None:
    before(swift, completes, partial(put, swift, b"precious"))
    swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", status=1)
    assert swift.hash("a.sqfs") == hashlib.sha256(b"precious").hexdigest()
    assert swift.unfinished() == ["a.sqfs"]
    swift.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", "--force")
    assert swift.hash("a.sqfs") == hash_of(image_in_parts)
    assert swift.unfinished() == []


@pytest.mark.parametrize("which", ["small_image", "image_in_parts"])
def test_an_image_that_is_stored_already_is_not_sent_again(
    which: str, uploads: Store, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(which)
    uploads.upload(path, f"s3://{BUCKET}/a.sqfs")
    uploads.proxy.reset()
    written = uploads.upload(path, f"s3://{BUCKET}/a.sqfs")
    assert f"{path.stat().st_size:,} bytes stored already\n" in written
    assert not any(is_write(request) for request in uploads.proxy.requests)


def test_an_image_with_the_same_superblock_is_another_image(
    uploads: Store, image_in_parts: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.sqfs"
    content = bytearray(image_in_parts.read_bytes())
    content[PART_BYTES] ^= 1
    other.write_bytes(content)
    uploads.upload("--no-verify", other, f"s3://{BUCKET}/a.sqfs")
    written = uploads.upload(image_in_parts, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "--force replaces it" in written


def test_another_image_with_the_same_superblock_that_comes_meanwhile_is_not_taken_for_this_one(
    uploads: Store, small_image: Path
) -> None:
    other = bytearray(small_image.read_bytes())
    other[100] ^= 1
    metadata = {"s3archivefs-superblock": base64.b64encode(other[:96]).decode()}

    def store() -> None:
        client = uploads.store.client()
        client.put_object(Bucket=BUCKET, Key="a.sqfs", Body=bytes(other), Metadata=metadata)

    before(uploads, is_write, store)
    written = uploads.upload(small_image, f"s3://{BUCKET}/a.sqfs", status=1)
    assert "--force replaces it" in written


def test_an_image_is_stored_again_in_another_storage_class_by_force_alone(
    swift: Store, small_image: Path
) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    swift.upload(small_image, url)
    swift.upload(small_image, url, "--storage-class", "STANDARD")
    assert "--force" in swift.upload(small_image, url, "--storage-class", "GLACIER_IR", status=1)


def test_a_directory_is_not_packed_for_a_place_that_is_taken(swift: Store, tree: Path) -> None:
    put(swift, b"precious")
    written = swift.upload(tree, f"s3://{BUCKET}/a.sqfs", status=1)
    assert written == f"s3archivefs: s3://{BUCKET}/a.sqfs is there already; --force replaces it\n"
