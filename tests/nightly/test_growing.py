"""Images in a real store that grow a hundred times, and by two programs at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.parts.integration.upload.conftest import program, swift
from tests.support.adapter.uploads import BUCKET, Store, download

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["program", "swift"]  # fixtures

URL = f"s3://{BUCKET}/a.sqfs"
LARGE = Random(7).randbytes(11 << 20)
"""Some of which the store copies each time."""


def grow(uploads: Store, *arguments: object) -> subprocess.Popen[str]:
    """Begin to append, in a process of its own."""
    command = [sys.executable, "-m", "s3archivefs.cli", "append", URL, *map(str, arguments)]
    return subprocess.Popen(command, env=uploads.environ, stderr=subprocess.PIPE, text=True)


@pytest.mark.timeout(1800)
def test_a_hundred_times_and_compacted(swift: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    swift.run("pack", tmp_path / "large", URL, "--compressor", "none")
    expected = {"/large": LARGE}
    for number in range(100):
        name = f"{number % 60}"  # of which some take the place of earlier ones
        content = Random(number).randbytes(200_000)
        (tmp_path / name).write_bytes(content)
        expected[f"/in/{name}"] = content
        swift.run("append", URL, tmp_path / name, "--into", "in")
    assert json.loads(swift.run("info", "--scan", "--json", URL))["dead"] == 40 * 200_000
    swift.run("verify", URL)
    swift.run("compact", URL)
    assert json.loads(swift.run("info", "--scan", "--json", URL))["dead"] == 0
    with s3archivefs.open(download(swift, tmp_path)) as fs:
        assert [*fs.verify()] == []
        assert {path: file.read() for path, _, file in fs.walk_files()} == expected


def test_by_many_at_once_of_whom_each_wins_or_is_told(swift: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    swift.run("pack", tmp_path / "large", URL, "--compressor", "none")
    added = set()
    for attempt in range(5):
        names = [f"{attempt}-{number}" for number in range(3)]
        for name in names:
            (tmp_path / name).write_bytes(os.urandom(1000))
        running = [(name, grow(swift, tmp_path / name)) for name in names]
        for name, process in running:
            _, errors = process.communicate()
            if process.returncode == 0:
                added.add(f"/{name}")
            else:
                assert process.returncode == 1, errors
                assert "run this again" in errors
    with s3archivefs.open(download(swift, tmp_path)) as fs:
        assert [*fs.verify()] == []
        there = {path for path, *_ in fs.walk_files()}
    # Swift knows no condition for the last request: a change that comes right then may be lost.
    assert there - {"/large"} <= added
    assert len(there) > 1
    assert swift.unfinished() == []
