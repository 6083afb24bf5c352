"""The works of `prefixes`: the example packs them, with Dask."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from benchmarks.data.process import Clock, Task
from s3archivefs.dataset import ArchiveDataset

__all__ = ["packed"]

_example = import_module("examples.pack_prefixes")


def packed(task: Task, clock: Clock) -> None:
    """Pack each prefix, then look into the archives."""
    workers = task.parameters["workers"]
    source, target = f"s3://{task.bucket}/raw/", f"s3://{task.bucket}/packed-{workers}/"
    # The command of this very environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with _output_to_errors(), clock.step("pack") as answer:
        names = _example.with_dask(source, target, _example.prefixes(source), workers)
    answer["archives"] = len(names)
    answer["items"] = answer["bytes"] = 0
    for name in names:
        with ArchiveDataset(f"{target}{name}.sqfs") as files:
            answer["items"] += len(files)
            answer["bytes"] += sum(files.members.sizes)


@contextmanager
def _output_to_errors() -> Iterator[None]:
    """Have commands write to standard error, as output is what was measured."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
