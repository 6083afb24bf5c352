"""What a module's tests share in a store is made again where a worker comes back to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.servers.buckets import new_bucket
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = own("made-again")


@pytest.mark.parametrize("server", ["store", "gateway"])
def test_a_bucket_is_empty_each_time(request: pytest.FixtureRequest, server: str) -> None:
    client: S3Client = request.getfixturevalue(server).client()
    for _ in range(2):
        with new_bucket(client, BUCKET):
            assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
            for key in ("a", "odd/../ü+%41", "odd//b"):
                client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        client.list_objects_v2(Bucket=BUCKET)
