"""Cases that are listings: a request, the pages that follow from it, and all their elements."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.parts.conformance.cases import Scope, Server
from tests.parts.conformance.keys import BUCKET, objects
from tests.parts.conformance.wire import Answer, Auth, Request, signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_NAMES = ("prefix", "start-after", "marker")
"""Parameters whose values begin as keys do."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page lists, in the order of each."""

    keys: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    @property
    def items(self) -> list[bytes]:
        """Both, in one order."""
        return sorted(map(_bytes, self.keys + self.prefixes))


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingCase:
    """A listing of one set of keys, or with none of all, in version 1 or 2, page after page.

    Prefixes, keys and places to start at are said as if the set were a bucket of its own. What a
    page says of itself (Prefix, KeyCount, IsTruncated, ...) follows from its request.
    """

    id: str
    set: str
    pages: tuple[Page, ...]
    version: int = 2
    query: Mapping[str, str] = field(default_factory=dict)
    later: Mapping[str, str] | None = None
    """The query of the further pages, without what says where they begin; as the first by default.
    """
    is_truncated: bool = False
    """Whether the last page is."""
    scope: Scope = Scope.ANY
    auth: Auth = signed

    def faults(self, server: Server) -> list[str]:
        """What is wrong with the server's pages."""
        query = self._relocated(self.query)
        found = []
        for number, page in enumerate(self.pages, 1):
            answer = server.send(Request(query=query, auth=self.auth))
            listing, faults = _read(answer)
            truncated = number < len(self.pages) or self.is_truncated
            if listing is not None:
                faults += self._faults(listing, query, self._page(page), truncated=truncated)
            found += [f"page {number}: {fault}" for fault in faults]
            if listing is None or number == len(self.pages):
                break
            place = self._place_to_go_on(listing)
            if place is None:
                break
            query = self._relocated(self.query if self.later is None else self.later)
            query.pop("marker", None)
            query |= place
        return found

    def _relocated(self, query: Mapping[str, str]) -> dict[str, str]:
        names = {name: self._place + query[name] for name in _NAMES if name in query}
        version = {"list-type": "2"} if self.version == 2 else {}
        prefix = {"prefix": self._place} if self.set else {}
        return version | prefix | dict(query) | names

    @property
    def _place(self) -> str:
        return self.set and self.set + "/"

    def _page(self, page: Page) -> Page:
        return Page(
            tuple(self._place + key for key in page.keys),
            tuple(self._place + prefix for prefix in page.prefixes),
        )

    def _place_to_go_on(self, listing: _Listing) -> dict[str, str] | None:
        """The parameter that asks for the next page."""
        if self.version == 2:
            token = listing.elements.get("NextContinuationToken")
            return None if token is None else {"continuation-token": token}
        marker = listing.elements.get("NextMarker")
        if marker is None and listing.entries:
            marker = listing.entries[-1]["Key"]
        return None if marker is None else {"marker": marker}

    # ---- What a page says ------------------------------------------------------------------------

    def _faults(
        self, listing: _Listing, query: Mapping[str, str], page: Page, *, truncated: bool
    ) -> Iterator[str]:
        shown = _encoded if query.get("encoding-type") == "url" else str
        keys = [entry.get("Key", "") for entry in listing.entries]
        for what, given, wanted in (
            ("keys", keys, [*map(shown, page.keys)]),
            ("prefixes", listing.prefixes, [*map(shown, page.prefixes)]),
        ):
            if given != wanted:
                yield f"{what} {given}, not {wanted}"
        last = page.items[-1].decode("utf-8", "surrogateescape") if page.items else ""
        for name, value in self._elements(query, len(page.items), last, truncated=truncated):
            given_value = listing.elements.get(name)
            wanted_value = None if value is None else shown(value) if name in _ENCODED else value
            if given_value != wanted_value:
                yield f"{name} {given_value!r}, not {wanted_value!r}"
        has_token = bool(listing.elements.get("NextContinuationToken"))
        if has_token != (truncated and self.version == 2):
            yield f"NextContinuationToken is {'there' if has_token else 'missing'}"
        contents = objects()
        owned = self.version == 1 or query.get("fetch-owner") == "true"
        faults: dict[str, None] = {}  # each once, however many entries have it
        for key, entry in zip(page.keys, listing.entries, strict=False):
            faults |= dict.fromkeys(_faults_of_entry(entry, contents.get(key), owned=owned))
        yield from faults

    def _elements(
        self, query: Mapping[str, str], count: int, last: str, *, truncated: bool
    ) -> Iterator[tuple[str, str | None]]:
        """Elements that stand once, and what they say; None for those that must be absent."""
        delimiter = query.get("delimiter") or None
        yield "Name", BUCKET
        yield "Prefix", query.get("prefix", "")
        yield "Delimiter", delimiter
        if query.get("max-keys", "1000").isdecimal():
            yield "MaxKeys", str(min(int(query.get("max-keys", "1000")), 1000))
        yield "EncodingType", query.get("encoding-type")
        yield "IsTruncated", "true" if truncated else "false"
        if self.version == 2:
            token = query.get("continuation-token")
            yield "KeyCount", str(count)
            yield "ContinuationToken", token
            yield "StartAfter", query.get("start-after") if token is None else None
        else:
            yield "KeyCount", None
            yield "Marker", query.get("marker", "")
            yield "NextMarker", last if truncated and delimiter else None


