"""An upload of 1 GiB, interrupted, in less memory than that."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.upload.upload import THREADS
from tests.parts.integration.upload.conftest import program, swift
from tests.support.adapter.uploads import BUCKET, PART_BYTES, Store, hash_of, parts_sent
from tests.support.images.trees import pack

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["program", "swift"]  # fixtures

GIB = 1 << 30
ADDRESS_SPACE = 768 << 20
"""Bytes that the command may map, less than the image."""
STALLED_PART = 21
"""The part at which the upload is interrupted."""


@pytest.fixture(scope="session")
def sparse_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 1 GiB, most of which is a hole on disk and zeros in its blocks."""
    directory = tmp_path_factory.mktemp("sparse")
    content = directory / "content"
    content.mkdir()
    with (content / "file").open("wb") as file:
        for number, offset in enumerate(range(0, GIB, PART_BYTES)):
            file.seek(offset)
            file.write(b"part %d" % number)
        file.truncate(GIB)
    stored = pack(content, directory / "stored.sqfs", extra=["-noD", "-noF", "-no-sparse"])
    image = directory / "sparse.sqfs"
    subprocess.run(["cp", "--sparse=always", stored, image], check=True)
    stored.unlink()
    (content / "file").unlink()
    assert image.stat().st_size > GIB
    assert image.stat().st_blocks * 512 < GIB // 8
    return image


def test_an_upload_of_1_gib_that_was_killed_goes_on_where_it_was(
    swift: Store, sparse_image: Path
) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    swift.interrupt(signal.SIGKILL, sparse_image, url, part=STALLED_PART)
    there = swift.parts("a.sqfs")
    assert STALLED_PART - THREADS <= len(there) < STALLED_PART  # the last were under way
    assert swift.keys() == []
    swift.proxy.reset()

    limit = f"--as={ADDRESS_SPACE}"
    limited = ["prlimit", limit, *swift.command(sparse_image, url)]
    subprocess.run(limited, env=swift.environ, check=True)

    every = {*range(1, -(-sparse_image.stat().st_size // PART_BYTES) + 1)}
    assert parts_sent(swift.proxy.requests) == sorted(every - there)
    assert swift.unfinished() == []
    assert swift.hash("a.sqfs") == hash_of(sparse_image)
    with sparse_image.open("rb") as image:
        assert swift.superblock("a.sqfs") == image.read(96)
    swift.proxy.reset()
    listed = subprocess.run(
        [sys.executable, "-m", "s3archivefs.cli", "ls", "-l", url],
        env=swift.environ | {"S3ARCHIVEFS_SUPERBLOCK_METADATA": "expected"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert f" {GIB} " in listed.stdout
    assert len(swift.proxy.requests) == 1  # its first bytes are in the metadata
