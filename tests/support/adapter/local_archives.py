"""The adapter over images in local files: what a test of it needs above the devices."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations, S3Operations
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


def location_of(path: Path) -> Location:
    """Where a mapping to a local file goes."""
    return Location("file", "", str(path))


def config_for(mappings: Mapping[str, Path], **changes: Any) -> Config:  # noqa: ANN401 -- fields of Config
    """Default settings with these virtual prefixes mapped to these files."""
    mapped = [
        PrefixMapping(prefix, location_of(path), "the test") for prefix, path in mappings.items()
    ]
    defaults = Config.from_environ({})
    return replace(defaults, mappings=PrefixMap.from_mappings(mapped), **changes)


def operations_on(mappings: Mapping[str, Path], **changes: Any) -> Operations:  # noqa: ANN401 -- likewise
    """The operations over local files."""
    return Operations(Archives(config_for(mappings, **changes), make_archive_client))


def ask(operations: S3Operations, operation: str, request: S3Request) -> S3Response:
    """The operation's answer; raises the S3Error that it is."""
    response = operations.answer(operation, request)
    if response.error is not None:
        raise response.error
    return response


def content(response: S3Response) -> bytes:
    """A response's body, closed afterwards."""
    try:
        return b"".join(response.body)
    finally:
        response.close()


def head(operations: Operations, key: str, **headers: str) -> S3Response:
    request = S3Request(
        key=key, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = ask(operations, "HeadObject", request)
    assert content(response) == b""
    return response


def refused(operations: Operations, request: S3Request) -> S3Error:
    """The error that GetObject and HeadObject both answer with."""
    found, same = (operations.answer(each, request).error for each in ("GetObject", "HeadObject"))
    assert found is not None
    assert same is not None
    told = [(each.code, each.status, each.message, each.extra) for each in (found, same)]
    assert told[0] == told[1]
    return found


def get(operations: Operations, key: str, **query: str) -> bytes:
    """An object's bytes."""
    return content(ask(operations, "GetObject", S3Request(key=key, query=query)))


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as the XML of a listing says it is."""

    key: bytes
    etag: str
    size: int
    modified: str


@dataclass(frozen=True, slots=True)
class Page:
    """The XML of a listing with encoding-type=url, decoded."""

    objects: tuple[Listed, ...]
    prefixes: tuple[bytes, ...]
    next_token: str | None
    elements: dict[str, str]
    """The text of the elements that stand once, as it is in the document."""

    @property
    def items(self) -> list[bytes]:
        """Keys and common prefixes, in one order."""
        return sorted([*(listed.key for listed in self.objects), *self.prefixes])


def parse_page(document: bytes) -> Page:
    """Read a listing as a client does that knows nothing of how it was written."""
    root = ET.fromstring(document)  # noqa: S314 -- made by the code under test
    assert root.tag == XMLNS + "ListBucketResult"

    def text(element: ET.Element, name: str) -> str:
        found = element.find(XMLNS + name)
        assert found is not None, name
        return found.text or ""

    once = {
        child.tag.removeprefix(XMLNS): child.text or ""
        for child in root
        if child.tag not in {XMLNS + "Contents", XMLNS + "CommonPrefixes"}
    }
    return Page(
        objects=tuple(
            Listed(
                unquote_to_bytes(text(found, "Key")),
                text(found, "ETag"),
                int(text(found, "Size")),
                text(found, "LastModified"),
            )
            for found in root.iter(XMLNS + "Contents")
        ),
        prefixes=tuple(
            unquote_to_bytes(text(found, "Prefix")) for found in root.iter(XMLNS + "CommonPrefixes")
        ),
        next_token=once.get("NextContinuationToken"),
        elements=once,
    )


def list_page(operations: Operations, **query: str) -> Page:
    """One page of a listing; names of parameters with `_` for `-`."""
    parameters = {name.replace("_", "-"): value for name, value in query.items()}
    request = S3Request(query={"encoding-type": "url", **parameters})
    return parse_page(content(ask(operations, "ListObjectsV2", request)))


def list_pages(operations: Operations, **query: str) -> list[Page]:
    """All pages of a listing."""
    pages = [list_page(operations, **query)]
    while (token := pages[-1].next_token) is not None:
        assert token != pages[-1].elements.get("ContinuationToken"), "the listing has no end"
        pages.append(list_page(operations, **(query | {"continuation_token": token})))
    return pages


def list_keys(operations: Operations, **query: str) -> list[str]:
    """All keys of a listing, in the order given; not UTF-8 by surrogateescape."""
    return [
        listed.key.decode("utf-8", "surrogateescape")
        for page in list_pages(operations, **query)
        for listed in page.objects
    ]
