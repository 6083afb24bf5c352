"""Workers that read the partitions of a dataset fetch each byte of its content once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import Superblock
from s3archivefs.dataset import ArchiveDataset
from s3archivefs_lambda.cache.device import CachedDevice
from s3archivefs_lambda.cache.disk import ChunkStore
from s3archivefs_lambda.cache.memory import ChunkMemory
from tests.support.adapter.cached_device import CHUNK, KIB, MIB
from tests.support.images.fixtures import CountingDevice, make_image

if TYPE_CHECKING:
    from pathlib import Path

CONTENTS = {f"/{number:04}": noise(15_500 + number % 1000, str(number)) for number in range(1300)}
"""Twenty megabytes, whose blocks lie across the edges of chunks."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = tuple(file(path[1:], content) for path, content in CONTENTS.items())
    folder = tmp_path_factory.mktemp("partitions")
    return make_image(folder, tree, "-b", str(128 * KIB), "-noF").read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_fetch_each_byte_of_content_once(
    image: bytes, tmp_path: Path, workers: int
) -> None:
    """But for the chunk that each edge between partitions of two workers lies in.

    Each of both needs a part of it, and a cache holds whole chunks. The memory is full: what is
    read next has to be kept before the rest.
    """
    start = Superblock.decode(image[: Superblock.layout.size]).inode_table_start
    fetched: list[int] = []
    items: dict[str, bytes] = {}
    for worker in range(workers):
        device = CountingDevice(image)
        memory = ChunkMemory(4 * MIB)
        for number in range(memory.max_bytes // CHUNK):
            memory.put("another archive", number, bytes(CHUNK))
        store = ChunkStore(tmp_path, 0)
        cached = CachedDevice(
            device, "archive", CHUNK, memory=memory, store=store, metadata_start=start
        )
        cached.preload(0, image[: Superblock.layout.size])
        cached.preload(start, image[start:])
        with ArchiveDataset(cached) as dataset:
            partitions = dataset.partitions(10 * MIB)
            for part in partitions[worker::workers]:
                items.update(zip(map(part.path, range(len(part))), part, strict=True))
        cached.background.wait_idle()
        for offset, length in device.reads:
            fetched += range(offset // CHUNK, -(-(offset + length) // CHUNK))
    assert items == CONTENTS
    assert len(partitions) == 2  # of which each is read with several calls
    assert {*fetched} == {*range(-(-start // CHUNK))}
    edges = len(partitions) - 1 if workers > 1 else 0
    assert len(fetched) - len({*fetched}) <= edges
