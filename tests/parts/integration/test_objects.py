"""Every file of a packed tree is an S3 object, by both transports, from a real S3 server."""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.support.servers.transports import BUCKET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.transports import Transport

PREFIX = "library/"
RANGES = 500


@pytest.fixture(scope="module")
def objects(tree: Path) -> dict[str, Path]:
    """The keys that the tree should have: regular files, and symlinks that lead to one."""
    found = {}
    for top, _, files in os.walk(tree):
        for name in files:
            path = tree / top / name
            if path.is_file():
                found[PREFIX + str(path.relative_to(tree))] = path
    assert len(found) > 500
    return found


def test_every_file_is_equal_byte_for_byte(transport: Transport, objects: dict[str, Path]) -> None:
    for key, path in objects.items():
        answer = transport.client.get_object(Bucket=BUCKET, Key=key)
        with answer["Body"] as body:
            assert body.read() == path.read_bytes(), key


def test_listing_has_the_keys_and_sizes_of_the_tree(
    transport: Transport, objects: dict[str, Path]
) -> None:
    pages = transport.client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, PaginationConfig={"PageSize": 700}
    )
    listed = [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", [])]
    expected = [(key, path.stat().st_size) for key, path in objects.items()]
    assert listed == sorted(expected, key=lambda item: item[0].encode())


def test_random_ranges_are_equal(transport: Transport, objects: dict[str, Path]) -> None:
    random = Random(1)
    keys = [key for key, path in objects.items() if path.stat().st_size]
    for _ in range(RANGES):
        key = random.choice(keys)
        content = objects[key].read_bytes()
        start = random.randrange(len(content))
        stop = random.randint(start + 1, len(content))
        answer = transport.client.get_object(
            Bucket=BUCKET, Key=key, Range=f"bytes={start}-{stop - 1}"
        )
        with answer["Body"] as body:
            assert body.read() == content[start:stop], (key, start, stop)
        assert answer["ContentRange"] == f"bytes {start}-{stop - 1}/{len(content)}"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206


def test_head_agrees_with_get_and_the_listing(
    transport: Transport, objects: dict[str, Path]
) -> None:
    listed = transport.client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX + "awkward names/")
    assert listed["KeyCount"] > 9
    for item in listed["Contents"]:
        key, path = item["Key"], objects[item["Key"]]
        head = transport.client.head_object(Bucket=BUCKET, Key=key)
        got = transport.client.get_object(Bucket=BUCKET, Key=key)
        got["Body"].close()
        assert head["ETag"] == got["ETag"] == item["ETag"]
        assert head["ContentLength"] == got["ContentLength"] == item["Size"]
        assert head["LastModified"] == got["LastModified"] == item["LastModified"]
        assert head["LastModified"].timestamp() == int(path.stat().st_mtime)
        assert head["Metadata"] == got["Metadata"]
        assert head["Metadata"]["file-owner"] == str(path.stat().st_uid)
        assert head["ContentType"] == got["ContentType"]


def test_directories_are_common_prefixes(transport: Transport, tree: Path) -> None:
    listed = transport.client.list_objects_v2(Bucket=BUCKET, Prefix=PREFIX, Delimiter="/")
    directories = {
        f"{PREFIX}{path.name}/"
        for path in tree.iterdir()
        if path.is_dir() and any(item.is_file() for item in path.rglob("*"))
    }
    assert {item["Prefix"] for item in listed["CommonPrefixes"]} == directories


@pytest.mark.parametrize(
    "key",
    ["library/nowhere", "library/os.py/", "library", "library/", "other/os.py", "library//os.py"],
)
def test_missing_and_unmapped_keys_are_404(transport: Transport, key: str) -> None:
    with pytest.raises(ClientError) as raised:
        transport.client.get_object(Bucket=BUCKET, Key=key)
    assert raised.value.response["Error"]["Code"] == "NoSuchKey"
    with pytest.raises(ClientError) as raised:
        transport.client.head_object(Bucket=BUCKET, Key=key)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_version_1_of_list_objects_pages_through_the_same_keys(
    transport: Transport, objects: dict[str, Path]
) -> None:
    pages = transport.client.get_paginator("list_objects").paginate(
        Bucket=BUCKET, Prefix=PREFIX, PaginationConfig={"PageSize": 500}
    )
    assert [found["Key"] for page in pages for found in page["Contents"]] == sorted(objects)


def test_download_file_above_the_multipart_threshold_is_equal(
    transport: Transport, objects: dict[str, Path], tmp_path: Path
) -> None:
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415 -- beside its one use

    key = max(objects, key=lambda key: objects[key].stat().st_size)
    config = TransferConfig(multipart_threshold=1 << 18, multipart_chunksize=1 << 18)
    transport.client.download_file(BUCKET, key, str(tmp_path / "copy"), Config=config)
    assert (tmp_path / "copy").read_bytes() == objects[key].read_bytes()
