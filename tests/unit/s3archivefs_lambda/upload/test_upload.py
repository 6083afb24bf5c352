"""What an upload decides by itself. What S3 makes of it: tests/parts/integration/upload."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import pytest

from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.target import UploadTarget
from s3archivefs_lambda.upload.upload import ImageUpload

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