_ENCODED = {"Prefix", "Delimiter", "StartAfter", "Marker", "NextMarker"}


def _faults_of_entry(
    entry: Mapping[str, str], content: bytes | None, *, owned: bool
) -> Iterator[str]:
    if content is not None and entry.get("Size") != str(len(content)):
        yield f"Size {entry.get('Size')}, not {len(content)}"
    if not re.fullmatch(r'"[^"]+"', entry.get("ETag", "")):
        yield f"ETag {entry.get('ETag')}"
    if not _TIME.fullmatch(entry.get("LastModified", "")):
        yield f"LastModified {entry.get('LastModified')}"
    if entry.get("StorageClass") != "STANDARD":
        yield f"StorageClass {entry.get('StorageClass')}, not STANDARD"
    if bool(entry.get("Owner/ID")) != owned:
        yield f"Owner is {'missing' if owned else 'there'}"


# ---- Reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Listing:
    """A page as text, encoded as it is."""

    entries: list[dict[str, str]]
    prefixes: list[str]
    elements: dict[str, str]


def read_listing(answer: Answer) -> _Listing:
    """Read a page; AssertionError where the answer is none."""
    listing, faults = _read(answer)
    assert listing is not None, faults
    return listing


def _read(answer: Answer) -> tuple[_Listing | None, list[str]]:
    if answer.status != 200:
        code = re.search(rb"<Code>(\w+)</Code>", answer.body)
        return None, [f"status {answer.status}{f' {code[1].decode()}' if code else ''}, not 200"]
    try:
        root = ET.fromstring(answer.body)  # noqa: S314 -- of the server under test
    except ET.ParseError as error:
        return None, [f"no XML: {error.msg}"]
    faults = []
    if root.tag != NAMESPACE + "ListBucketResult":
        faults.append(f"root {root.tag}")
    entries, prefixes, elements = [], [], {}
    for child in root:
        match _local(child):
            case "Contents":
                entries.append(dict(_texts(child)))
            case "CommonPrefixes":
                prefixes += [text for _, text in _texts(child)]
            case name:
                elements[name] = child.text or ""
    return _Listing(entries, prefixes, elements), faults


def _texts(element: ET.Element) -> Iterator[tuple[str, str]]:
    """The texts below an element, by path."""
    for child in element:
        yield _local(child), child.text or ""
        for name, text in _texts(child):
            yield f"{_local(child)}/{name}", text


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _encoded(text: str) -> str:
    return quote(_bytes(text), safe="/")
