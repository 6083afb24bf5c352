"""Storage classes, sizes of parts, and progress on a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.adapter.uploads import BUCKET, Store, hash_of, is_write, parts_sent


def test_a_storage_class_is_asked_for(
    uploads: Store, small_image: Path, image_in_parts: Path
) -> None:
    for path in (small_image, image_in_parts):
        uploads.proxy.reset()
        url = f"s3://{BUCKET}/a.sqfs"
        uploads.upload(path, url, "--storage-class", "STANDARD", "--force")
        first = next(request for request in uploads.proxy.requests if is_write(request))
        assert first.headers["x-amz-storage-class"] == "STANDARD"


@pytest.mark.parametrize(
    ("value", "asked"),
    [("STANDARD", "STANDARD"), ("INT", "INTELLIGENT_TIERING"), ("GIR", "GLACIER_IR")],
)
def test_a_storage_class_is_asked_for_by_the_variable(
    swift: Store, small_image: Path, value: str, asked: str
) -> None:
    swift = replace(swift, environ=swift.environ | {"S3ARCHIVEFS_STORAGE_CLASS": value})
    # Swift has the one class.
    swift.upload(small_image, f"s3://{BUCKET}/a.sqfs", status=int(value != "STANDARD"))
    first = next(request for request in swift.proxy.requests if is_write(request))
    assert first.headers["x-amz-storage-class"] == asked


@pytest.mark.parametrize(
    ("option", "variable", "parts"),
    [
        ((), {}, [1, 2]),  # 16 MiB
        ((), {"S3ARCHIVEFS_MPU_CHUNK_SIZE": str(10 << 20)}, [1, 2, 3]),
        (("--part-size", str(7 << 20)), {"S3ARCHIVEFS_MPU_CHUNK_SIZE": str(10 << 20)}, [1, 2, 3]),
    ],
)
def test_parts_have_the_size_that_is_asked_for(
    uploads: Store,
    image_in_parts: Path,
    option: tuple[str, ...],
    variable: dict[str, str],
    parts: list[int],
) -> None:
    environ = uploads.environ.copy()
    del environ["S3ARCHIVEFS_MPU_CHUNK_SIZE"]
    uploads = replace(uploads, environ=environ | variable)
    url = f"s3://{BUCKET}/a.sqfs"
    written = uploads.interrupt(signal.SIGINT, image_in_parts, url, *option, part=parts[-1])
    asked = option or tuple(f"--part-size {size}" for size in variable.values())
    command = " ".join(["s3archivefs upload", str(image_in_parts), url, *asked])
    assert f"to go on: {command};" in written
    there = uploads.parts("a.sqfs")
    uploads.proxy.reset()
    uploads.upload(image_in_parts, url, *option)
    assert parts_sent(uploads.proxy.requests) == sorted({*parts} - there)
    assert uploads.hash("a.sqfs") == hash_of(image_in_parts)
    assert "stored already" in uploads.upload(image_in_parts, url, *option)


def test_a_storage_class_that_the_store_has_not(uploads: Store, small_image: Path) -> None:
    url = f"s3://{BUCKET}/a.sqfs"
    written = uploads.upload(small_image, url, "--storage-class", "NONE_SUCH", status=1)
    assert "check the storage class: the store may not have it" in written
    assert uploads.keys() == []


def test_a_terminal_shows_progress(swift: Store, image_in_parts: Path) -> None:
    terminal, its_end = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        with os.fdopen(its_end, "wb", buffering=0) as stderr:
            command = swift.command(image_in_parts, f"s3://{BUCKET}/a.sqfs")
            environ = swift.environ | {"TERM": "xterm"}
            done = subprocess.run(
                command, env=environ, check=True, stdout=subprocess.PIPE, stderr=stderr
            )
            assert b"bytes stored\n" in done.stdout
            os.write(its_end, b"END")
        written = bytearray()
        while not written.endswith(b"END"):
            written += shown.read(4096)
    assert b"21M of 21M" in written
