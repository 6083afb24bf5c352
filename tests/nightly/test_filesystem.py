"""The fsspec filesystem over a million files: memory of a search, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.images.many_files import PER_DIRECTORY, pack_many, path_of
from tests.support.laws.import_graph import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MANY = 1_000_000
MIB = 1 << 20
PROGRAM = """
import resource, sys
from s3archivefs.filesystem import ArchiveFileSystem
fs = ArchiveFileSystem(sys.argv[1])
fs.ls("", detail=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = {search}
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(found), before, after, found[0], found[-1])
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("many") / "many.sqfs"
    pack_many(image, MANY, short=True)
    return image


def searched(many: Path, search: str) -> tuple[int, int, int, str, str]:
    """Number of what is found, bytes of memory before and after, the first and the last."""
    program = PROGRAM.format(search=search)
    command = [sys.executable, "-c", program, str(many)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found, before, after, first, last = done.stdout.split()
    return int(found), int(before) * 1024, int(after) * 1024, first, last


def test_find_of_a_million_files_takes_150_mb_in_all(many: Path) -> None:
    found, _, after, first, last = searched(many, "fs.find('')")
    assert (found, first, last) == (MANY, path_of(0), path_of(MANY - 1))
    assert after <= 150_000_000


def test_a_pattern_takes_the_memory_of_what_it_matches(many: Path) -> None:
    found, before, after, first, _ = searched(many, "fs.glob('**/*77.txt')")
    assert (found, first) == (MANY // 100, path_of(77))
    assert after - before <= 24 * MIB
    assert PER_DIRECTORY == 1000
