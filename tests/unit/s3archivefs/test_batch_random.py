"""Files of a random order: what is read of a distant device, and that it may keep nothing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs.dataset import ArchiveDataset
from tests.support.distant_device import DistantDevice
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KIB = 1 << 10
SIZES = [(5 + number * 37 % 50) * KIB for number in range(400)]
CONTENTS = {f"/{number:04}": noise(size, str(number)) for number, size in enumerate(SIZES)}
TOTAL = 123_456_789
SCATTERED = [path for number, path in enumerate(CONTENTS) if number % 20 == 0]
"""Of each file the next lies 600 KB away."""


class RandomDevice(DistantDevice):
    """Notes the reads of a random order by themselves."""

    def __init__(self, image: bytes) -> None:
        super().__init__(image)
        self.random: list[tuple[int, int, int]] = []

    def pread_among(self, offset: int, length: int, total: int) -> bytes:
        self.random.append((offset, length, total))
        return self.image[offset : offset + length]


def opened(image: bytes) -> tuple[s3archivefs.SquashFS, RandomDevice]:
    device = RandomDevice(image)
    fs = s3archivefs.open(device)
    for path in CONTENTS:
        fs.stat(path)
    device.forget()
    return fs, device


def read(fs: s3archivefs.SquashFS, paths: Iterable[str], among: int = TOTAL) -> dict[str, bytes]:
    stats = ((path, fs.stat(path)) for path in paths)
    return {path: b"".join(pieces) for path, pieces in fs.read_pieces(stats, among=among)}


def data_reads(device: RandomDevice) -> list[int]:
    """Return the bytes of other reads, but for the metadata's."""
    return [length for _, length in device.reads if length > 2 * KIB]


def packed(directory: pytest.TempPathFactory, contents: dict[str, bytes], *options: str) -> bytes:
    tree = tuple(file(path[1:], content) for path, content in contents.items())
    return make_image(directory.mktemp("random"), tree, "-b", "128K", *options).read_bytes()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Files whose fragment blocks are not compressed, as noise is stored."""
    return packed(tmp_path_factory, CONTENTS)


@pytest.fixture
def both(image: bytes) -> Iterator[tuple[s3archivefs.SquashFS, RandomDevice]]:
    fs, device = opened(image)
    with fs:
        yield fs, device


def test_of_blocks_that_are_not_compressed_exactly_the_files_are_read(
    both: tuple[s3archivefs.SquashFS, RandomDevice],
) -> None:
    fs, device = both
    assert read(fs, SCATTERED) == {path: CONTENTS[path] for path in SCATTERED}
    lengths = sorted(len(CONTENTS[path]) for path in SCATTERED)
    assert sorted(length for _, length, _ in device.random) == lengths
    assert {total for *_, total in device.random} == {TOTAL}
    assert not data_reads(device)


def test_compressed_blocks_are_read_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    contents = {path: content + bytes(len(content)) for path, content in CONTENTS.items()}
    fs, device = opened(packed(tmp_path_factory, contents))
    with fs:
        assert read(fs, SCATTERED) == {path: contents[path] for path in SCATTERED}
    assert len(device.random) == len(SCATTERED)
    assert min(length for _, length, _ in device.random) > 40 * KIB


@pytest.mark.parametrize(
    "paths",
    [[*CONTENTS], [*CONTENTS][100:164], SCATTERED[:7], [*CONTENTS][:60] + [*CONTENTS][-60:]],
    ids=["all", "neighbours", "too few", "two places"],
)
def test_files_that_lie_together_are_of_no_random_order(
    both: tuple[s3archivefs.SquashFS, RandomDevice], paths: list[str]
) -> None:
    fs, device = both
    assert read(fs, paths) == {path: CONTENTS[path] for path in paths}
    assert not device.random
    assert data_reads(device) or device.handles


def test_a_program_that_speaks_of_no_random_order_reads_whole_blocks(
    both: tuple[s3archivefs.SquashFS, RandomDevice],
) -> None:
    fs, device = both
    assert dict(fs.read_many(SCATTERED)) == {path: CONTENTS[path] for path in SCATTERED}
    assert read(fs, SCATTERED, among=0) == {path: CONTENTS[path] for path in SCATTERED}
    assert not device.random
    assert min(data_reads(device)) > 64 * KIB


@pytest.mark.property
@given(order=st.permutations([*CONTENTS]), count=st.integers(1, 64))
def test_contents_are_the_same_in_any_order(image: bytes, order: list[str], count: int) -> None:
    with s3archivefs.open(RandomDevice(image)) as fs:
        assert read(fs, order[:count]) == {path: CONTENTS[path] for path in order[:count]}


def test_a_file_longer_than_a_block_is_read_with_its_tail(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    contents = {f"/{number:02}": noise(300 * KIB + number, str(number)) for number in range(60)}
    image = packed(tmp_path_factory, contents, "-always-use-fragments")
    device = RandomDevice(image)
    with s3archivefs.open(device) as fs:
        apart = [*contents][::3]
        assert read(fs, apart) == {path: contents[path] for path in apart}
    # Tails beside each other are read together; those that lie apart from others each alone.
    lengths = {length for _, length, _ in device.random}
    assert len(lengths & {len(contents[path]) % (128 * KIB) for path in apart}) > 5


def test_a_read_of_a_random_order_that_fails_is_made_again_as_others_are(image: bytes) -> None:
    cut = RandomDevice(image)
    with s3archivefs.open(cut) as fs:
        stats = [(path, fs.stat(path)) for path in SCATTERED]
        asked: list[int] = []

        def cut_short(offset: int, _length: int, _total: int) -> bytes:
            asked.append(offset)
            return b""

        cut.pread_among = cut_short  # type: ignore[method-assign,assignment]
        assert {path: b"".join(each) for path, each in fs.read_pieces(stats, among=TOTAL)} == {
            path: CONTENTS[path] for path in SCATTERED
        }
        assert len(asked) == len(SCATTERED)


def test_a_dataset_asks_so_with_the_bytes_of_its_members(image: bytes) -> None:
    device = RandomDevice(image)
    with ArchiveDataset(device, "0[0-2]*") as dataset:
        order = random.Random(3).sample(range(0, len(dataset), 25), 12)
        device.forget()
        expected = [CONTENTS["/" + dataset.path(each).lstrip("/")] for each in order]
        assert dataset.__getitems__(order) == expected
        total = sum(len(CONTENTS[f"/{number:04}"]) for number in range(300))
    assert {each for *_, each in device.random} == {total}
