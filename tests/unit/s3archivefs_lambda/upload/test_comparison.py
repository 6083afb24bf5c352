"""What tells an object in S3 from an image on disk, or does not."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from s3archivefs_lambda.upload.comparison import is_image, require_image
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError
from s3archivefs_lambda.upload.image_parts import ImageParts
from s3archivefs_lambda.upload.upload_target import UploadTarget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

TARGET = UploadTarget(cast("S3Client", None), "bucket", "key")
CONTENT = bytes(1000)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[ImageParts]:
    path = tmp_path / "image"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        yield ImageParts(file)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("difference", "expected"),
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
    image: ImageParts, difference: dict[str, Any], *, expected: bool
) -> None:
    assert is_image(TARGET, object_of(CONTENT) | difference, image, "") is expected


def test_an_object_in_another_storage_class_than_the_one_asked_for_is_another(
    image: ImageParts,
) -> None:
    assert is_image(TARGET, object_of(CONTENT), image, "STANDARD")
    assert not is_image(TARGET, object_of(CONTENT), image, "GLACIER_IR")


@pytest.mark.parametrize(
    "encryption",
    [
        {"ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "aws:kms:dsse"},
        {"SSECustomerAlgorithm": "AES256"},
    ],
)
def test_of_an_object_whose_etag_is_no_md5_that_is_not_known(
    image: ImageParts, encryption: dict[str, str]
) -> None:
    with pytest.raises(OtherObjectError, match="does not tell whether it is this image"):
        is_image(TARGET, object_of(CONTENT) | encryption, image, "")


def test_an_object_that_was_replaced_after_it_was_stored_is_noticed(image: ImageParts) -> None:
    require_image(TARGET, object_of(CONTENT), image)
    with pytest.raises(UploadError, match="has 999 bytes, the image 1000: it was replaced"):
        require_image(TARGET, object_of(CONTENT[1:]), image)
    with pytest.raises(OtherObjectError, match="has not this image's user metadata"):
        require_image(TARGET, object_of(CONTENT) | {"Metadata": {}}, image)


def object_of(content: bytes) -> dict[str, Any]:
    """What S3 answers to HEAD of it."""
    superblock = base64.b64encode(content[:96]).decode()
    metadata = {"S3ArchiveFS-Superblock": superblock}
    return {
        "ContentLength": len(content),
        "ETag": f'"{md5(content)}"',
        "Metadata": metadata,
    }
