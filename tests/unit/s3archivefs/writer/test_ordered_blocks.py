"""Blocks lie in the image in the order in which they came, and are handed over many at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.format import DATA_BLOCK_STORED
from s3archivefs.parallel import Work, Workers
from s3archivefs.writer.metadata import Positions
from s3archivefs.writer.ordered_blocks import OrderedBlocks

R = TypeVar("R")
BLOCKS = st.none() | st.builds(bytes.__mul__, st.binary(min_size=1, max_size=2), st.integers(1, 99))


class CountedWorkers(Workers):
    """Counts what is handed over."""

    handed_over = 0

    def start(self, do: Callable[[], R]) -> Work[R]:
        self.handed_over += 1
        return super().start(do)


@contextmanager
def workers(count: int = 2) -> Iterator[CountedWorkers]:
    found = CountedWorkers(count, "test")
    yield found
    found.end()


@pytest.fixture(scope="module", params=[2, 1 << 20], ids=["few", "a block each"])
def kept_workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    with workers(request.param) as found:
        yield found


@given(
    blocks=st.lists(BLOCKS, max_size=20),
    settled_every=st.integers(1, 20),
)
def test_blocks_lie_in_the_order_in_which_they_came(
    kept_workers: Workers, blocks: list[bytes | None], settled_every: int
) -> None:
    image = bytearray(b"head")
    placed: list[tuple[int, int, int]] = []

    def note(number: int) -> Callable[[int, int], None]:
        return lambda start, word: placed.append((number, start, word))

    ordered = OrderedBlocks(Positions(image.extend, len(image)), zlib.compress, kept_workers)
    for number, block in enumerate(blocks):
        ordered.add(block, note(number))
        if not number % settled_every:
            ordered.settle()
    ordered.settle()
    assert [number for number, _, _ in placed] == [*range(len(blocks))]
    end = len(b"head")
    for block, (_, start, word) in zip(blocks, placed, strict=True):
        assert start == end
        end += (size := word & ~DATA_BLOCK_STORED)
        stored = bytes(image[start:end])
        if block is None:
            assert not word
        elif word == size:
            assert len(stored) < len(block)
            assert zlib.decompress(stored) == block
        else:
            assert stored == block
    assert end == len(image)


def test_blocks_are_handed_over_many_at_once_and_fewer_to_many_workers() -> None:
    block = bytes(128 << 10)
    for count, handed_over in ((2, 32), (16, 64), (64, 256), (1000, 256)):
        with workers(count) as found:
            ordered = OrderedBlocks(Positions(lambda _: None), None, found)
            for _ in range(256):
                ordered.add(block, lambda *_: None)
            assert found.handed_over == handed_over
            ordered.settle()


def test_blocks_are_told_their_places_at_the_same_time_by_any_workers() -> None:
    """An image has owners, say, in the order in which files get their places."""
    blocks = [bytes(100_000), None, bytes(131_072)] * 150

    def told(count: int) -> list[int]:
        placed: list[int] = []
        with workers(count) as found:
            ordered = OrderedBlocks(Positions(lambda _: None), None, found)
            times = []
            for block in blocks:
                ordered.add(block, lambda start, _: placed.append(start))
                times.append(len(placed))
            ordered.settle()
        return times + placed

    assert told(2)[len(blocks) - 1] > 0
    assert told(2) == told(16) == told(64)


def test_no_more_than_32_mib_are_under_way() -> None:
    placed = [0, 0]

    def count(*_: int) -> None:
        placed[0] += 1

    with workers() as both:
        ordered = OrderedBlocks(Positions(lambda _: None), None, both)
        for number in range(80):
            ordered.add(bytes(1 << 20), count)
            placed[1] = max(placed[1], number + 1 - placed[0])
        ordered.settle()
    assert placed == [80, 32]
