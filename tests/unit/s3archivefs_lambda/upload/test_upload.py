"""What an upload decides by itself. What S3 makes of it: tests/parts/integration/test_upload.py."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from s3archivefs_lambda.upload.target import UploadTarget
from s3archivefs_lambda.upload.upload import ImageUpload, UploadError

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_s3 import S3Client

PART_BYTES = 16 << 20
SIZE = PART_BYTES + 1000
NO_CLIENT = cast("S3Client", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(SIZE))
    return path


@pytest.mark.parametrize("size", [1000, SIZE])
def test_an_image_that_changed_since_it_was_verified_is_not_sent(size: int, path: Path) -> None:
    os.truncate(path, size)
    with path.open("rb") as file:
        upload = ImageUpload(UploadTarget(NO_CLIENT, "bucket", "key"), file, replace=True)
        os.utime(path, (1, 1))
        with pytest.raises(UploadError, match="the image changed while it was read"):
            upload.run()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("difference", "is_image"),
    [
        ({}, True),
        ({"ServerSideEncryption": "AES256"}, True),
        ({"ETag": f'"{md5(b"other")}"'}, False),
        ({"ContentLength": 1}, False),
        ({"ContentLength": 1, "ServerSideEncryption": "aws:kms"}, False),
        ({"Metadata": {}}, False),
        ({"StorageClass": "GLACIER_IR"}, True),
    ],
)
def test_an_object_is_this_image_or_is_not(
    path: Path, difference: dict[str, Any], *, is_image: bool
) -> None:
    os.truncate(path, 1000)
    with path.open("rb") as file:
        upload = ImageUpload(UploadTarget(NO_CLIENT, "bucket", "key"), file)
        assert upload._is_image(object_of(bytes(1000)) | difference) is is_image


@pytest.mark.parametrize(
    "encryption",
    [
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms:dsse"},
        {"SSECustomerAlgorithm": "AES256"},
    ],
)
def test_of_an_object_whose_etag_is_no_md5_that_is_not_known(
    path: Path, encryption: dict[str, str]
) -> None:
    os.truncate(path, 1000)
    with path.open("rb") as file:
        upload = ImageUpload(UploadTarget(NO_CLIENT, "bucket", "key"), file)
        with pytest.raises(UploadError, match="does not tell whether it is this image"):
            upload._is_image(object_of(bytes(1000)) | encryption)


def object_of(content: bytes) -> dict[str, Any]:
    """What S3 answers to HEAD of it."""
    superblock = base64.b64encode(content[:96]).decode()
    metadata = {"S3ArchiveFS-Superblock": superblock}
    return {
        "ContentLength": len(content),
        "ETag": f'"{md5(content)}"',
        "Metadata": metadata,
    }
