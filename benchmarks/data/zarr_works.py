"""The works of `zarr_chunks`: slices by xarray, and a sum by Dask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import s3fs
import xarray
from zarr.storage import FsspecStore, ZipStore

from benchmarks.data.process import Clock, Task

__all__ = [
    "archive",
    "plain_objects",
    "through_squashfsspec",
    "zip_store",
    "zip_through_fsspec",
]

_GROUP = "air.zarr"


def archive(task: Task, clock: Clock) -> None:
    """Read the image through this project's filesystem."""
    url = f"s3archivefs://{_GROUP}::s3://{task.bucket}/air.sqfs"
    _read(task, clock, lambda: FsspecStore.from_url(url, read_only=True))


def plain_objects(task: Task, clock: Clock) -> None:
    """Read each chunk as an object, through s3fs."""
    url = f"s3://{task.bucket}/plain/{_GROUP}"
    _read(task, clock, lambda: FsspecStore.from_url(url, read_only=True))


def zip_through_fsspec(task: Task, clock: Clock) -> None:
    """Read a zip of the chunks through fsspec."""
    url = f"zip://{_GROUP}::s3://{task.bucket}/air.zip"
    # 50 MiB would be fetched for each chunk by default.
    options = {"s3": {"default_block_size": 64 << 10}}
    _read(task, clock, lambda: FsspecStore.from_url(url, storage_options=options, read_only=True))


def zip_store(task: Task, clock: Clock) -> None:
    """Download the zip, and read it with zarr's own store."""

    def downloaded() -> ZipStore:
        path = f"{task.directory}/air.zip"
        s3fs.S3FileSystem().get_file(f"{task.bucket}/air.zip", path)
        return ZipStore(path, mode="r")

    _read(task, clock, downloaded, _GROUP)


def through_squashfsspec(task: Task, clock: Clock) -> None:
    """Read the image through squashfsspec."""
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from squashfsspec import SquashFSFileSystem

    def store() -> FsspecStore:
        path, options = f"{task.bucket}/air.sqfs", {"cache_type": "blockcache"}
        file = s3fs.S3FileSystem().open(path, block_size=256 << 10, **options)
        fs = AsyncFileSystemWrapper(SquashFSFileSystem(file), asynchronous=True)
        return FsspecStore(fs, read_only=True, path=_GROUP)

    _read(task, clock, store)


def _read(task: Task, clock: Clock, make: Callable[[], Any], group: str | None = None) -> None:
    """Open the array of a store, and read its slices."""
    slices = {
        name: tuple(slice(*each) for each in ranges)
        for name, ranges in task.parameters["slices"].items()
    }
    summed = slices.pop("dask")
    with clock.step("open"):
        store = make()
        opened = xarray.open_zarr(store, group=group, consolidated=False, chunks=None)
    for name, part in slices.items():
        with clock.step(name) as answer:
            answer["check"] = crc32(opened.air[part].values.tobytes())
    with clock.step("dask") as answer:
        # A layer of chunks is a task.
        layers = dict(zip(opened.air.dims, task.parameters["layer"], strict=True))
        air = xarray.open_zarr(store, group=group, consolidated=False, chunks=layers).air
        total = air[summed].sum(dtype="i8")
        answer["sum"] = int(total.compute(scheduler="processes", num_workers=2))
