"""Batches: what is read for them, and how they are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.batch import Batch, Planner, SharedBlock
from s3archivefs.content_place import ContentPlace
from s3archivefs.data import StoredBlock
from s3archivefs.format import ABSENT_32
from s3archivefs.wanted import LARGE_BYTES, Wanted, weight_of_path, windows
from tests.support.images.fixtures import make_image
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3archivefs import SquashFS

KIB, MIB = 1 << 10, 1 << 20
SIZES = {f"{number:03}": number * KIB for number in range(300)} | {"large": LARGE_BYTES + 1}


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SquashFS]:
    tree = tuple(file(name, noise(size, name)) for name, size in SIZES.items())
    image = make_image(tmp_path_factory.mktemp("batch"), tree, "-b", "131072", "-noD", "-noF")
    with s3archivefs.open(image) as opened:
        yield opened


def planned(fs: SquashFS, names: list[str], gap: int | None = None) -> list[Batch[str]]:
    readers = readers_of(fs)
    wanted = [Wanted(name, readers.inodes.inode(fs.stat(name).reference).content) for name in names]
    planner: Planner[str] = Planner(readers.inodes, readers.data, LARGE_BYTES)
    return [*planner.batches(wanted, gap)]


def block(position: int, size: int) -> SharedBlock:
    return SharedBlock(StoredBlock(position, size, size))


def ranges(batch: Batch[str], gap: int) -> list[tuple[int, int]]:
    return [(start, end) for start, end, _ in batch.runs(gap)]


def test_batches_are_in_the_order_of_the_disk_and_cut_by_size(fs: SquashFS) -> None:
    batches = planned(fs, [*reversed(SIZES)])
    files = [file for batch in batches for file in batch.files]
    assert {file.path for file in files} == SIZES.keys()
    assert [file.position for file in files] == sorted(file.position for file in files)
    assert all(4 * MIB <= batch.weight < 10 * MIB for batch in batches[:-1])
    assert [file.path for file in files if file.blocks is None] == ["large"]


def window_sizes(files: int, path: str, size: int) -> list[int]:
    place = ContentPlace(0, size, 96, ABSENT_32, 0)
    return [
        len(window.files)
        for window in windows((Wanted(path, place) for _ in range(files)), 4096, weight_of_path)
    ]


def test_tens_of_thousands_of_files_are_put_in_order_together() -> None:
    # Less, and an image whose tree has another order than its disk is decoded again and again.
    first, *others = window_sizes(60_000, "/path/of/a/file", 4000)
    assert 300 < first < 1000
    assert min(others[:-1]) > 30_000


@pytest.mark.parametrize(
    ("path", "size"), [("/" * 100_000, 5), ("/a", LARGE_BYTES), ("/a", 1 << 60)]
)
def test_what_is_put_in_order_together_takes_bounded_memory(path: str, size: int) -> None:
    _, *others = window_sizes(2_000, path, size)
    assert 50 < max(others) < 70


def test_each_block_is_read_for_one_batch(fs: SquashFS) -> None:
    missing = [shared.stored for batch in planned(fs, [*SIZES]) for shared in batch.missing]
    assert len({*missing}) == len(missing)
    assert sum(stored.size for stored in missing) == sum(SIZES.values()) - SIZES["large"]


def test_a_batch_spans_no_gap_where_that_is_asked_for(fs: SquashFS) -> None:
    assert len(planned(fs, ["200", "280"])) == 1
    assert len(planned(fs, ["200", "280"], 128 * KIB)) == 2
    assert len(planned(fs, ["200", "201"], 128 * KIB)) == 1


def test_runs_join_what_adjoins_or_is_near() -> None:
    batch: Batch[str] = Batch()
    for position, size in ((500, 10), (100, 50), (150, 50), (210, 90), (120, 10)):
        shared = block(position, size)
        batch.add(shared.stored, shared, 0)
    assert ranges(batch, 0) == [(100, 200), (210, 300), (500, 510)]
    assert ranges(batch, 10) == [(100, 300), (500, 510)]
    assert ranges(batch, 1000) == [(100, 510)]


def test_little_is_read_in_vain() -> None:
    batch: Batch[str] = Batch()
    for number in range(100):
        shared = block(number * 100 * KIB, 10)
        batch.add(shared.stored, shared, 0)
    assert sum(end - start for start, end in ranges(batch, 128 * KIB)) < MIB + KIB


@given(blocks=st.lists(st.tuples(st.integers(0, 999), st.integers(1, 99))), gap=st.integers(0, 99))
def test_each_block_lies_within_its_run(blocks: list[tuple[int, int]], gap: int) -> None:
    batch: Batch[str] = Batch()
    for position, size in blocks:
        shared = block(position, size)
        batch.add(shared.stored, shared, 0)
    runs = batch.runs(gap)
    assert sum(len(run.blocks) for run in runs) == len(batch.missing)
    for start, end, within in runs:
        assert min(shared.stored.position for shared in within) == start
        assert max(shared.stored.position + shared.stored.size for shared in within) == end
    assert all(one.end + gap < other.start for one, other in pairwise(runs))
