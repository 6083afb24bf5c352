"""Search by name: what it finds, and how much it looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.endpoint.browsing.s3_reader import S3Reader
from s3archivefs_lambda.endpoint.browsing.search import Found, search
from s3archivefs_lambda.endpoint.bucket_operations import EndpointOperations, ServedBucket
from s3archivefs_lambda.endpoint.cors import Cors
from s3archivefs_lambda.s3api.listing import ListedObject, ListPage, ListRequest
from s3archivefs_lambda.s3api.messages import S3Error, S3Request, S3Response, xml_response
from tests.support.adapter.browsed import packed
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.local_archives import operations_on

if TYPE_CHECKING:
    from pathlib import Path


def reader_of(operations: Operations) -> S3Reader:
    endpoint = EndpointOperations({"archive": ServedBucket(operations)}, "us-east-1", Cors())
    return S3Reader(endpoint, S3Request(bucket="archive"), None)


def keys(found: Found) -> list[str]:
    return [hit.key for hit in found.hits]


@pytest.fixture
def reader(tmp_path: Path) -> S3Reader:
    names = [
        *(b"docs/Readme.md", b"docs/inner/README", b"docs/read/a", b"docs/read/me/readme.txt"),
        *(b"other/b", b"stra\xc3\x9fe", b"\xff-readme"),
    ]
    return reader_of(operations_on({"": packed(dict.fromkeys(names, b""), tmp_path / "image")}))


def test_files_and_directories_are_found_by_a_part_of_their_name(reader: S3Reader) -> None:
    assert keys(search(reader, "", "README", None)) == [
        *("docs/Readme.md", "docs/inner/README", "docs/read/me/readme.txt", "\udcff-readme")
    ]
    found = search(reader, "", "read", None)
    assert keys(found)[2:4] == ["docs/read/", "docs/read/me/readme.txt"]
    assert found.looked_at == 7
    assert keys(search(reader, "", "STRASSE", None)) == ["straße"]
    assert keys(search(reader, "", "nowhere", None)) == []


def test_only_what_lies_below_is_looked_at(reader: S3Reader) -> None:
    found = search(reader, "docs/read/", "e", None)
    assert keys(found) == ["docs/read/me/", "docs/read/me/readme.txt"]
    assert found.looked_at == 2
    assert found.token is None


@pytest.mark.parametrize(
    ("count", "pages", "hits"), [(1200, 1, 500), (1200, 1, 10_000), (50, 1000, 1), (50, 2, 3)]
)
def test_parts_of_a_search_are_the_whole_search(
    tmp_path: Path, count: int, pages: int, hits: int
) -> None:
    names = [b"d%d/e%d/file %d" % (i % 3, i % 7, i) for i in range(count)]
    image = packed(dict.fromkeys(names, b""), tmp_path / "image")
    reader = reader_of(operations_on({"": image}))
    whole = search(reader, "", "e", None, most_hits=10_000)
    assert whole.looked_at == count
    assert len(whole.hits) == count + 21
    found: list[str] = []
    token: str | None = None
    while True:
        part = search(reader, "", "e", token, most_pages=pages, most_hits=hits)
        assert part.looked_at <= pages * 1000
        assert len(part.hits) <= hits + 2  # with the directories of the last one
        found += keys(part)
        token = part.token
        if token is None:
            break
    assert found == keys(whole)


def test_a_search_that_finds_nothing_ends_its_part_after_so_many_pages() -> None:
    operations = FakeOperations(endless_page)
    endpoint = EndpointOperations({"archive": ServedBucket(operations)}, "us-east-1", Cors())
    found = search(S3Reader(endpoint, S3Request(bucket="archive"), None), "", "x", None)
    assert [request.query["max-keys"] for _, request in operations.asked] == ["1000"] * 20
    assert (found.hits, found.looked_at) == ([], 20)
    assert found.token is not None


def endless_page(request: S3Request) -> S3Response:
    """A page with one key, behind which there are others."""
    asked = ListRequest.parse(request.query, 2)
    key = b"%d" % (int((asked.floor or b"0").rstrip(b"\0")) + 1)
    page = ListPage(
        bucket="archive",
        request=asked,
        objects=[ListedObject(key, 0, 0, '"etag"')],
        common_prefixes=[],
        continues_at=key + b"\0",
    )
    return xml_response(page.to_xml())


def test_a_token_that_is_none_is_refused(reader: S3Reader) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        search(reader, "", "a", "token")
