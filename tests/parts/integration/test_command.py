"""The command with an image in S3, by its URL."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.servers.transports import STORE_BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

    Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def command(store: SwiftStore, tmp_path: Path) -> Command:
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        environ = store.environ() | {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path)} | environ
        return subprocess.run(
            [sys.executable, "-m", "s3archivefs.cli", *arguments],
            env=os.environ | environ,
            check=False,
            capture_output=True,
        )

    return run


def test_image_in_s3_is_listed_and_read(command: Command, archive: str, tree: Path) -> None:
    listed = command("ls", archive, "/json")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.decode().split() == sorted(path.name for path in (tree / "json").iterdir())
    content = command("cat", archive, "/json/decoder.py")
    assert content.stdout == (tree / "json/decoder.py").read_bytes()


def test_image_in_s3_is_extracted(
    command: Command, archive: str, tree: Path, tmp_path: Path
) -> None:
    done = command("extract", "-v", f"{archive}/json", "--exclude", "tool.py", "-C", str(tmp_path))
    assert done.returncode == 0, done.stderr
    expected = {path.name: path.read_bytes() for path in (tree / "json").glob("*.py")}
    del expected["tool.py"]
    made = (tmp_path / "json").iterdir()
    assert {path.name: path.read_bytes() for path in made} == expected
    assert b"requests" in done.stderr


@pytest.mark.parametrize(
    ("url", "environ", "code", "said"),
    [
        (f"s3://{STORE_BUCKET}/nowhere.sqfs", {}, 3, f"s3://{STORE_BUCKET}/nowhere.sqfs"),
        ("s3://X", {}, 2, "s3://X has the bucket name"),
        (
            f"s3://{STORE_BUCKET}/library.sqfs",
            {"S3ARCHIVEFS_CACHE_DIRECTORY": "/x"},
            2,
            "CACHE_DIRECTORY",
        ),
    ],
    ids=["no such object", "no such name of a bucket", "no such setting"],
)
def test_fault_is_one_line(
    command: Command, url: str, environ: dict[str, str], code: int, said: str
) -> None:
    done = command("ls", url, **environ)
    assert done.returncode == code
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("s3archivefs: ")
    assert said in line
