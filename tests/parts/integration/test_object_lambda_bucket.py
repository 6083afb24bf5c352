"""The function over the bucket behind its access point: the setting S3ARCHIVEFS_BUCKET_ARCHIVES.

What a caller may have of the bucket is decided by the store, as S3 asks it in the caller's name.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from fixtures.tree import directory as directory_node
from fixtures.tree import file
from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.aws.supporting_point import SupportingPoint
from tests.support.images.fixtures import make_image
from tests.support.servers.buckets import new_bucket
from tests.support.servers.server_keeper import own

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.servers.swift_store import Credentials, SwiftStore

BUCKET = own("behind")
ALIAS = "access-point"
LARGE = bytes(range(256)) * 40_000
"""Ten pieces of a body."""


@dataclass(frozen=True)
class Behind:
    """The access point, for its owner and for somebody who may use it and has no other rights."""

    owner: S3Client
    stranger: S3Client


@pytest.fixture(scope="module")
def behind(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    inside = store.client()
    directory = tmp_path_factory.mktemp("behind")
    tree = (file("x", b"in x"), directory_node("sub"), file("sub/y", b"in sub"))
    image = make_image(directory, tree)
    with (
        new_bucket(inside, BUCKET),
        _access_point(store, store.owner, directory / "owner") as owner,
        _access_point(store, store.stranger, directory / "stranger") as stranger,
    ):
        inside.put_object(Bucket=BUCKET, Key="d/a.sqfs", Body=image.read_bytes())
        inside.put_object(Bucket=BUCKET, Key="d/a.sqfs-old", Body=b"old")
        inside.put_object(Bucket=BUCKET, Key="large \u00fc+%41", Body=LARGE, Metadata={"who": "me"})
        yield Behind(owner, stranger)


@contextmanager
def _access_point(store: SwiftStore, caller: Credentials, directory: Path) -> Iterator[S3Client]:
    """A client of an access point that asks the store in this caller's name."""
    (directory / "cache").mkdir(parents=True)
    with (
        SupportingPoint(store.url, BUCKET, caller.access_key, caller.secret_key) as supporting,
        AccessPoint(store.url, bucket=ALIAS, supporting=supporting) as access_point,
    ):
        environ = store.environ(endpoint_url=access_point.url)
        settings = {
            "S3ARCHIVEFS_BUCKET_ARCHIVES": "*.sqfs",
            "S3ARCHIVEFS_CACHE_DIR": str(directory / "cache"),
        }
        with RuntimeApi(environ | settings) as function:
            access_point.function = function
            yield store.client(endpoint_url=access_point.url)


def get(client: S3Client, key: str, **parameters: str) -> bytes:
    return client.get_object(Bucket=ALIAS, Key=key, **parameters)["Body"].read()  # type: ignore[arg-type]


def test_objects_pass_and_archives_are_directories(behind: Behind) -> None:
    listed = behind.owner.list_objects_v2(Bucket=ALIAS)["Contents"]
    assert [each["Key"] for each in listed] == [
        "d/a.sqfs-old",
        "d/a.sqfs/sub/y",
        "d/a.sqfs/x",
        "large \u00fc+%41",
    ]
    assert get(behind.owner, "d/a.sqfs/sub/y") == b"in sub"
    assert get(behind.owner, "d/a.sqfs-old") == b"old"
    head = behind.owner.head_object(Bucket=ALIAS, Key="large \u00fc+%41")
    assert (head["ContentLength"], head["Metadata"]) == (len(LARGE), {"who": "me"})
    assert get(behind.owner, "large \u00fc+%41") == LARGE
    assert get(behind.owner, "large \u00fc+%41", Range="bytes=5-9") == LARGE[5:10]


def test_pages_go_on_by_tokens(behind: Behind) -> None:
    pages = behind.owner.get_paginator("list_objects_v2").paginate(
        Bucket=ALIAS, PaginationConfig={"PageSize": 1}
    )
    assert sum(page["KeyCount"] for page in pages) == 4
    answer = behind.owner.list_objects_v2(Bucket=ALIAS, Prefix="d/", Delimiter="/")
    assert [each["Prefix"] for each in answer["CommonPrefixes"]] == ["d/a.sqfs/"]


def test_what_is_not_there_is_no_such_key(behind: Behind) -> None:
    for key in ("none", "d/a.sqfs/none", "n.sqfs/none"):
        with pytest.raises(behind.owner.exceptions.NoSuchKey):
            get(behind.owner, key)


def test_a_condition_that_fails_is_told(behind: Behind) -> None:
    with pytest.raises(ClientError) as error:
        get(behind.owner, "d/a.sqfs-old", IfMatch='"no such"')
    assert error.value.response["Error"]["Code"] == "PreconditionFailed"


@pytest.mark.parametrize("key", ["d/a.sqfs-old", "d/a.sqfs", "d/a.sqfs/x", "d/a.sqfs/none"])
def test_a_caller_whom_the_store_refuses_reads_neither_objects_nor_members(
    behind: Behind, key: str
) -> None:
    with pytest.raises(ClientError) as error:
        get(behind.stranger, key)
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(ClientError) as error:
        behind.stranger.head_object(Bucket=ALIAS, Key=key)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_caller_who_may_not_list_the_bucket_lists_nothing(behind: Behind) -> None:
    for prefix in ("", "d/a.sqfs/"):
        with pytest.raises(ClientError) as error:
            behind.stranger.list_objects_v2(Bucket=ALIAS, Prefix=prefix)
        assert error.value.response["Error"]["Code"] == "AccessDenied"
