"""Listings against a model that sorts all keys and groups them as the S3 documentation says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs_lambda.s3api.listing import ListRequest
from s3archivefs_lambda.s3api.messages import S3Request
from s3archivefs_lambda.text import to_text
from tests.support.adapter.listing_model import (
    DELIMITERS,
    expected_items,
    mapped_trees,
    objects_in,
    places,
)
from tests.support.adapter.local_archives import (
    ask,
    content,
    list_pages,
    operations_on,
)
from tests.support.adapter.open_sources import OpenSource, keys_of, text
from tests.support.drawn.trees import Directory, Link, build_tree

if TYPE_CHECKING:
    from s3archivefs_lambda.bucket.operations import Operations


# An empty directory between keys, a directory that sorts behind names its own begins, a symlink to
# each kind of thing.
AWKWARD: Directory = {
    b"a": {b"x": b"1", b"y": {}},
    b"a-": b"2",
    b"a.b": {b"-": b"3"},
    b"a0": b"4",
    b"empty": {},
    b"to-file": Link(b"a/x"),
    b"to-directory": Link(b"a"),
    b"to-itself": Link(b"to-itself"),
    b"to-nowhere": Link(b"nowhere"),
    b"\xff": b"5",
    b"\xff\xff": {b"x": b"6"},
}


@pytest.mark.property
@given(data=st.data(), archives=mapped_trees(), tool=st.sampled_from(["mksquashfs", "tar2sqfs"]))
def test_a_listing_is_the_sorted_keys_grouped(
    data: st.DataObject, archives: dict[bytes, Directory], tool: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        image = Path(name, "image")
        sources = {}
        for virtual, tree in archives.items():
            build_tree(tree, image, tool)
            fs = s3archivefs.open(s3archivefs.BytesDevice(image.read_bytes()))
            sources[virtual] = OpenSource(fs)
    for _ in range(10):
        prefix = data.draw(places(archives), label="prefix")
        delimiter = data.draw(st.sampled_from(DELIMITERS), label="delimiter")
        after = data.draw(places(archives), label="after")
        query = {"prefix": prefix, "delimiter": delimiter, "start-after": after}
        floor = ListRequest.parse({name: to_text(of) for name, of in query.items()}, 2).floor
        got = [] if floor is None else keys_of(sources, prefix, delimiter, floor)
        assert got == expected_items(archives, prefix, delimiter, after)


@pytest.mark.property
@given(data=st.data(), archives=mapped_trees(), tool=st.sampled_from(["mksquashfs", "tar2sqfs"]))
def test_pages_put_together_are_the_whole_and_every_key_is_an_object(
    data: st.DataObject, archives: dict[bytes, Directory], tool: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        operations = operations_on(built_in(Path(name), archives, tool))
        check_objects(operations, archives)
        for _ in range(3):
            prefix = data.draw(places(archives), label="prefix")
            delimiter = data.draw(st.sampled_from(DELIMITERS), label="delimiter")
            after = data.draw(places(archives), label="after")
            max_keys = data.draw(st.integers(1, 4), label="max-keys")
            check_pages(
                operations,
                archives,
                prefix=prefix,
                delimiter=delimiter,
                after=after,
                max_keys=max_keys,
            )


@pytest.mark.parametrize("tool", ["mksquashfs", "tar2sqfs"])
def test_awkward_names_one_by_one(tool: str, tmp_path: Path) -> None:
    archives = {b"": AWKWARD, b"a/": AWKWARD}
    operations = operations_on(built_in(tmp_path, archives, tool))
    check_objects(operations, archives)
    for after in [b"", *expected_items(archives, b"", b"", b"")]:
        for prefix in (b"", b"a", b"a/", b"a/a", b"to"):
            for delimiter in (b"", b"/", b"-", b"\xff"):
                check_pages(
                    operations,
                    archives,
                    prefix=prefix,
                    delimiter=delimiter,
                    after=after,
                    max_keys=2,
                )


def built_in(where: Path, archives: dict[bytes, Directory], tool: str) -> dict[str, Path]:
    """The trees as images, mapped."""
    mappings = {}
    for number, (virtual, tree) in enumerate(archives.items()):
        mappings[text(virtual.removesuffix(b"/"))] = where / str(number)
        build_tree(tree, where / str(number), tool)
    return mappings


def check_pages(
    operations: Operations,
    archives: dict[bytes, Directory],
    *,
    prefix: bytes,
    delimiter: bytes,
    after: bytes,
    max_keys: int,
) -> None:
    """All pages but the last are full, and together they are the whole."""
    query = {"prefix": text(prefix), "delimiter": text(delimiter), "start_after": text(after)}
    pages = list_pages(operations, max_keys=str(max_keys), **query)
    assert [len(page.items) for page in pages[:-1]] == [max_keys] * (len(pages) - 1)
    got = [item for page in pages for item in page.items]
    assert got == expected_items(archives, prefix, delimiter, after)


def check_objects(operations: Operations, archives: dict[bytes, Directory]) -> None:
    """Whatever is listed can be read, with the size and ETag that the listing says."""
    contents = objects_in(archives)
    for page in list_pages(operations):
        for listed in page.objects:
            response = ask(operations, "GetObject", S3Request(key=text(listed.key)))
            body = content(response)
            assert body == contents[listed.key]
            assert response.headers["ETag"] == listed.etag
            assert listed.size == len(body)
