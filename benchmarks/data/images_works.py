"""The works of `images`: epochs under PyTorch's DataLoader, with 2 spawned workers."""

from __future__ import annotations

import multiprocessing
import os
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.data.images import path_of
from benchmarks.data.process import Clock, Task, memory_of
from s3archivefs.dataset import ArchiveDataset, BlockShuffle

__all__ = [
    "at_random",
    "plain_objects",
    "shards",
    "shuffled_by_blocks",
    "through_squashfsspec",
    "zip_through_fsspec",
]

_BATCH = 64
_WORKERS = 2
_SHARDS_POOL = 1_000  # samples that WebDataset shuffles among: its users' custom


def decode(content: bytes) -> torch.Tensor:
    """Return size and check sum, in place of an image's pixels."""
    return torch.tensor([len(content), crc32(content)])


# ---- Contenders ----------------------------------------------------------------------------------


def shuffled_by_blocks(task: Task, clock: Clock) -> None:
    """Read all files of the image, by `BlockShuffle`."""
    with clock.step("open"):
        dataset = ArchiveDataset(f"s3://{task.bucket}/images.sqfs", decode=decode)
    shuffle = BlockShuffle(dataset, _BATCH, workers=_WORKERS, seed=1)
    _epoch(task, clock, range(len(dataset)), dataset, batch_sampler=shuffle)


def at_random(task: Task, clock: Clock) -> None:
    """Read files of the image in an order that is random throughout."""
    with clock.step("open"):
        dataset = ArchiveDataset(f"s3://{task.bucket}/images.sqfs", decode=decode)
    reads = task.parameters["reads"]
    _epoch(task, clock, reads, dataset, sampler=reads, batch_size=_BATCH)


def plain_objects(task: Task, clock: Clock) -> None:
    """Read each file as an object, through s3fs."""
    top = f"{task.bucket}/plain/"
    with clock.step("open"):
        found = _s3fs().find(top)
    reads = task.parameters["reads"]
    if len(found) != len(reads):
        raise ValueError(f"{len(found)} objects, not {len(reads)}")
    kind = _AtOnce if task.parameters.get("at_once") else _OneByOne
    dataset = kind(_s3fs, [top + path_of(number) for number in reads])
    _epoch(task, clock, reads, dataset, batch_size=_BATCH)


def zip_through_fsspec(task: Task, clock: Clock) -> None:
    """Read files of the zip in random order."""
    make = partial(_zip, f"{task.bucket}/images.zip")
    with clock.step("open"):
        make().find("")
    reads = task.parameters["reads_of_others"]
    _epoch(task, clock, reads, _OneByOne(make, [*map(path_of, reads)]), batch_size=_BATCH)


def through_squashfsspec(task: Task, clock: Clock) -> None:
    """Read files of the image in random order, through squashfsspec."""
    make = partial(_squashfsspec, f"{task.bucket}/images.sqfs")
    with clock.step("open"):
        make().find("")
    reads = task.parameters["reads"]
    _epoch(task, clock, reads, _OneByOne(make, [*map(path_of, reads)]), batch_size=_BATCH)


def shards(task: Task, clock: Clock) -> None:
    """Read all tars, shuffled as WebDataset does: their order, and within a buffer."""
    import webdataset

    urls = [f"pipe:curl --silent --fail '{url}'" for url in task.parameters["shards"]]
    with clock.step("open"):
        dataset = (
            webdataset.WebDataset(urls, shardshuffle=len(urls), seed=1)
            .shuffle(_SHARDS_POOL)
            .map(_decoded_sample)
            .batched(_BATCH, collation_fn=torch.stack)
        )
    every = range(task.parameters["others"])
    _epoch(task, clock, every, dataset, batch_size=None)


def _decoded_sample(sample: dict[str, bytes]) -> torch.Tensor:
    return decode(sample["jpg"])


# ---- Datasets of paths ---------------------------------------------------------------------------


def _s3fs() -> Any:  # noqa: ANN401 -- it has no types
    import s3fs

    return s3fs.S3FileSystem()


def _zip(path: str) -> Any:  # noqa: ANN401 -- likewise
    from fsspec.implementations.zip import ZipFileSystem

    # A header and the longest file in one request: by default, 5 MiB would be fetched for each.
    return ZipFileSystem(_s3fs().open(path, block_size=64 << 10))


def _squashfsspec(path: str) -> Any:  # noqa: ANN401 -- likewise
    from squashfsspec import SquashFSFileSystem

    file = _s3fs().open(path, cache_type="blockcache", block_size=256 << 10)
    return SquashFSFileSystem(file)


class _OneByOne(Dataset):  # type: ignore[misc]  # torch is not in the environment of `typing`
    """Files of a filesystem, which each worker makes for itself."""

    def __init__(self, make: Callable[[], Any], paths: Sequence[str]) -> None:
        self._make = make
        self._paths = paths
        self._fs: Any = None

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def fs(self) -> Any:  # noqa: ANN401 -- of any library
        """The filesystem."""
        if self._fs is None:
            self._fs = self._make()
        return self._fs

    def __getitem__(self, index: int) -> torch.Tensor:
        return decode(self.fs.cat_file(self._paths[index]))


class _AtOnce(_OneByOne):
    """The same, which asks for a batch at once."""

    def __getitems__(self, indices: list[int]) -> list[torch.Tensor]:
        paths = [self._paths[index] for index in indices]
        found = self.fs.cat(paths)
        return [decode(found[path]) for path in paths]


# ---- Epochs --------------------------------------------------------------------------------------


def _epoch(
    task: Task,
    clock: Clock,
    numbers: Iterable[int],
    dataset: Any,  # noqa: ANN401 -- DataLoader's
    **options: Any,  # noqa: ANN401 -- likewise
) -> None:
    """Measure an epoch, from when all workers are up to its last item."""
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(_WORKERS + 1)
    loader = DataLoader(
        dataset,
        num_workers=_WORKERS,
        multiprocessing_context=context,
        worker_init_fn=partial(_wait, gate, task.directory),
        **options,
    )
    sizes = sums = items = memory = 0
    with clock.step("epoch") as answer:
        batches = iter(loader)
        gate.wait()
        answer["start"] = time.monotonic()
        workers = multiprocessing.active_children()
        for batch in batches:
            items += len(batch)
            size, check = batch.sum(0).tolist()
            sizes += size
            sums += check
            memory = max(memory, *(memory_of(worker.pid) for worker in workers if worker.pid))
        answer["end"] = time.monotonic()
        answer["memory"] = memory
        del batches, batch  # ends the workers, whose processor time counts then
        notes = Path(task.directory).glob("*.before")
        answer["processor"] = -sum(float(note.read_text("ascii")) for note in notes)
        answer["items"], answer["bytes"] = items, sizes
    known = _known(task)
    expected = [0, 0, 0]
    for number in numbers:
        expected[0] += 1
        expected[1] += known[2 * number]
        expected[2] += known[2 * number + 1]
    answer["is_sound"] = [items, sizes, sums] == expected


def _wait(gate: Any, directory: str, worker: int) -> None:  # noqa: ANN401 -- a context's Barrier
    """Note what the start of a worker took, and wait for the others."""
    before = sum(os.times()[:2])
    Path(directory, f"{worker}.before").write_text(str(before), "ascii")
    gate.wait()


def _known(task: Task) -> array[int]:
    """Return size and check sum of each file, by turns."""
    known = array("I")
    known.frombytes(Path(task.parameters["known"]).read_bytes())
    return known
