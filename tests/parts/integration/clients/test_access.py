"""Several buckets over HTTPS, with access keys that read different prefixes, to real clients."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.servers.served import served
from tests.support.servers.tls import authority, install, trusting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from types_boto3_s3 import S3Client

    from tests.support.processes.forked_program import ForkedProgram

    Clients = Callable[[str], AbstractContextManager[S3Client]]

FIXTURE = "fixtures/gzip.sqfs"
AUTHORITY = str(authority("one"))
SECRETS = {
    "ADMIN": "secret-of-admin",
    "READER": "secret-of-reader",
    "FORMER": "secret-of-former",
    "NOBODY": "secret-of-nobody",
}
KEYS = [
    {"id": "ADMIN", "secret": SECRETS["ADMIN"]},
    {"id": "READER", "secret": SECRETS["READER"], "prefixes": ["docs", "s3://maps/new"]},
    {"id": "FORMER", "secret": SECRETS["FORMER"], "disabled": True},
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[str]:
    """An endpoint over HTTPS with the buckets `archive` and `maps`."""
    directory = tmp_path_factory.mktemp("access")
    certificate, key = install("one", directory)
    keys = directory / "keys.json"
    keys.touch(0o600)
    keys.write_text(json.dumps(KEYS))
    image = pytestconfig.rootpath / FIXTURE
    maps = ("docs", "other", "s3://maps/new", "s3://maps/old")
    options = [
        *(option for prefix in maps for option in ("--map", f"{prefix}={image}")),
        *("--keys-file", str(keys), "--tls-cert", str(certificate), "--tls-key", str(key)),
    ]
    environ = {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    with served(*options, environ=environ, log=directory / "log") as url:
        yield url
    log = (directory / "log").read_text()
    assert "Traceback" not in log
    assert "secret-of" not in log


@pytest.fixture(params=["s3v4", None], ids=["version 4", "presigns with version 2"])
def client(url: str, request: pytest.FixtureRequest) -> Clients:
    """A client of boto3 for the key of that id."""
    return lambda name: client_for(url, name, request.param)


@contextmanager
def client_for(
    url: str, name: str, version: str | None, style: Literal["path", "virtual"] = "path"
) -> Iterator[S3Client]:
    made = boto3.client(
        "s3",
        endpoint_url=url.replace("127.0.0.1", "localhost"),
        region_name="us-east-1",
        aws_access_key_id=name,
        aws_secret_access_key=SECRETS[name],
        verify=AUTHORITY,
        config=Config(signature_version=version, s3={"addressing_style": style}),
    )
    with closing(made):
        yield made


def code_of(call: Callable[[], object]) -> str:
    """S3's code of the error that a call raises."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_each_key_sees_its_buckets(client: Clients) -> None:
    with client("ADMIN") as admin, client("READER") as reader:
        for each in (admin, reader):
            assert [found["Name"] for found in each.list_buckets()["Buckets"]] == [
                "archive",
                "maps",
            ]
            each.head_bucket(Bucket="maps")
            each.get_bucket_location(Bucket="maps")
        assert code_of(lambda: admin.head_bucket(Bucket="nowhere")) == "404"


def test_a_key_reads_under_its_prefixes_and_nowhere_else(
    client: Clients,
) -> None:
    with client("ADMIN") as admin, client("READER") as reader:
        for bucket, prefix in (("archive", "docs/"), ("maps", "new/")):
            page = reader.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
            assert page == admin.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
            key = next(found["Key"] for found in page if found["Size"])
            content = reader.get_object(Bucket=bucket, Key=key)["Body"].read()
            assert content == admin.get_object(Bucket=bucket, Key=key)["Body"].read()
        for bucket, prefix in (
            *(("archive", ""), ("archive", "docs"), ("archive", "other/"), ("maps", "old/")),
        ):
            listing = partial(reader.list_objects_v2, Bucket=bucket, Prefix=prefix)
            assert code_of(listing) == "AccessDenied"
            assert admin.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"]
        key = admin.list_objects_v2(Bucket="archive", Prefix="other/")["Contents"][0]["Key"]
        assert code_of(lambda: reader.get_object(Bucket="archive", Key=key)) == "AccessDenied"
        assert code_of(lambda: reader.head_object(Bucket="archive", Key=key)) == "403"


@pytest.mark.parametrize("name", ["FORMER", "NOBODY"])
def test_disabled_and_unknown_keys_are_none(client: Clients, name: str) -> None:
    with client(name) as former:
        assert code_of(former.list_buckets) == "InvalidAccessKeyId"


def test_a_presigned_url_may_do_what_its_key_may(
    client: Clients,
) -> None:
    with client("ADMIN") as admin:
        keys = {
            prefix: next(
                found["Key"]
                for found in admin.list_objects_v2(Bucket="archive", Prefix=prefix)["Contents"]
                if found["Size"]
            )
            for prefix in ("docs/", "other/")
        }
    for name, prefix, status in (
        ("READER", "docs/", 200),
        ("READER", "other/", 403),
        ("ADMIN", "other/", 200),
        ("FORMER", "docs/", 403),
    ):
        with client(name) as signing:
            parameters = {"Bucket": "archive", "Key": keys[prefix]}
            url = signing.generate_presigned_url("get_object", Params=parameters)
        assert status_of(url) == status


def status_of(url: str) -> int:
    try:
        with urlopen(url, context=trusting("one")) as response:  # noqa: S310 -- it is https
            status: int = response.status
    except HTTPError as error:
        with error:
            status = error.code
    return status


@pytest.fixture
def localhost_has_subdomains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system resolves them, as browsers do."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, **named: object) -> object:
        return resolve("127.0.0.1" if host.endswith(".localhost") else host, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("localhost_has_subdomains")
@pytest.mark.parametrize("version", ["s3v4", None])
def test_buckets_are_addressed_as_hosts(url: str, version: str | None) -> None:
    with (
        client_for(url, "READER", version, style="virtual") as reader,
        client_for(url, "READER", version) as by_path,
    ):
        page = reader.list_objects_v2(Bucket="maps", Prefix="new/")
        assert page["Contents"] == by_path.list_objects_v2(Bucket="maps", Prefix="new/")["Contents"]
        key = next(found["Key"] for found in page["Contents"] if found["Size"])
        parameters = {"Bucket": "maps", "Key": key}
        content = reader.get_object(Bucket="maps", Key=key)["Body"].read()
        presigned = reader.generate_presigned_url("get_object", Params=parameters)
    assert str(urlsplit(presigned).hostname) == "maps.localhost"
    with urlopen(presigned, context=trusting("one")) as response:  # noqa: S310 -- it is https
        assert response.read() == content


def test_the_aws_cli_syncs_what_its_key_may_read(
    aws_cli: ForkedProgram, url: str, tmp_path: Path
) -> None:
    environ = os.environ | {
        "AWS_ACCESS_KEY_ID": "READER",
        "AWS_SECRET_ACCESS_KEY": "secret-of-reader",
        "AWS_REGION": "us-east-1",
        "AWS_CA_BUNDLE": AUTHORITY,
        "AWS_ENDPOINT_URL_S3": url,
    }
    listed = aws_cli("s3", "ls", environ=environ)
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["archive", "maps"]
    done = aws_cli("s3", "sync", "s3://maps/new/", str(tmp_path / "new"), environ=environ)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "new").iterdir())
    denied = aws_cli("s3", "sync", "s3://maps/old/", str(tmp_path / "old"), environ=environ)
    assert denied.returncode != 0
    assert "(AccessDenied)" in denied.stderr
