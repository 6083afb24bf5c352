"""Pages that end early: together they are the listing, each gets on, and none costs more than its
steps.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.listing import page_of
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.listing_model import DELIMITERS, expected_items, mapped_trees, places
from tests.support.adapter.local_archives import Page, ask, config_for, content, parse_page
from tests.support.drawn.trees import Directory, build_tree
from tests.support.images.built import Node, build, directory, file, special, symlink
from tests.support.laws.counted_calls import calls_of
from tests.unit.s3archivefs_lambda.bucket.test_listing import OpenSource, OpenSources, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# ---- Together they are the listing ---------------------------------------------------------------


def places_in(tree: Directory) -> int:
    """Everything in a tree, and its root."""
    return 1 + sum(places_in(node) if isinstance(node, dict) else 1 for node in tree.values())


few_steps = st.integers(1, 12) | st.integers(1, 500)


@pytest.mark.property
@given(data=st.data(), archives=mapped_trees())
def test_pages_of_any_steps_are_the_listing_and_each_gets_on(
    data: st.DataObject, archives: dict[bytes, Directory]
) -> None:
    opened = {}
    with tempfile.TemporaryDirectory() as name:
        for virtual, tree in archives.items():
            image = Path(name, "image")
            build_tree(tree, image, "mksquashfs")
            opened[virtual] = OpenSource(
                s3archivefs.open(s3archivefs.BytesDevice(image.read_bytes()))
            )
    sources = OpenSources(opened)
    for _ in range(5):
        prefix = data.draw(places(archives), label="prefix")
        delimiter = data.draw(st.sampled_from(DELIMITERS), label="delimiter")
        floor = data.draw(st.just(b"") | places(archives), label="floor")
        max_items = data.draw(st.integers(1, 3) | st.just(1000), label="max_items")
        whole = page_of(sources, prefix, delimiter, floor, max_items=1000)
        assert whole.continues_at is None
        got: list[bytes] = []
        pages = 0
        place: bytes | None = floor
        while place is not None:
            steps = data.draw(few_steps, label="steps")
            page = page_of(sources, prefix, delimiter, place, max_items=max_items, steps=steps)
            assert page.continues_at is None or page.continues_at > max(prefix, place)
            got += [item.key for item in page.items]
            place = page.continues_at
            pages += 1
        assert got == [item.key for item in whole.items]
        assert pages <= len(got) + sum(map(places_in, archives.values())) + 1


@pytest.mark.property
@given(data=st.data(), archives=mapped_trees(), steps=few_steps)
def test_clients_of_either_version_get_the_whole_listing_out_of_short_pages(
    data: st.DataObject, archives: dict[bytes, Directory], steps: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        mappings = {}
        for number, (virtual, tree) in enumerate(archives.items()):
            mappings[text(virtual.removesuffix(b"/"))] = Path(name, str(number))
            build_tree(tree, Path(name, str(number)), "mksquashfs")
        operations = Operations(
            Archives(config_for(mappings), make_archive_client), page_steps=steps
        )
        for _ in range(3):
            prefix = data.draw(places(archives), label="prefix")
            delimiter = data.draw(st.sampled_from(DELIMITERS), label="delimiter")
            after = data.draw(places(archives), label="after")
            expected = expected_items(archives, prefix, delimiter, after)
            query = {
                "prefix": text(prefix),
                "delimiter": text(delimiter),
                "max-keys": data.draw(st.sampled_from(["1", "2", "1000"]), label="max-keys"),
            }
            for pages in (pages_of_version_1, pages_of_version_2):
                got = [
                    item for page in pages(operations, query, text(after)) for item in page.items
                ]
                assert got == expected


def pages_of_version_2(operations: Operations, query: dict[str, str], after: str) -> Iterator[Page]:
    """As boto3 asks for one after another."""
    place = {"start-after": after}
    while True:
        page = listed(operations, "ListObjectsV2", query | place)
        yield page
        if page.elements["IsTruncated"] == "false":
            return
        place = {"continuation-token": page.elements["NextContinuationToken"]}


def pages_of_version_1(operations: Operations, query: dict[str, str], after: str) -> Iterator[Page]:
    """The same by markers, which are the last keys where no other is given."""
    place = {"marker": after}
    while True:
        page = listed(operations, "ListObjects", query | place)
        yield page
        if page.elements["IsTruncated"] == "false":
            return
        marker = page.elements.get("NextMarker")
        place = {"marker": text(unquote_to_bytes(marker) if marker else page.items[-1])}


def listed(operations: Operations, operation: str, query: dict[str, str]) -> Page:
    request = S3Request(query={"encoding-type": "url", **query})
    return parse_page(content(ask(operations, operation, request)))


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
