"""Listings of a bucket's own objects and of the archives among them, against a model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.listing_model import DELIMITERS, grouped
from tests.support.adapter.local_archives import (
    ask,
    content,
    list_pages,
)
from tests.support.adapter.memory_store import MemoryStore
from tests.support.adapter.store_buckets import operations_over
from tests.support.drawn.trees import Directory, build_tree, objects_of, trees

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


# ---- The model -----------------------------------------------------------------------------------

NAMES = (
    "a",
    "b",
    "-",
    "aq",
    "bq",
    "-q",
    "q",
    "a-",
    "aq-",
    "aq-q",
    "aq.",
    "aq0",
    "\u00fcq",
    "a\x01",
)
"""Names of keys' parts; those that end in `q` may be archives'."""
Objects = dict[str, "bytes | Directory"]
"""What a store has: ordinary objects, and archives."""


def keys() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


def stored() -> st.SearchStrategy[Objects]:
    ordinary = st.binary(max_size=6)
    return st.dictionaries(keys(), ordinary | trees(), min_size=1, max_size=8)


def build(objects: Objects, directory: Path) -> MemoryStore:
    built = {}
    for key, what in objects.items():
        if isinstance(what, dict) and key.endswith("q"):
            build_tree(what, directory / "image", "mksquashfs")
            built[key] = (directory / "image").read_bytes()
        else:
            built[key] = b"no image" if isinstance(what, dict) else what
    return MemoryStore(built)


def merged(
    objects: Objects, mapped: Mapping[str, Directory], store: MemoryStore, base: str = ""
) -> tuple[dict[bytes, bytes], set[bytes]]:
    """The bucket as it must look: content by key, and virtual prefixes."""
    found: dict[bytes, bytes] = {}
    virtual = {f"{prefix}/".encode() for prefix in mapped}
    archives: set[bytes] = set()
    for key in sorted(objects, key=lambda key: (key.count("/"), key)):  # the outermost first
        encoded, what = key.encode(), objects[key]
        if not key.startswith(base) or starts_with(encoded, virtual | archives):
            continue
        if isinstance(what, dict) and key.endswith("q"):
            start = encoded + b"/"
            archives.add(start)
            found |= {start + path: body for path, body in objects_of(what).items()}
        else:
            found[encoded] = store.objects[key]
    # Mappings come first in archives, too.
    found = {key: body for key, body in found.items() if not starts_with(key, virtual)}
    for prefix, tree in mapped.items():
        found |= {f"{prefix}/".encode() + path: body for path, body in objects_of(tree).items()}
    return found, virtual | archives | ({base.encode()} if base else set())


def starts_with(key: bytes, starts: set[bytes]) -> bool:
    return any(key.startswith(start) for start in starts)


@st.composite
def places(draw: st.DrawFn, everything: Sequence[bytes]) -> bytes:
    """A part of a key, perhaps with something behind it."""
    key = draw(st.sampled_from([b"", *everything]))
    part = key[: draw(st.integers(0, len(key)))]
    return part + draw(st.just(b"") | st.sampled_from([b"/", b"-", b"a", b"q", b"\xff", b"\x01"]))


def text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# ---- All of it, in order -------------------------------------------------------------------------


@pytest.mark.property
@given(
    data=st.data(),
    objects=stored(),
    mapped=st.dictionaries(keys(), trees(), max_size=1),
    base=st.sampled_from(["", "", "aq/", "a/"]),
)
def test_a_merged_bucket_is_listed_as_its_keys_sorted_grouped_and_cut(
    data: st.DataObject, objects: Objects, mapped: dict[str, Directory], base: str
) -> None:
    mapped = {p: tree for p, tree in mapped.items() if p not in objects and f"{p}/" != base}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        store = build(objects, directory)
        store.starts_in_groups = data.draw(st.booleans(), label="starts_in_groups")
        locations = {}
        for number, (prefix, tree) in enumerate(mapped.items()):
            build_tree(tree, directory / f"{number}", "mksquashfs")
            locations[prefix] = Location("file", "", str(directory / f"{number}"))
        steps = data.draw(st.none() | st.integers(1, 1000), label="steps")
        operations = operations_over(
            store.client,
            directory / "cache",
            "*q",
            url=f"s3://bucket/{base}",
            mappings=locations,
            steps=steps,
        )
        outer = {p: tree for p, tree in mapped.items() if not base.startswith(f"{p}/")}
        found, virtual = merged(objects, outer, store, base)
        if base:
            for prefix, tree in mapped.items():
                if prefix not in outer:  # the bucket's own prefix is longer, and wins there
                    start = f"{prefix}/".encode()
                    virtual.add(start)
                    found |= {
                        start + path: body
                        for path, body in objects_of(tree).items()
                        if not (start + path).startswith(base.encode())
                    }
        check_objects(operations, found)
        for _ in range(10):
            check_pages(
                operations,
                found,
                virtual,
                prefix=data.draw(places([*found, *virtual]), label="prefix"),
                delimiter=data.draw(st.sampled_from(DELIMITERS), label="delimiter"),
                after=data.draw(places([*found, *virtual]), label="after"),
                max_keys=data.draw(st.integers(1, 4) | st.just(1000), label="max-keys"),
                are_full=steps is None,
            )


def check_objects(operations: Operations, found: dict[bytes, bytes]) -> None:
    """All is listed without a delimiter, and what is listed can be read and is as it says."""
    listed = [each for page in list_pages(operations) for each in page.objects]
    assert [each.key for each in listed] == sorted(found)
    for each in listed:
        response = ask(operations, "GetObject", S3Request(key=text(each.key)))
        assert content(response) == found[each.key]
        assert response.headers["ETag"] == each.etag
        assert response.headers["Content-Length"] == str(each.size)


def check_pages(
    operations: Operations,
    found: dict[bytes, bytes],
    virtual: set[bytes],
    *,
    prefix: bytes,
    delimiter: bytes,
    after: bytes,
    max_keys: int,
    are_full: bool,
) -> None:
    """Pages together are the whole, and each but the last is full."""
    query = {"prefix": text(prefix), "delimiter": text(delimiter), "start_after": text(after)}
    pages = list_pages(operations, max_keys=str(max_keys), **query)
    if are_full:
        assert [len(page.items) for page in pages[:-1]] == [max_keys] * (len(pages) - 1)
    got = [item for page in pages for item in page.items]
    assert got == grouped(found.keys(), virtual, prefix, delimiter, after)
