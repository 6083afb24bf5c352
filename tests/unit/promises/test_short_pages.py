"""Pages that end early cost no more than their steps; tests/parts/bucket shows what they hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs_lambda.bucket.listing import page_of
from tests.support.adapter.open_sources import OpenSource, OpenSources
from tests.support.images.built import Node, build, directory, file, special, symlink
from tests.support.laws.counted_calls import calls_of

if TYPE_CHECKING:
    from collections.abc import Callable


# ---- None costs more than its steps --------------------------------------------------------------

STEPS = 200
FEW, MANY = 600, 1200
PAGES = 4
"""Measured of each listing: all are of one kind."""


def empty_directories(count: int) -> Node:
    return directory({b"%05d" % n: directory() for n in range(count)}, extended=True)


def dangling_links(count: int) -> Node:
    return directory({b"%05d" % n: symlink(b"nowhere") for n in range(count)}, extended=True)


def fifos(count: int) -> Node:
    return directory({b"%05d" % n: special(6) for n in range(count)}, extended=True)


def links_of_39_hops(count: int) -> Node:
    """Each leads to a file, by way of others."""
    hops = {b"a%02d" % hop: symlink(b"a%02d" % (hop + 1)) for hop in range(38)}
    links = {b"b%05d" % n: symlink(b"a00") for n in range(count)}
    return directory({**hops, b"a38": file(b"x"), **links}, extended=True)


def links_of_long_ways(count: int) -> Node:
    return directory(
        {b"%05d" % n: symlink(b"./" * 1000 + b"x") for n in range(count)}, extended=True
    )


def links_deep_down(count: int) -> Node:
    node = dangling_links(count)
    for _ in range(500):
        node = directory({b"d": node})
    return node


SHAPES = [
    empty_directories,
    dangling_links,
    fifos,
    links_of_39_hops,
    links_of_long_ways,
    links_deep_down,
]


def costs(tree: Node, delimiter: bytes, max_items: int) -> list[int]:
    """The calls that the first pages of a listing make, of an image that is open."""
    fs = s3archivefs.open(s3archivefs.BytesDevice(bytes(build(tree))))
    sources = OpenSources({b"": OpenSource(fs)})
    found: list[int] = []
    floor: bytes | None = b""
    while floor is not None and len(found) < PAGES:
        page = partial(page_of, sources, b"", delimiter, floor, max_items=max_items, steps=STEPS)
        floor = page().continues_at
        found.append(calls_of(page))
    return found


either_way = pytest.mark.parametrize(
    ("delimiter", "max_items"), [(b"", 1000), (b"/", 1000), (b"", 1)]
)
"""With and without common prefixes, and of one key a page."""


@either_way
@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_of_a_hostile_tree_costs_its_steps_however_large_that_is(
    shape: Callable[[int], Node], delimiter: bytes, max_items: int
) -> None:
    few, many = (costs(shape(count), delimiter, max_items) for count in (FEW, MANY))
    assert max(many) <= 1.1 * max(few) + 100
    assert max(many) <= 60 * STEPS


def chain(depth: int) -> Node:
    node = directory({b"x": file(b"x")})
    for _ in range(depth):
        node = directory({b"d": node})
    return node


def chain_beside_others(depth: int) -> Node:
    """On the way back up, there are directories to look for in each: they are named as the one that
    leads on begins.
    """
    node = directory()
    names = [b"a" + b"-" * length for length in range(50)]
    for _ in range(depth // 10):
        node = directory({**{name: directory() for name in names}, b"a" + b"-" * 50: node})
    return node


@either_way
@pytest.mark.parametrize("shape", [chain, chain_beside_others])
def test_a_page_of_a_deep_tree_costs_in_proportion_to_its_depth(
    shape: Callable[[int], Node], delimiter: bytes, max_items: int
) -> None:
    half, whole = (costs(shape(depth), delimiter, max_items) for depth in (500, 1000))
    assert max(whole) <= 2.1 * max(half)


# ---- Keys longer than S3's -----------------------------------------------------------------------


def test_a_page_holds_so_many_bytes_of_keys_as_a_thousand_of_the_longest_in_s3_have() -> None:
    node = directory({b"%05d" % number: file() for number in range(300)})
    for _ in range(30):
        node = directory({b"d" * 250: node})
    fs = s3archivefs.open(s3archivefs.BytesDevice(bytes(build(node))))
    sources = OpenSources({b"": OpenSource(fs)})
    floor: bytes | None = b""
    pages = []
    while floor is not None:
        page = page_of(sources, b"", b"", floor, max_items=1000)
        pages.append([item.key for item in page.items])
        floor = page.continues_at
    assert [len(key) for key in pages[0]] == [251 * 30 + 5] * ((1 << 20) // (251 * 30 + 5))
    assert sum(map(len, pages)) == len({key for page in pages for key in page}) == 300
