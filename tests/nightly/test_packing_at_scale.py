"""Packing gigabytes into a real store: without a disk, in bounded memory.

    TESTS_PACKED_BYTES=20000000000 pytest -s tests/nightly/test_packing_at_scale.py

`TESTS_PACKED_FILES` is the number of small files of the other test.

The store needs as much room on disk as is packed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs_lambda.upload.image_stream import streamed_part_size
from tests.support.images.many_files import noise_of, path_of, tar_of_many
from tests.support.images.streamed import StreamedTar
from tests.support.processes.confined import confined
from tests.support.servers.transports import STORE_BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

PACKED_BYTES = int(os.environ.get("TESTS_PACKED_BYTES", "2000000000"))
PACKED_FILES = int(os.environ.get("TESTS_PACKED_FILES", "1000000"))
MEMORY = 512 << 20
SWIFT_PARTS = 1000
"""Parts that Swift takes of an object, at most."""
KEY = "large.sqfs"
SAMPLED = 97
"""Of so many files one is read back, and the SHA-256s of all."""
URL = f"s3://{STORE_BUCKET}/{KEY}"
COMMAND = (sys.executable, "-m", "s3archivefs.cli")


def pack(
    store: SwiftStore, directory: Path, tar: Iterable[bytes | memoryview], *options: str
) -> Any:  # noqa: ANN401 -- JSON
    """Pack a tar stream into the store; what was packed, as the command tells it."""
    environ = os.environ | store.environ() | {"HOME": str(directory), "TMPDIR": str(directory)}
    packing = [*COMMAND, "pack", "--force", "--no-progress", "--json", *options, "-", URL]
    # Nothing goes to files that pytest may have for its own output: the command may write none.
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with confined(packing, memory=MEMORY, env=environ, cwd=directory, **pipes) as process:
        running = process.running
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        with suppress(BrokenPipeError):  # what broke it is told below
            for piece in tar:
                running.stdin.write(piece)
            running.stdin.close()
        packed, told = running.stdout.read(), running.stderr.read()
        assert process.wait() == 0, told.decode()
    print(f"{packed!r}, {process.memory >> 20} MiB, {process.processor:.0f} s of processor time")
    assert process.memory <= MEMORY
    assert [*directory.iterdir()] == []
    return json.loads(packed)


def require_parts_that_swift_takes(store: SwiftStore) -> None:
    client = store.client()
    head = client.head_object(Bucket=STORE_BUCKET, Key=KEY)
    parts = int(head["ETag"].strip('"').partition("-")[2])
    assert parts == -(-head["ContentLength"] // streamed_part_size(None)) <= SWIFT_PARTS
    assert "Uploads" not in client.list_multipart_uploads(Bucket=STORE_BUCKET)


def sums_of(store: SwiftStore, *arguments: str) -> dict[str, str]:
    """What `hash` finds of the image, or of those of its paths that are named."""
    found = subprocess.run(
        [*COMMAND, "hash", URL, *arguments],
        env=os.environ | store.environ(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = (line.split("  ", 1) for line in found.stdout.splitlines())
    return {path: digest for digest, path in lines}


@pytest.mark.timeout(7200)
def test_gigabytes_need_no_disk_and_512_mb(store: SwiftStore, tmp_path: Path) -> None:
    tar = StreamedTar(PACKED_BYTES)
    packed = pack(store, tmp_path, tar, "--level", "3", "--checksums")
    assert packed["files"] == len(tar.sums)
    assert packed["content_size"] == tar.content_bytes
    require_parts_that_swift_takes(store)

    assert sums_of(store, "--stored") == tar.sums
    sample = [*tar.sums][1::SAMPLED]  # the large file at the start would be most of it
    assert sums_of(store, *sample) == {path: tar.sums[path] for path in sample}
    store.client().delete_object(Bucket=STORE_BUCKET, Key=KEY)


@pytest.mark.timeout(3600)
def test_a_million_files_need_512_mb_whoever_sends_them(store: SwiftStore, tmp_path: Path) -> None:
    packed = pack(store, tmp_path, tar_of_many(PACKED_FILES, noise_of))
    assert packed["files"] == PACKED_FILES
    sample = range(0, PACKED_FILES, PACKED_FILES // 50)
    assert sums_of(store, *map(path_of, sample)) == {
        path_of(number): hashlib.sha256(noise_of(number)).hexdigest() for number in sample
    }
    store.client().delete_object(Bucket=STORE_BUCKET, Key=KEY)
