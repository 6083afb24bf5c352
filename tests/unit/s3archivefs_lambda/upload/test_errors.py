"""What is said of S3's refusals."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError, upload_errors


def said(status: int, code: str, *, part: int = 0) -> str:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(UploadError) as raised, upload_errors("bucket", "key", part=part):
        raise ClientError(response, "PutObject")
    assert raised.value.status == status
    assert isinstance(raised.value, OtherObjectError) is (status == 412)
    return str(raised.value)


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "InvalidStorageClass", "storage class"),
        (403, "AccessDenied", "s3:PutObject"),
        (403, "InvalidAccessKeyId", "check the credentials"),
        (404, "NoSuchBucket", "make the bucket first"),
        (404, "NoSuchUpload", "another program has ended the upload: upload it again"),
        (409, "ConditionalRequestConflict", "another program is writing to it"),
        (412, "PreconditionFailed", "the object is there already"),
        (503, "SlowDown", "try again later"),
    ],
)
def test_every_refusal_says_what_to_do(status: int, code: str, advice: str) -> None:
    message = said(status, code)
    assert message.startswith("s3://bucket/key: ")
    assert f"status {status}, {code}" in message
    assert advice in message.rpartition("; ")[2]


def test_a_part_that_the_store_does_not_take_asks_for_larger_ones() -> None:
    advice = "the store may take fewer than 1,001 parts: set S3ARCHIVEFS_MPU_CHUNK_SIZE to more"
    assert f"; {advice}" in said(400, "InvalidArgument", part=1001)
    for part in (0, 1):
        assert "check the storage class" in said(400, "InvalidArgument", part=part)


def test_an_error_of_missing_credentials_does_not_mention_permissions() -> None:
    with (
        pytest.raises(UploadError, match=r"check the credentials$"),
        upload_errors("bucket", "key"),
    ):
        raise NoCredentialsError
