"""Images in a bucket that keeps versions: each change makes one, and the former ones stay."""

from __future__ import annotations

import io
from random import Random
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.adapter.uploads import BUCKET, Store, empty_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes.forked_program import ForkedProgram
    from tests.support.servers.radosgw_server import RadosGateway

URL = f"s3://{BUCKET}/a.sqfs"
LARGE = Random(7).randbytes(11 << 20)
"""Some of which is copied by the store."""


@pytest.fixture
def versioned(gateway: RadosGateway, program: ForkedProgram, tmp_path: Path) -> Iterator[Store]:
    """An empty bucket of the gateway that keeps versions."""
    with empty_bucket(gateway, program, tmp_path) as uploads:
        client = gateway.client()
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield uploads
        for each in client.list_object_versions(Bucket=BUCKET).get("Versions", []):
            client.delete_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])


def test_each_change_makes_a_version_and_former_ones_stay(versioned: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(LARGE)
    (source / "small").write_bytes(b"small" * 100_000)
    (tmp_path / "new").write_bytes(b"new")
    versioned.run("pack", source, URL, "--compressor", "none")
    versioned.run("append", URL, tmp_path / "new")
    versioned.run("remove", URL, "/small")
    versioned.run("compact", URL, "--threshold", "0")
    versioned.run("pack", "--force", tmp_path / "new", URL)

    client = versioned.store.client()
    found = client.list_object_versions(Bucket=BUCKET)["Versions"]
    names = []
    for version in sorted(found, key=lambda each: each["LastModified"]):
        answer = client.get_object(Bucket=BUCKET, Key="a.sqfs", VersionId=version["VersionId"])
        with s3archivefs.open(io.BytesIO(answer["Body"].read())) as fs:
            assert [*fs.verify()] == []
            names.append(sorted(path for path, *_ in fs.walk_files()))
    assert names == [
        ["/large", "/small"],
        ["/large", "/new", "/small"],
        ["/large", "/new"],
        ["/large", "/new"],
        ["/new"],
    ]
