"""Listings over the wire, page by page, against a model that sorts all keys, groups and cuts them.

Both ways to an archive are asked for each page and must send the same one: so either goes on from
a token of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.parts.conformance.listing_cases import read_listing
from tests.parts.conformance.servers import endpoint_on, object_lambda_on
from tests.parts.conformance.wire import Request
from tests.support.adapter.listing_model import DELIMITERS, expected_items, objects_in, places
from tests.support.drawn.trees import Directory, build_tree, names, trees

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.parts.conformance.cases import Server
    from tests.parts.conformance.wire import Answer

# Each example packs images and asks for some pages, which may take seconds on a busy machine.
SECONDS = max(1500, 3 * settings().max_examples)

pytestmark = [pytest.mark.property, pytest.mark.timeout(SECONDS)]


# ---- The archives --------------------------------------------------------------------------------

VIRTUAL = (b"", b"a/", b"a/b/", b"\xff/")


def mapped_archives() -> st.SearchStrategy[dict[bytes, Directory]]:
    """What is mapped: at the root, and elsewhere perhaps an archive of nothing."""
    nothing: st.SearchStrategy[Directory] = st.just({})
    return st.fixed_dictionaries(
        {virtual: nothing | trees() if virtual else trees() for virtual in VIRTUAL}
    )


@dataclass
class Bucket:
    """Archives that two servers read, and that are replaced while these run.

    Both notice at the next request: an archive in a local file is looked at each time.
    """

    images: Mapping[bytes, Path]
    held: dict[bytes, Directory]
    servers: tuple[Server, Server]

    def hold(self, archives: dict[bytes, Directory]) -> None:
        """Replace archives by others, each in place and at once."""
        for virtual, tree in archives.items():
            if tree != self.held[virtual]:
                image = self.images[virtual]
                made = image.with_name("made")
                build_tree(tree, made, "mksquashfs")
                made.replace(image)
                self.held[virtual] = tree

    def send(self, request: Request) -> Answer:
        """The one answer of both servers."""
        first, second = (server.send(request) for server in self.servers)
        assert (first.status, first.body) == (second.status, second.body)
        return first


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Both servers over the same images."""
    directory = tmp_path_factory.mktemp("paging")
    images = {virtual: directory / f"image-{n}" for n, virtual in enumerate(VIRTUAL)}
    for image in images.values():
        build_tree({}, image, "mksquashfs")
    mapped = {text(virtual.removesuffix(b"/")): image for virtual, image in images.items()}
    with (
        endpoint_on(mapped, directory) as endpoint,
        object_lambda_on(mapped, directory) as function,
    ):
        yield Bucket(images, {virtual: {} for virtual in VIRTUAL}, (endpoint, function))


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


# ---- A listing -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a client asks for, in version 1 or 2."""

    version: int
    prefix: bytes
    delimiter: bytes
    after: bytes
    max_keys: int
    url: bool
    """Whether names are to be percent-encoded."""

    def expected(
        self, archives: dict[bytes, Directory], after: bytes | None = None
    ) -> list[list[bytes]]:
        """The pages, from the beginning or from another place on."""
        after = self.after if after is None else after
        items = expected_items(archives, self.prefix, self.delimiter, after)
        starts = range(0, len(items) or 1, self.max_keys)
        return [items[start : start + self.max_keys] for start in starts]

    def request(self, place: dict[str, str]) -> Request:
        """The request for the page at a place; as clients do, it repeats `start-after`."""
        after = text(self.after)
        query = {
            "prefix": text(self.prefix),
            "delimiter": text(self.delimiter),
            "max-keys": str(self.max_keys),
        }
        query |= {"encoding-type": "url"} if self.url else {}
        query |= (
            {"list-type": "2", "start-after": after} if self.version == 2 else {"marker": after}
        )
        return Request(query=query | place)

    def shown(self, name: bytes) -> str:
        """A name as a page has it; U+FFFD in XML for what that cannot hold."""
        if self.url:
            return quote(name, safe="/")
        return name.decode("utf-8", "replace").replace("\x01", "\ufffd")

    def is_key(self, item: bytes) -> bool:
        """Whether it is none of the common prefixes, which are what has the delimiter."""
        return not self.delimiter or self.delimiter not in item[len(self.prefix) :]


