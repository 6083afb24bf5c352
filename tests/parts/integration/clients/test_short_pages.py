"""Real clients go on from pages that are short or empty, as they do with S3's own."""

from __future__ import annotations

import ast
import json
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
import pytest

from tests.parts.integration.clients.conftest import run
from tests.parts.integration.clients.test_s3fs import PROGRAM, PYTHON_VARIABLE
from tests.support.images.built import build, directory, file, symlink
from tests.support.servers.served import served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.processes.forked_program import ForkedProgram

    Aws = Callable[..., str]

BUCKET = "sparse"
LINKS = 13
"""Each by way of the next ones to nothing, and each long: a page follows a few of them."""
KEYS = ["first", "m/z", "z"]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings by which AWS's programs find an endpoint over an archive of next to nothing."""
    folder = tmp_path_factory.mktemp("sparse")
    links = {b"%02d" % n: symlink(b"./" * 1990 + b"%02d" % (n + 1)) for n in range(LINKS)}
    middle = directory({**links, b"z": file(b"in the middle")})
    tree = directory({b"first": file(b"first"), b"m": middle, b"z": file(b"last")})
    image = folder / "sparse.sqfs"
    image.write_bytes(bytes(build(tree)))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with served(f"--map=={image}", "--bucket", BUCKET, environ={}, log=folder / "log") as url:
        yield environ | {
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@pytest.fixture
def aws(aws_cli: ForkedProgram, environ: dict[str, str]) -> Aws:
    """Run an AWS CLI command, which must succeed; what it writes."""

    def run_aws(*arguments: str) -> str:
        done = aws_cli(*arguments, environ=environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_aws


# ---- The AWS CLI ---------------------------------------------------------------------------------


def test_aws_s3_ls_shows_all(aws: Aws) -> None:
    top = aws("s3", "ls", f"s3://{BUCKET}/").splitlines()
    assert sorted(line.split()[-2:] for line in top) == [["4", "z"], ["5", "first"], ["PRE", "m/"]]
    every = aws("s3", "ls", "--recursive", f"s3://{BUCKET}/").splitlines()
    assert [line.split()[-1] for line in every] == KEYS


@pytest.mark.parametrize("operation", ["list-objects", "list-objects-v2"])
def test_aws_s3api_pages_on_by_itself(aws: Aws, operation: str) -> None:
    listing = ("s3api", operation, "--bucket", BUCKET)
    found = json.loads(aws(*listing))
    assert [item["Key"] for item in found["Contents"]] == KEYS
    found = json.loads(aws(*listing, "--delimiter", "/", "--page-size", "1"))
    assert [item["Key"] for item in found["Contents"]] == ["first", "z"]
    assert [item["Prefix"] for item in found["CommonPrefixes"]] == ["m/"]


def test_aws_s3api_goes_on_by_hand_from_an_empty_page(aws: Aws) -> None:
    listing = ("s3api", "list-objects", "--bucket", BUCKET, "--no-paginate", "--delimiter", "/")
    pages = [json.loads(aws(*listing, "--marker", "first"))]
    while pages[-1]["IsTruncated"]:
        pages.append(json.loads(aws(*listing, "--marker", pages[-1]["NextMarker"])))
    assert len(pages) > 2
    assert not {"Contents", "CommonPrefixes"} & pages[0].keys()
    assert [item["Prefix"] for item in pages[-1]["CommonPrefixes"]] == ["m/"]
    assert [item["Key"] for item in pages[-1]["Contents"]] == ["z"]


# ---- boto3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_paginators_of_boto3_go_on(
    environ: dict[str, str],
    operation: Literal["list_objects", "list_objects_v2"],
    delimiter: str,
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    paginator: Any = client.get_paginator(operation)
    pages = [*paginator.paginate(Bucket=BUCKET, Delimiter=delimiter)]
    assert len(pages) > 2
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    prefixes = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
    assert (keys, prefixes) == ((["first", "z"], ["m/"]) if delimiter else (KEYS, []))


# ---- rclone and s3fs -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1", "2"])
def test_rclone_lists_all(environ: dict[str, str], version: str) -> None:
    settings = environ | {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_SERVED_TYPE": "s3",
        "RCLONE_CONFIG_SERVED_PROVIDER": "Other",
        "RCLONE_CONFIG_SERVED_ENDPOINT": environ["AWS_ENDPOINT_URL"],
        "RCLONE_CONFIG_SERVED_ENV_AUTH": "true",
    }
    executable = str(Path(sysconfig.get_path("scripts")) / "rclone")
    listing = (executable, "lsf", "--s3-list-version", version, f"served:{BUCKET}")
    assert run(*listing, environ=settings).stdout.split() == ["first", "m/", "z"]
    fast = run(*listing, "--recursive", "--files-only", "--fast-list", environ=settings)
    assert sorted(fast.stdout.split()) == KEYS


def test_s3fs_lists_all(environ: dict[str, str]) -> None:
    python = os.environ.get(PYTHON_VARIABLE)
    if python is None:
        pytest.fail(f"{PYTHON_VARIABLE} is not set: run `python3 noxfile.py -s parts`, which does")
    program = PROGRAM.format(statements=f"result = fs.ls('{BUCKET}'), fs.find('{BUCKET}')")
    listed, found = ast.literal_eval(run(python, "-I", "-c", program, environ=environ).stdout)
    assert sorted(listed) == [f"{BUCKET}/first", f"{BUCKET}/m", f"{BUCKET}/z"]
    assert sorted(found) == [f"{BUCKET}/{key}" for key in KEYS]
