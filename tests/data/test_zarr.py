"""zarr 3 over an archive: groups, arrays and shards as they are on disk."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from zarr.core.sync import sync

from tests.support.images.trees import pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ARRAYS = ("air/temperature", "counts")


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group with an array of many chunks, and one of shards."""
    path = tmp_path_factory.mktemp("zarr") / "group.zarr"
    group = zarr.open_group(path, mode="w", attributes={"title": "measured"})
    shape, chunks = (50, 60, 80), (10, 20, 20)
    air = group.create_array("air/temperature", shape=shape, chunks=chunks, dtype="f8")
    air[:] = np.random.default_rng(1).random(shape)
    counts = group.create_array(
        "counts", shape=(64, 64), chunks=(8, 8), shards=(32, 32), dtype="i4"
    )
    counts[:] = np.arange(4096).reshape(64, 64)
    return path


@pytest.fixture(scope="module")
def store(on_disk: Path) -> zarr.storage.FsspecStore:
    image = pack(on_disk.parent, on_disk.parent.with_suffix(".sqfs"))
    url = f"squashfs://{on_disk.name}::{image}"
    return zarr.storage.FsspecStore.from_url(url, read_only=True)


def test_arrays_have_equal_values(store: zarr.storage.FsspecStore, on_disk: Path) -> None:
    group, expected = zarr.open_group(store, mode="r"), zarr.open_group(on_disk, mode="r")
    assert group.attrs["title"] == "measured"
    for name in ARRAYS:
        assert np.array_equal(group[name][:], expected[name][:])
        assert np.array_equal(group[name][3:40, 5:9], expected[name][3:40, 5:9])
    names = sorted(name for name, _ in group.members(max_depth=None))
    assert names == ["air", *ARRAYS]


def test_keys_are_listed_as_they_are_on_disk(
    store: zarr.storage.FsspecStore, on_disk: Path
) -> None:
    async def listed(keys: AsyncIterator[str]) -> list[str]:
        return sorted([key async for key in keys])

    files = [path for path in on_disk.rglob("*") if path.is_file()]
    assert sync(listed(store.list())) == sorted(
        path.relative_to(on_disk).as_posix() for path in files
    )
    assert sync(listed(store.list_dir("air"))) == ["temperature", "zarr.json"]
    assert sync(store.exists("air/zarr.json"))
    assert not sync(store.exists("air/nothing"))


def test_a_store_is_pickled_small_and_read_by_threads(store: zarr.storage.FsspecStore) -> None:
    pickled = pickle.dumps(store)
    assert len(pickled) < 4096
    again = zarr.open_group(pickle.loads(pickled), mode="r")  # noqa: S301 -- our own
    expected = zarr.open_group(store, mode="r")["air/temperature"][:]
    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(lambda _: again["air/temperature"][:], range(32)):
            assert np.array_equal(found, expected)


def test_a_store_refuses_to_write(store: zarr.storage.FsspecStore) -> None:
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_group(store, mode="a")
