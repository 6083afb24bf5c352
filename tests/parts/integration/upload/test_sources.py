"""What is uploaded: sound images, and directories."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.uploads import BUCKET, Store, hash_of

if TYPE_CHECKING:
    from collections.abc import Callable


def no_image(path: Path, image: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n" * 100)


def empty(path: Path, image: Path) -> None:
    path.touch()


def truncated(path: Path, image: Path) -> None:
    path.write_bytes(image.read_bytes()[:-8192])


def damaged_data(path: Path, image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [no_image, empty, truncated, damaged_data])
def test_what_is_no_sound_image_is_refused_before_a_byte_is_sent(
    spoil: Callable[[Path, Path], None], swift: Store, image: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.sqfs"
    spoil(path, image)
    written = swift.upload(path, f"s3://{BUCKET}/a.sqfs", status=1)
    said = written.splitlines()[-1]
    assert said.startswith(f"s3archivefs: {path}: ")
    assert said.endswith("; nothing was uploaded")
    assert {request.method for request in swift.proxy.requests} <= {"HEAD"}


def test_damaged_data_is_not_looked_for_without_verification(
    swift: Store, image: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.sqfs"
    damaged_data(path, image)
    swift.upload(path, f"s3://{BUCKET}/a.sqfs", "--no-verify")
    assert swift.hash("a.sqfs") == hash_of(path)


def test_a_directory_is_packed_and_stored(
    uploads: Store, some_of_the_tree: Path, tmp_path: Path
) -> None:
    tree = some_of_the_tree
    uploads.upload(tree, f"s3://{BUCKET}/folder/")
    key = f"folder/{tree.name}.sqfs"
    assert uploads.keys() == [key]
    content = uploads.store.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
    image = tmp_path / "downloaded.sqfs"
    image.write_bytes(content)
    assert uploads.superblock(key) == content[:96]
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-dest", tmp_path / "unpacked", image],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["diff", "-r", "--no-dereference", tree, tmp_path / "unpacked"], check=True)
    assert [*(tmp_path / "temporary").iterdir()] == []
