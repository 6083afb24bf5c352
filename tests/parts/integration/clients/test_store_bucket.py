"""Real clients read a bucket of a real store through `serve --bucket s3://...`: its own objects,
and archives among them as directories.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.parts.integration.clients.conftest import contents, run
from tests.support.images.trees import pack
from tests.support.servers.buckets import new_bucket
from tests.support.servers.served import served
from tests.support.servers.server_keeper import own
from tests.support.servers.swift_store import environ_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from tests.parts.integration.clients.conftest import Program
    from tests.support.processes.forked_program import ForkedProgram

BUCKET = own("merged")
BESIDE = {
    "a": b"first",
    "data/sample.sqfs-old": b"below the members",
    "data/sample.sqfs.txt": b"likewise",
    "data/sample.sqfs0": b"above them",
    "data/no image.sqfs": b"named as an archive",
    "data/empty.sqfs": b"",
    "data/deeper/than/this": b"x" * 3_000_000,
    "odd names/a b+c&d=e%41\u00fc?#": b"odd",
    "odd names/../a": b"literal",
    "z" * 1000: b"long",
}
"""Ordinary objects."""
HIDDEN = {"data/sample.sqfs/of the store": b"hidden by the archive"}
HEADERS: dict[str, Any] = {
    "CacheControl": "max-age=5",
    "ContentDisposition": "attachment",
    "ContentEncoding": "br",
    "ContentLanguage": "de",
    "ContentType": "text/x-odd",
    "Metadata": {"who": "me"},
}


@dataclass(frozen=True)
class Served:
    """An endpoint over a store's bucket, and what clients must see there."""

    client: S3Client
    inside: S3Client
    """A client of the store itself."""
    environ: dict[str, str]
    content: dict[str, bytes]


