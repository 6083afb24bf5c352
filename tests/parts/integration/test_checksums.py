"""Clients hold whole objects against the checksums that `pack --checksums` gave their files."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import FlexibleChecksumError

from s3archivefs.writer import Entry, FileOutput, ImageWriter, PackOptions
from tests.support.adapter.counted_reader import counted_reader
from tests.support.servers.transports import BUCKET, Transport, open_transport, upload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes.forked_program import ForkedProgram
    from tests.support.servers.swift_store import SwiftStore

CONTENT = b"some content " * 100_000
CHECKSUM = b64encode(hashlib.sha256(CONTENT).digest()).decode()
REFUSED = 255
"""The CLI's exit status where a body is not what its checksum says."""


def entry(*xattrs: tuple[bytes, bytes]) -> Entry:
    return Entry(b"file", open=lambda: BytesIO(CONTENT), xattrs=xattrs)


@pytest.fixture(scope="module")
def archives(store: SwiftStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """URLs of archives whose one file has its checksum, a wrong one, and none."""
    directory = tmp_path_factory.mktemp("archives")
    made: dict[str, tuple[Entry, bool]] = {
        "right": (entry(), True),
        "wrong": (entry((b"user.sha256", b"0" * 64)), False),
        "none": (entry(), False),
    }
    for name, (member, checksums) in made.items():
        with ImageWriter(FileOutput(directory / name), PackOptions(checksums=checksums)) as image:
            image.add(member)
    return {name: upload(store, directory / name, f"{name}.sqfs", superblock=True) for name in made}


@pytest.fixture(scope="module", params=["object-lambda", "endpoint"])
def transport(
    request: pytest.FixtureRequest,
    store: SwiftStore,
    archives: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Transport]:
    directory = tmp_path_factory.mktemp(request.param)
    with open_transport(request.param, store, directory, archives) as transport:
        yield transport


def test_boto3_gets_them_and_refuses_what_differs(transport: Transport, tmp_path: Path) -> None:
    client: Any = transport.client
    for name, expected in (("right", CHECKSUM), ("none", None)):
        got = client.get_object(Bucket=BUCKET, Key=f"{name}/file")
        assert got["Body"].read() == CONTENT
        assert got.get("ChecksumSHA256") == expected
    head = client.head_object(Bucket=BUCKET, Key="right/file", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (CHECKSUM, "FULL_OBJECT")
    assert "ChecksumSHA256" not in client.head_object(Bucket=BUCKET, Key="right/file")
    part = client.get_object(Bucket=BUCKET, Key="right/file", Range="bytes=5-9")
    assert part["Body"].read() == CONTENT[5:10]
    assert "ChecksumSHA256" not in part
    client.download_file(BUCKET, "right/file", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == CONTENT
    if transport.name == "endpoint":
        attributes = client.get_object_attributes(
            Bucket=BUCKET, Key="right/file", ObjectAttributes=["Checksum"]
        )
        assert attributes["Checksum"]["ChecksumSHA256"] == CHECKSUM
    wrong = client.get_object(Bucket=BUCKET, Key="wrong/file")
    with pytest.raises(FlexibleChecksumError):
        wrong["Body"].read()


def test_the_aws_cli_takes_what_is_right_and_refuses_what_differs(
    transport: Transport, store: SwiftStore, aws_cli: ForkedProgram, tmp_path: Path
) -> None:
    if transport.name != "endpoint":
        return  # boto3 shows the other, and each run of the CLI takes a second
    environ = os.environ | store.environ(endpoint_url=transport.url)
    copy = tmp_path / "copy"
    done = aws_cli("s3", "cp", f"s3://{BUCKET}/right/file", str(copy), environ=environ)
    assert done.returncode == 0
    assert copy.read_bytes() == CONTENT
    get = ("s3api", "get-object", "--bucket", BUCKET, "--checksum-mode", "ENABLED")
    done = aws_cli(*get, "--key", "wrong/file", str(copy), environ=environ)
    assert done.returncode == REFUSED
    assert "did not match calculated checksum" in done.stderr


@pytest.mark.parametrize("name", ["none", "right"])
def test_they_cost_no_request_where_metadata_is_short(
    name: str,
    store: SwiftStore,
    archives: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs = []
    for mode in ("DISABLED", "ENABLED"):
        cache = tmp_path / mode
        cache.mkdir()
        with counted_reader(store, archives[name], cache, monkeypatch) as cold:
            assert cold.get("file", **{"x-amz-checksum-mode": mode}) == CONTENT
            costs.append(cold.cost())
    assert costs[0] == costs[1]
