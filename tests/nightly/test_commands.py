"""What the commands that look into an image take of memory in an archive of a million files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.images.many_files import PER_DIRECTORY, pack_many

MANY = 1_000_000
DIRECTORIES = MANY // PER_DIRECTORY
MIB = 1 << 20


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("many") / "many.sqfs"
    pack_many(image, MANY, short=True)
    return image


@pytest.mark.parametrize(
    ("arguments", "lines", "most"),
    [
        (["find"], 1 + DIRECTORIES + MANY, 128 * MIB),
        (["find", "--type", "f", "--size=-1k", "--newer", "0"], MANY, 128 * MIB),
        (["tree"], 1 + DIRECTORIES + MANY + 2, 128 * MIB),
        (["du"], 1 + DIRECTORIES, 128 * MIB),
        # Two images, each with what it caches: 96 MiB at most.
        (["diff", "--times"], 0, 384 * MIB),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_memory_is_bounded_among_a_million_names(
    arguments: list[str], lines: int, most: int, many: Path, tmp_path: Path
) -> None:
    images = [str(many)] * (2 if arguments[0] == "diff" else 1)
    written = tmp_path / "written"
    with written.open("wb") as output:
        command = [sys.executable, "-m", "s3archivefs.cli", *arguments, *images]
        with subprocess.Popen(command, stdout=output) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    with written.open("rb") as output:
        assert sum(1 for _ in output) == lines
    assert used.ru_maxrss * 1024 <= most