@st.composite
def listings(draw: st.DrawFn, archives: dict[bytes, Directory]) -> Listing:
    """A listing that begins anywhere."""
    return Listing(
        version=draw(st.sampled_from([2, 1])),
        prefix=draw(st.just(b"") | places(archives)),
        delimiter=draw(st.sampled_from(DELIMITERS) | names()),
        after=draw(st.just(b"") | places(archives)),
        max_keys=draw(st.integers(1, 3)),
        url=draw(st.booleans()),
    )


@dataclass
class Reading:
    """A listing as it is read, page after page."""

    bucket: Bucket
    listing: Listing
    place: dict[str, str] = field(default_factory=dict)
    """The parameter that asks for the next page."""
    entries: dict[bytes, dict[str, str]] = field(default_factory=dict)
    """What was said of each key."""

    def read(self, pages: list[list[bytes]], *, to_the_end: bool = True) -> None:
        """Ask for the pages, which must be these."""
        for number, items in enumerate(pages, 1):
            self._read_page(items, is_last=to_the_end and number == len(pages))

    def _read_page(self, items: list[bytes], *, is_last: bool) -> None:
        listing = self.listing
        found = read_listing(self.bucket.send(listing.request(self.place)))
        keys = [item for item in items if listing.is_key(item)]
        prefixes = [item for item in items if not listing.is_key(item)]
        assert [entry["Key"] for entry in found.entries] == [*map(listing.shown, keys)]
        assert found.prefixes == [*map(listing.shown, prefixes)]
        assert found.elements["IsTruncated"] == ("false" if is_last else "true")
        self.entries |= zip(keys, found.entries, strict=True)
        if listing.version == 2:
            assert found.elements["KeyCount"] == str(len(items))
            if not is_last:
                self.place = {"continuation-token": found.elements["NextContinuationToken"]}
        elif not is_last:
            # Without a delimiter, a client takes the last key. A name that XML cannot hold is lost
            # on it: then this one knows better.
            marker = listing.shown(items[-1]) if listing.delimiter else None
            assert found.elements.get("NextMarker") == marker
            self.place = {"marker": text(items[-1])}


# ---- What holds of all listings ------------------------------------------------------------------

# To explain a failure would take minutes, as each of its attempts packs images.
PHASES = set(Phase) - {Phase.explain}


@settings(phases=PHASES)
@given(data=st.data(), archives=mapped_archives())
def test_pages_put_together_are_the_sorted_keys_grouped_and_each_is_the_object_that_head_finds(
    bucket: Bucket, data: st.DataObject, archives: dict[bytes, Directory]
) -> None:
    bucket.hold(archives)
    contents = objects_in(archives)
    for _ in range(2):
        listing = data.draw(listings(archives), label="listing")
        reading = Reading(bucket, listing)
        reading.read(listing.expected(archives))
        for key, entry in reading.entries.items():
            assert entry["Size"] == str(len(contents[key]))
        if reading.entries:
            key = data.draw(st.sampled_from([*reading.entries]), label="key")
            said = reading.entries[key]
            for server in bucket.servers:
                head = server.send(Request(method="HEAD", key=text(key)))
                found = {name: head.headers[name] for name in ("ETag", "Content-Length")}
                assert found == {"ETag": said["ETag"], "Content-Length": said["Size"]}


@settings(phases=PHASES)
@given(data=st.data(), before=mapped_archives(), after=mapped_archives())
def test_a_listing_goes_on_behind_the_same_key_where_the_archives_are_replaced_between_two_pages(
    bucket: Bucket,
    data: st.DataObject,
    before: dict[bytes, Directory],
    after: dict[bytes, Directory],
) -> None:
    bucket.hold(before)
    long = listings(before).filter(lambda listing: len(listing.expected(before)) > 1)
    listing = data.draw(long, label="listing")
    pages = listing.expected(before)
    count = data.draw(st.integers(1, len(pages) - 1), label="pages before")
    reading = Reading(bucket, listing)
    reading.read(pages[:count], to_the_end=False)
    bucket.hold(after)
    reading.read(listing.expected(after, pages[count - 1][-1]))
