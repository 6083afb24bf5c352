"""Datasets under PyTorch's own DataLoader, with workers of all kinds, from a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.data import DataLoader, Subset

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.dataset import ArchiveDataset, BlockShuffle
from tests.support.images.fixtures import make_image
from tests.support.proxy.counting_proxy import CountingProxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

BATCH = 32
CONTENTS = {
    f"/{number:04}": noise(5_000 + number * 1_237 % 40_000, str(number)) for number in range(1500)
}
USED = sum(map(len, CONTENTS.values()))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = (file(path[1:], data) for path, data in CONTENTS.items())
    return make_image(tmp_path_factory.mktemp("image"), tuple(tree), "-b", "131072")


@pytest.fixture(scope="module")
def in_s3(store: SwiftStore, archives: str, image: Path) -> str:
    store.client().put_object(Bucket=archives, Key="images.sqfs", Body=image.read_bytes())
    return f"s3://{archives}/images.sqfs"


def tensor(content: bytes) -> torch.Tensor:
    """Length and sum of an item, which tell it from others."""
    found = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    return torch.stack([torch.tensor(len(content)), found.sum()])


EXPECTED = sorted((len(data), sum(data)) for data in CONTENTS.values())


def epoch(loader: DataLoader[torch.Tensor]) -> list[tuple[int, ...]]:
    return sorted(tuple(row) for batch in loader for row in batch.tolist())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_all_kinds_read_each_member_once(image: Path, method: str) -> None:
    with ArchiveDataset(image, decode=tensor) as dataset:
        loader = DataLoader(
            dataset,
            batch_sampler=BlockShuffle(dataset, BATCH, workers=2),
            num_workers=2,
            multiprocessing_context=method,
        )
        assert len(loader) == len([*loader])
        assert epoch(loader) == EXPECTED


def test_a_loader_without_workers_reads_too(image: Path) -> None:
    with ArchiveDataset(image, decode=tensor) as dataset:
        shuffled = DataLoader(dataset, batch_sampler=BlockShuffle(dataset, BATCH, workers=0))
        assert epoch(shuffled) == EXPECTED
        assert epoch(DataLoader(dataset, batch_size=BATCH, shuffle=True)) == EXPECTED


def test_a_shuffle_for_another_number_of_workers_says_so(image: Path) -> None:
    with ArchiveDataset(image, decode=tensor) as dataset:
        loader = DataLoader(dataset, batch_sampler=BlockShuffle(dataset, BATCH), num_workers=2)
        with pytest.raises(ValueError, match="give that workers=2"):
            next(iter(loader))


def test_a_part_of_a_dataset_is_not_shuffled_by_blocks(image: Path) -> None:
    with ArchiveDataset(image, decode=tensor) as dataset:
        part = Subset(dataset, range(70))
        assert len(epoch(DataLoader(part, batch_size=BATCH))) == 70
        with pytest.raises(TypeError, match="not Subset"):
            BlockShuffle(part, BATCH)


def test_workers_that_stay_read_another_epoch(image: Path) -> None:
    with ArchiveDataset(image, decode=tensor) as dataset:
        shuffle = BlockShuffle(dataset, BATCH, workers=2, drop_last=True)
        loader = DataLoader(dataset, batch_sampler=shuffle, num_workers=2, persistent_workers=True)
        first = [batch.tolist() for batch in loader]
        assert [batch.tolist() for batch in loader] == first
        shuffle.set_epoch(1)
        assert [batch.tolist() for batch in loader] != first
        assert len(loader) == len(CONTENTS) // 2 // BATCH * 2


def test_two_spawned_workers_fetch_what_they_use(
    store: SwiftStore, in_s3: str, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.environ(endpoint_url=proxy.url).items():
        monkeypatch.setenv(name, value)
    # Without the cache on disk, which would hold all of so small an archive.
    monkeypatch.setenv("S3ARCHIVEFS_CACHE_MAX_BYTES", "0")
    with ArchiveDataset(in_s3, decode=tensor) as dataset:
        shuffle = BlockShuffle(dataset, BATCH, workers=2, window_bytes=8 << 20)
        loader = DataLoader(
            dataset, batch_sampler=shuffle, num_workers=2, multiprocessing_context="spawn"
        )
        proxy.reset()
        assert epoch(loader) == EXPECTED
    fetched = sum(request.bytes_sent for request in proxy.requests)
    assert fetched <= 1.5 * USED
    assert len(proxy.requests) <= 60