@pytest.fixture(scope="module", params=["swift", "radosgw"])
def bucket(
    request: pytest.FixtureRequest, sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A bucket of each store, served."""
    server = request.getfixturevalue("store" if request.param == "swift" else "gateway")
    inside: S3Client = server.client()
    directory = tmp_path_factory.mktemp(f"merged-{request.param}")
    image = pack(sample, directory / "sample.sqfs")
    environ = environ_of(server.owner, server.url) | {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    with (
        new_bucket(inside, BUCKET),
        served("--bucket", f"s3://{BUCKET}", environ=environ, log=directory / "log") as url,
    ):
        for key, body in (BESIDE | HIDDEN | {"data/sample.sqfs": image.read_bytes()}).items():
            inside.put_object(Bucket=BUCKET, Key=key, Body=body)
        inside.put_object(Bucket=BUCKET, Key="odd headers", Body=b"br", **HEADERS)
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=server.owner.access_key,
            aws_secret_access_key=server.owner.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        members = {f"data/sample.sqfs/{k}": body for k, body in contents(sample).items()}
        content = BESIDE | members | {"odd headers": b"br"}
        content = dict(sorted(content.items(), key=lambda item: item[0].encode()))
        yield Served(client, inside, environ_of(server.owner, url), content)
        client.close()


# ---- boto3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects"])
@pytest.mark.parametrize("page_size", [1, 3, 1000])
def test_pages_of_any_size_are_all_keys_in_order(
    bucket: Served, operation: str, page_size: int
) -> None:
    pages = bucket.client.get_paginator(operation).paginate(  # type: ignore[call-overload]
        Bucket=BUCKET, PaginationConfig={"PageSize": page_size}
    )
    listed = [each for page in pages for each in page.get("Contents", ())]
    assert [(each["Key"], each["Size"]) for each in listed] == [
        (key, len(body)) for key, body in bucket.content.items()
    ]


@pytest.mark.parametrize("page_size", [1, 1000])
def test_a_walk_by_common_prefixes_finds_what_a_flat_listing_does(
    bucket: Served, page_size: int
) -> None:
    found, prefixes = [], [""]
    while prefixes:
        pages = bucket.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET,
            Prefix=prefixes.pop(),
            Delimiter="/",
            PaginationConfig={"PageSize": page_size},
        )
        for page in pages:
            found += [each["Key"] for each in page.get("Contents", ())]
            prefixes += [each["Prefix"] for each in page.get("CommonPrefixes", ())]
    assert sorted(found) == sorted(bucket.content)


def test_a_listing_starts_after_any_key(bucket: Served) -> None:
    keys = list(bucket.content)
    for at, key in enumerate(keys):
        answer = bucket.client.list_objects_v2(Bucket=BUCKET, StartAfter=key, MaxKeys=2)
        assert [each["Key"] for each in answer.get("Contents", ())] == keys[at + 1 : at + 3]


def test_every_key_can_be_read_and_is_as_it_is_listed(bucket: Served) -> None:
    for page in bucket.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for listed in page["Contents"]:
            answer = bucket.client.get_object(Bucket=BUCKET, Key=listed["Key"])
            assert answer["Body"].read() == bucket.content[listed["Key"]]
            head = bucket.client.head_object(Bucket=BUCKET, Key=listed["Key"])
            assert head["ETag"] == answer["ETag"] == listed["ETag"]
            assert head["ContentLength"] == answer["ContentLength"] == listed["Size"]


def test_the_archive_itself_and_its_headers_are_the_stores(bucket: Served) -> None:
    for key in ("data/sample.sqfs", "odd headers"):
        here = bucket.client.get_object(Bucket=BUCKET, Key=key)
        there = bucket.inside.get_object(Bucket=BUCKET, Key=key)
        assert here["Body"].read() == there["Body"].read()
        for name in ("ETag", "LastModified", "ContentLength", *HEADERS):
            assert here.get(name) == there.get(name)


def test_ranges_and_conditions_are_answered_as_the_store_answers(bucket: Served) -> None:
    conditions: tuple[dict[str, Any], ...] = (
        {"Range": "bytes=1-3"},
        {"Range": "bytes=-3"},
        {"Range": "bytes=100-"},
        {"IfMatch": '"no such"'},
        {"IfNoneMatch": bucket.inside.head_object(Bucket=BUCKET, Key="a")["ETag"]},
    )
    for headers in conditions:
        answers: list[object] = []
        for client in (bucket.client, bucket.inside):
            try:
                answer = client.get_object(Bucket=BUCKET, Key="a", **headers)
                answers.append((answer["Body"].read(), answer.get("ContentRange")))
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                answers.append((status, error.response["Error"]["Code"]))
        assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "key",
    ["none", "data/none", "data/none.sqfs/x", "data/sample.sqfs/none", *HIDDEN],
)
def test_what_is_not_there_is_no_such_key(bucket: Served, key: str) -> None:
    with pytest.raises(bucket.client.exceptions.NoSuchKey):
        bucket.client.get_object(Bucket=BUCKET, Key=key)


# ---- Command lines -------------------------------------------------------------------------------


def test_aws_sync_copies_files_and_directories_and_then_nothing(
    bucket: Served, aws_cli: ForkedProgram, tmp_path: Path
) -> None:
    sync = ("s3", "sync", f"s3://{BUCKET}/data", str(tmp_path), "--no-progress")
    environ = os.environ | bucket.environ
    done = aws_cli(*sync, environ=environ)
    assert done.returncode == 0, done.stderr
    below = {key[5:]: body for key, body in bucket.content.items() if key.startswith("data/")}
    assert contents(tmp_path) == below
    assert aws_cli(*sync, environ=environ).stdout == ""


def test_aws_ls_shows_an_archive_as_a_directory(bucket: Served, aws_cli: ForkedProgram) -> None:
    environ = os.environ | bucket.environ
    done = aws_cli("s3", "ls", f"s3://{BUCKET}/data/", environ=environ)
    shown = {line[31:] for line in done.stdout.splitlines()}
    assert {"sample.sqfs/", "deeper/", "sample.sqfs-old", "sample.sqfs0"} <= shown
    assert "sample.sqfs" not in shown


def test_aws_ls_recursive_goes_through_archives(bucket: Served, aws_cli: ForkedProgram) -> None:
    listing = ("s3", "ls", "--recursive", "--summarize", f"s3://{BUCKET}")
    done = aws_cli(*listing, environ=os.environ | bucket.environ)
    assert f"Total Objects: {len(bucket.content)}\n" in done.stdout


@pytest.fixture
def rclone(bucket: Served) -> Program:
    """Run an rclone command; the endpoint is the remote `served`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
    environ |= {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_SERVED_TYPE": "s3",
        "RCLONE_CONFIG_SERVED_PROVIDER": "Other",
        "RCLONE_CONFIG_SERVED_ENDPOINT": bucket.environ["AWS_ENDPOINT_URL_S3"],
        "RCLONE_CONFIG_SERVED_ACCESS_KEY_ID": bucket.environ["AWS_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_SERVED_SECRET_ACCESS_KEY": bucket.environ["AWS_SECRET_ACCESS_KEY"],
        "RCLONE_CONFIG_SERVED_LIST_URL_ENCODE": "true",
        "RCLONE_NO_UNICODE_NORMALIZATION": "true",
    }
    executable = str(Path(sysconfig.get_path("scripts")) / "rclone")
    return lambda *arguments: run(executable, *arguments, environ=environ)


def test_rclone_copies_files_and_directories_and_finds_them_equal(
    bucket: Served, rclone: Program, tmp_path: Path
) -> None:
    remote = f"served:{BUCKET}/data"
    rclone("copy", remote, str(tmp_path))
    below = {key[5:]: body for key, body in bucket.content.items() if key.startswith("data/")}
    assert contents(tmp_path) == below
    rclone("check", "--download", remote, str(tmp_path))


def test_rclone_takes_an_archive_for_a_directory_where_a_slash_says_so(
    bucket: Served, rclone: Program, sample: Path, tmp_path: Path
) -> None:
    rclone("copy", f"served:{BUCKET}/data/sample.sqfs/", str(tmp_path / "directory"))
    assert contents(tmp_path / "directory") == contents(sample)
    rclone("copy", f"served:{BUCKET}/data/sample.sqfs", str(tmp_path / "file"))
    (image,) = contents(tmp_path / "file").values()
    head = bucket.inside.head_object(Bucket=BUCKET, Key="data/sample.sqfs")
    assert len(image) == head["ContentLength"]


# ---- What changes in the store -------------------------------------------------------------------


def test_a_new_archive_is_listed_and_read_at_once(bucket: Served, sample: Path) -> None:
    image = pack(sample / "links", sample.parent / f"new-{bucket.environ['AWS_ACCESS_KEY_ID']}")
    bucket.inside.upload_file(str(image), BUCKET, "new/x.sqfs")
    listed = bucket.client.list_objects_v2(Bucket=BUCKET, Prefix="new/")["Contents"]
    for each in listed:
        bucket.client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].close()
    bucket.inside.delete_object(Bucket=BUCKET, Key="new/x.sqfs")
    assert bucket.client.list_objects_v2(Bucket=BUCKET, Prefix="new/")["KeyCount"] == 0
