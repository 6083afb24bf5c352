"""A dataset of many members: the memory of its list, here and in a process that maps it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from s3archivefs import Limits
from s3archivefs.dataset import ArchiveDataset
from tests.support.images.many_files import pack_many, path_of
from tests.support.laws.import_graph import ROOT
from tests.support.processes.memory import growth

if TYPE_CHECKING:
    from pathlib import Path

MANY = 200_000
MIB = 1 << 20
SPARE = 2 * MIB
"""Bytes besides: columns have a sixteenth of room to grow, the image keeps a MiB decoded."""
NAME_BYTES = len(path_of(0).rpartition("/")[2])
PROGRAM = """
import pickle, re, sys
from pathlib import Path
def own():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
dataset = pickle.load(sys.stdin.buffer)
before = own()
total = sum(dataset.members.sizes)
print(own() - before, len(dataset), total, dataset.path(-1))
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("many") / "many.sqfs"
    pack_many(image, MANY, short=True)
    return image


def test_a_member_takes_40_bytes_and_its_name_and_of_another_process_nothing(many: Path) -> None:
    kept: list[ArchiveDataset[bytes]] = []
    # What the image keeps decoded is bounded by itself: here it keeps next to nothing.
    limits = Limits(cache_bytes=1 * MIB)
    ArchiveDataset(many, "0/*", limits=limits).close()  # imports what is imported on first use
    taken = growth(lambda: kept.append(ArchiveDataset(many, limits=limits)))
    assert taken <= MANY * (40 + NAME_BYTES) + SPARE
    with kept.pop() as dataset:
        command = [sys.executable, "-c", PROGRAM]
        pickled = pickle.dumps(dataset)
        done = subprocess.run(command, cwd=ROOT, input=pickled, stdout=subprocess.PIPE, check=True)
        own, count, total, last = done.stdout.split()
        assert (int(count), last) == (MANY, f"/{path_of(MANY - 1)}".encode())
        assert int(total) == sum(dataset.members.sizes)
    assert int(own) * 1024 <= 2 * MIB


def test_partitions_take_what_the_members_take(many: Path) -> None:
    kept: list[list[ArchiveDataset[bytes]]] = []
    with ArchiveDataset(many) as dataset:
        taken = growth(lambda: kept.append(dataset.partitions(1 * MIB)))
        total = sum(dataset.members.sizes)
    [parts] = kept
    assert sum(map(len, parts)) == MANY
    sizes = [sum(part.members.sizes) for part in parts]
    assert sum(sizes) == total
    assert max(sizes) <= 2 * min(sizes)
    assert sum(len(pickle.dumps(part)) for part in parts) <= MANY * (40 + NAME_BYTES) + SPARE
    assert taken <= MANY * (44 + NAME_BYTES) + SPARE
