from __future__ import annotations

import os
import pickle
import shutil
from array import array
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs import Limits
from s3archivefs.dataset import ArchiveDataset
from s3archivefs.dataset.members import Members
from s3archivefs.dataset.partitioning import partitions_of
from s3archivefs.format import ABSENT_32
from tests.support.images.fixtures import CountingDevice
from tests.unit.s3archivefs.dataset.conftest import BLOCK

TOGETHER = 8 << 20
TAILS: dict[str, bytes] = {
    f"{number:03}": noise(number * 2_345 % (5 * BLOCK), str(number)) for number in range(150)
}
"""Files of up to five blocks, most of them with tails."""


def columns(places: list[tuple[int, int, int | None]]) -> Members:
    """Members of which each has a start, a size and a fragment block, or none."""
    starts = array("Q", (start for start, _, _ in places))
    sizes = array("Q", (size for _, size, _ in places))
    fragments = array("I", (ABSENT_32 if each is None else each for _, _, each in places))
    nothing, names = array("Q"), bytearray()
    return Members(
        *(nothing, starts, sizes, fragments, nothing, nothing, array("I"), names, nothing),
        bytearray(),
    )


def shared(members: Members, partitions: list[array[int]]) -> bool:
    """Whether any two partitions have a block or a fragment block in common."""
    taken = [
        {("block", members.starts[index]) for index in each}
        | {("fragment", members.fragments[index]) for index in each} - {("fragment", ABSENT_32)}
        for each in partitions
    ]
    return sum(map(len, taken)) != len(set().union(*taken))


place = st.tuples(st.integers(0, 1 << 20), st.integers(0, 100_000), st.none() | st.integers(0, 30))


@pytest.mark.property
@given(places=st.lists(place, max_size=60), partition_bytes=st.integers(1, 1 << 20))
def test_partitions_have_each_member_once_and_no_block_twice(
    places: list[tuple[int, int, int | None]], partition_bytes: int
) -> None:
    members = columns(places)  # of 6 MB at most: what shares blocks stays together
    partitions = partitions_of(members, partition_bytes)
    assert sorted(chain(*partitions)) == [*range(len(places))]
    assert all(partitions)
    assert not shared(members, partitions)
    for each in partitions:
        assert [*each] == sorted(each, key=lambda index: members.starts[index])


@pytest.mark.property
@given(
    places=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 40 << 20), st.none() | st.integers(0, 2)),
        max_size=40,
    ),
    partition_bytes=st.integers(1, 200 << 20),
)
def test_partitions_are_balanced_whatever_their_members_share(
    places: list[tuple[int, int, int | None]], partition_bytes: int
) -> None:
    members = columns(places)
    partitions = partitions_of(members, partition_bytes)
    assert sorted(chain(*partitions)) == [*range(len(places))]
    weights = [sum(map(members.sizes.__getitem__, each)) for each in partitions]
    count = max(1, round(sum(weights) / partition_bytes))
    mean = sum(weights) / count
    assert all(weight >= mean / 2 for weight in weights if len(weights) > 1)
    most = max(2 * mean, TOGETHER) + max(members.sizes, default=0) + mean / 2
    assert all(weight <= most for weight in weights)
    assert shared(members, partitions) <= (sum(weights) > TOGETHER)


def test_files_of_one_size_make_even_partitions() -> None:
    members = columns([(100 * number, 100, None) for number in range(1000)])
    assert [*map(len, partitions_of(members, 9_900))] == [100] * 10


def test_what_is_wanted_of_a_partition_is_checked(dataset: ArchiveDataset[bytes]) -> None:
    with pytest.raises(ValueError, match="partition_bytes is 0: it must be at least 1"):
        dataset.partitions(0)


# ---- Of real images ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["mksquashfs", "mksquashfs -tailends", "gensquashfs"])
def tailed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tool, *options = request.param.split()
    tree = tuple(file(name, data) for name, data in TAILS.items())
    image = tmp_path_factory.mktemp("tailed") / "t.sqfs"
    recipe = Recipe(name="t", shape="files with tails", tool=tool, tree=tree)
    build(
        replace(recipe, options=("-b", str(BLOCK)) if tool == "gensquashfs" else (*options,)), image
    )
    return image


