"""What an upload decides by itself. What S3 makes of it: tests/parts/integration/upload."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError

from s3archivefs_lambda.store.superblock_metadata import superblock_metadata
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError
from s3archivefs_lambda.upload.upload import ImageUpload
from s3archivefs_lambda.upload.upload_target import UploadTarget

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


@pytest.mark.parametrize(
    ("replace", "status", "why"),
    [(False, 412, "S3 does not tell whether it is this image"), (True, 409, "ends")],
)
def test_where_s3_cannot_tell_whether_a_lost_write_stored_the_image_it_says_so(
    path: Path, *, replace: bool, status: int, why: str
) -> None:
    os.truncate(path, 1000)
    with path.open("rb") as file:
        heads: list[Any] = [{} if replace else answer(404)]

        def head_object(**_: object) -> dict[str, Any]:
            if not replace and heads:
                raise heads.pop()
            return {
                "ContentLength": 1000,
                "Metadata": superblock_metadata(bytes(96)),
                "ETag": "as KMS makes it",
                "ServerSideEncryption": "aws:kms",
            }

        def put_object(**_: object) -> None:
            raise answer(status)

        client = SimpleNamespace(head_object=head_object, put_object=put_object)
        target = UploadTarget(cast("S3Client", client), "bucket", "key")
        upload = ImageUpload(target, file, replace=replace)
        with pytest.raises(UploadError, match=why) as raised:
            upload.run()
    assert isinstance(raised.value, OtherObjectError) is not replace


def answer(status: int) -> ClientError:
    """What the client raises for such a status."""
    code = {404: "404", 409: "ends", 412: "PreconditionFailed"}[status]
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")
