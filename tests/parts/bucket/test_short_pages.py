"""Pages that end early: together they are the listing, and each gets on."""

from __future__ import annotations

import tempfile
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
from tests.support.adapter.open_sources import OpenSource, OpenSources, text
from tests.support.drawn.trees import Directory, build_tree

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        # An archive around others goes on behind each of them: that is a place too.
        behind = len(archives) - 1
        assert pages <= len(got) + sum(map(places_in, archives.values())) + behind + 1


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