def test_partitions_of_an_image_fetch_each_byte_of_content_once(tailed: Path) -> None:
    with ArchiveDataset(CountingDevice(tailed.read_bytes())) as dataset:
        device = cast("CountingDevice", dataset.image.device)
        partitions = dataset.partitions(BLOCK * 16)
        assert len(partitions) > 10
        assert sorted(part.path(each) for part in partitions for each in range(len(part))) == [
            f"/{name}" for name in TAILS
        ]
        blocks: list[set[int]] = []
        for part in partitions:
            with s3archivefs.open(device, limits=Limits(cache_bytes=0)) as image:
                image.stat("/")
                device.forget()
                paths = [part.path(each) for each in range(len(part))]
                assert all(image.read_bytes(each) == TAILS[each[1:]] for each in paths)
            start = image.superblock.inode_table_start
            blocks.append(
                {
                    byte
                    for offset, length in device.reads
                    if offset < start
                    for byte in range(offset, offset + length)
                }
            )
    assert sum(map(len, blocks)) == len(set().union(*blocks))


def test_a_partition_reads_contents_and_no_metadata_but_the_root(tailed: Path) -> None:
    with ArchiveDataset(CountingDevice(tailed.read_bytes())) as dataset:
        device = cast("CountingDevice", dataset.image.device)
        partitions = dataset.partitions(BLOCK * 16)
        superblock = dataset.image.superblock
        root = superblock.inode_table_start + (superblock.root_inode >> 16)
        for part in partitions:
            device.forget()
            found = {part.path(index): item for index, item in enumerate(part)}
            assert found == {path: TAILS[path[1:]] for path in found}
            metadata = {at for at, _ in device.reads if at >= superblock.inode_table_start}
            assert metadata == {root}


def test_a_partition_is_a_dataset(image: Path) -> None:
    with ArchiveDataset(image, "dog*/*.txt", len) as dataset:
        found = {
            part.path(index): item
            for part in dataset.partitions(1000)
            for index, item in enumerate(part)
        }
        assert found == {dataset.path(index): dataset[index] for index in range(len(dataset))}
    assert len(found) == 40


def test_a_partition_lists_nothing_on_another_machine(image: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(image, tmp_path))
    with ArchiveDataset(copy, "cat/*.txt") as dataset:
        expected = [*map(dataset.path, range(len(dataset)))]
        pickled = pickle.dumps(dataset.partitions()[0])
    del dataset  # and with it what processes of this machine share
    copy.unlink()
    part: ArchiveDataset[bytes] = pickle.loads(pickled)  # noqa: S301 -- our own
    assert sorted(map(part.path, range(len(part)))) == sorted(expected)


def test_a_pickle_of_a_partition_has_its_members_and_nothing_else(image: Path) -> None:
    with ArchiveDataset(image) as dataset:
        parts = dataset.partitions(1000)
    assert len(parts) > 1
    for part in parts:
        names = sum(len(os.fsencode(part.path(index))) for index in range(len(part)))
        sizes, fragments = part.members.sizes, {*part.members.fragments}
        blocks = sum(-(-size // BLOCK) for size in sizes if size >= BLOCK)
        places = 16 * len(fragments) + (4 * len(part) + 4 * blocks if blocks else 0)
        assert len(pickle.dumps(part)) <= 1900 + 40 * len(part) + names + places


def test_partitions_of_one_image_have_it_open_once_in_a_process(
    image: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copy(image, tmp_path))
    with ArchiveDataset(copy, "*/*.txt") as dataset:
        pickles = [*map(pickle.dumps, dataset.partitions(1000))]
    first, second = (pickle.loads(pickled) for pickled in pickles[:2])  # noqa: S301 -- our own
    with first:
        assert [*first]
    copy.unlink()
    assert [*second]
    with pytest.raises(ValueError, match="closed"):
        first[0]
