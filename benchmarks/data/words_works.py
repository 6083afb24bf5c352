"""The works of `words`: Dask over an archive, and over plain objects."""

from __future__ import annotations

import os
from collections import Counter
from importlib import import_module
from typing import Any

import dask
import s3fs

from benchmarks.data.process import Clock, Task
from benchmarks.data.words import path_of
from s3archivefs.dataset import ArchiveDataset

__all__ = ["archive", "plain_objects"]

_AT_ONCE = 1_000  # objects that a task reads
_example = import_module("examples.dask_wordcount")


def archive(task: Task, clock: Clock) -> None:
    """Count the words of all texts in the archive."""
    # Workers on other machines would share no cache either.
    os.environ["S3ARCHIVEFS_CACHE_MAX_BYTES"] = "0"
    with clock.step("count") as answer:
        with ArchiveDataset(f"s3://{task.bucket}/texts.sqfs") as texts:
            counts = [dask.delayed(_example.count)(partition) for partition in texts.partitions()]
            answer["texts"] = answer["items"] = len(texts)
        _tell(answer, counts, task)
    answer["image_bytes"] = task.parameters["image_bytes"]


def plain_objects(task: Task, clock: Clock) -> None:
    """Count the words of the texts that are objects, a task for each thousand."""
    paths = [f"{task.bucket}/plain/{path_of(each)}" for each in range(task.parameters["objects"])]
    with clock.step("few") as answer:
        starts = range(0, len(paths), _AT_ONCE)
        counts = [dask.delayed(_count_objects)(paths[at : at + _AT_ONCE]) for at in starts]
        answer["texts"] = answer["items"] = len(paths)
        _tell(answer, counts, task)


def _count_objects(paths: list[str]) -> Counter[bytes]:
    words: Counter[bytes] = Counter()
    for content in s3fs.S3FileSystem().cat(paths).values():
        words.update(content.split())
    return words


def _tell(answer: dict[str, Any], counts: list[Any], task: Task) -> None:
    workers = task.parameters["workers"]
    words = dask.delayed(_example.total)(counts).compute(scheduler="processes", num_workers=workers)
    answer["words"] = sum(words.values())
    answer["most_common"] = max(words.values())
