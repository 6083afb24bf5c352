"""The XML of listings and their tokens, held against behaviour captured from Amazon S3."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

import botocore.handlers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.s3api.listing import ListedObject, ListKind, ListPage, ListRequest
from s3archivefs_lambda.s3api.messages import S3Error
from tests.support.adapter.local_archives import XMLNS, parse_page
from tests.support.aws.sdk import parsed_by_botocore

ETAG = '"0123456789abcdef0123456789abcdef-1"'
MODIFIED = 1_600_000_000


def document(
    objects: tuple[ListedObject, ...] = (),
    common_prefixes: tuple[bytes, ...] = (),
    *,
    continues_at: bytes | None = None,
    version: ListKind = 2,
    **query: bytes | str,
) -> bytes:
    """A page as XML; parameters of the request have `_` for `-`."""
    given = {
        name.replace("_", "-"): value
        if isinstance(value, str)
        else value.decode("utf-8", "surrogateescape")
        for name, value in query.items()
    }
    request = ListRequest.parse({"encoding-type": "url", **given}, version)
    page = ListPage(
        bucket="archive",
        request=request,
        objects=objects,
        common_prefixes=common_prefixes,
        continues_at=continues_at,
    )
    return page.to_xml()


def listed(key: bytes) -> ListedObject:
    return ListedObject(key, 5, MODIFIED, ETAG)


def as_boto3_reads(page: bytes, *, version: Literal[1, 2] = 2) -> dict[str, Any]:
    """What boto3 makes of a listing that it asked for with its own encoding-type."""
    operation = "ListObjects" if version == 1 else "ListObjectsV2"
    parsed = parsed_by_botocore(operation, 200, page)
    decode = {1: botocore.handlers.decode_list_object, 2: botocore.handlers.decode_list_object_v2}
    decode[version](parsed, {"encoding_type_auto_set": True})
    return parsed


def test_an_empty_listing_has_the_elements_that_are_always_there() -> None:
    page = parse_page(document())
    assert page.elements == {
        "Name": "archive",
        "Prefix": "",
        "KeyCount": "0",
        "MaxKeys": "1000",
        "EncodingType": "url",
        "IsTruncated": "false",
    }
    assert page.items == []


def test_an_empty_listing_of_version_1_has_its_own() -> None:
    assert parse_page(document(version=1)).elements == {
        "Name": "archive",
        "Prefix": "",
        "Marker": "",
        "MaxKeys": "1000",
        "EncodingType": "url",
        "IsTruncated": "false",
    }


def test_a_listing_says_what_s3_says_of_an_object() -> None:
    root = ET.fromstring(document((listed(b"k"),)))  # noqa: S314 -- made by the code under test
    (contents,) = root.findall(XMLNS + "Contents")
    assert {child.tag.removeprefix(XMLNS): child.text for child in contents} == {
        "Key": "k",
        "LastModified": "2020-09-13T12:26:40.000Z",
        "ETag": ETAG,
        "Size": "5",
        "StorageClass": "STANDARD",
    }


def test_the_owner_is_there_when_asked_for_and_always_in_version_1() -> None:
    objects = (listed(b"k"),)
    with_owner = as_boto3_reads(document(objects, fetch_owner="true"))
    assert with_owner["Contents"][0]["Owner"]["ID"]
    assert "Owner" not in as_boto3_reads(document(objects))["Contents"][0]
    version_1 = as_boto3_reads(document(objects, version=1), version=1)
    assert version_1["Contents"][0]["Owner"]["ID"]


def test_objects_and_common_prefixes_count_together() -> None:
    page = parse_page(document((listed(b"k"),), (b"a/", b"b/"), delimiter="/"))
    assert page.elements["KeyCount"] == "3"
    assert page.elements["Delimiter"] == "/"


def test_the_start_is_echoed_unless_a_token_goes_on_from_elsewhere() -> None:
    page = parse_page(document(start_after="s", continues_at=b"t"))
    assert page.elements["StartAfter"] == "s"
    assert page.next_token is not None
    elements = parse_page(document(start_after="s", continuation_token=page.next_token)).elements
    assert "StartAfter" not in elements
    assert elements["ContinuationToken"] == page.next_token


def test_a_truncated_listing_has_a_token_that_goes_on_behind_its_last_key() -> None:
    elements = parse_page(document((listed(b"k"),), continues_at=b"k\0")).elements
    assert elements["IsTruncated"] == "true"
    token = elements["NextContinuationToken"]
    assert ListRequest.parse({"continuation-token": token}, 2).floor == b"k\0"


def test_a_truncated_listing_of_version_1_has_a_next_marker_where_there_is_a_delimiter() -> None:
    full = partial(document, continues_at=b"k0", max_keys="1", version=1)
    elements = parse_page(full((listed(b"k"),), delimiter="/")).elements
    assert (elements["IsTruncated"], elements["NextMarker"]) == ("true", "k")
    elements = parse_page(full((), (b"k/",), delimiter="/")).elements
    assert (elements["IsTruncated"], elements["NextMarker"]) == ("true", "k/")
    assert "NextMarker" not in parse_page(full((listed(b"k"),))).elements


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_page_of_version_1_that_is_not_full_has_a_next_marker_of_its_own_kind(
    delimiter: str,
) -> None:
    page = document((listed(b"a"),), continues_at=b"k/l/", delimiter=delimiter, version=1)
    marker = as_boto3_reads(page, version=1)["NextMarker"]
    further = ListRequest.parse({"marker": marker, "delimiter": delimiter}, 1)
    assert further.floor == b"k/l/"  # not the end of `k/`, in which it lies
    again = as_boto3_reads(document(marker=marker, version=1), version=1)
    assert again["Marker"] == marker
    # What merely looks like one is a key.
    assert ListRequest.parse({"marker": marker + "x"}, 1).floor == marker.encode() + b"x\0"
    assert ListRequest.parse({"start-after": marker}, 2).floor == marker.encode() + b"\0"


def test_each_version_reads_its_own_parameters() -> None:
    query = {"marker": "m", "start-after": "s"}
    assert ListRequest.parse(query, 1).floor == b"m\0"
    assert ListRequest.parse(query, 2).floor == b"s\0"
    assert ListRequest.parse({"continuation-token": "malformed"}, 1).floor == b""


@given(st.binary(min_size=1, max_size=20))
def test_a_token_holds_any_key(key: bytes) -> None:
    token = parse_page(document(continues_at=key)).next_token
    assert token is not None
    assert ListRequest.parse({"continuation-token": token}, 2).floor == key


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        (b"plain/key-1_2.txt~", "plain/key-1_2.txt~"),
        (b"quux ab/", "quux%20ab/"),
        (b"asdf+b", "asdf%2Bb"),
        (b"a%20b", "a%2520b"),
        (b"a=b&c", "a%3Db%26c"),
        (b"test_file(3).png", "test_file%283%29.png"),
        ("\u00fc".encode(), "%C3%BC"),
        (b"\xff\xfe", "%FF%FE"),
        (b"\x01\n\x7f", "%01%0A%7F"),
        (b"<&>\"'", "%3C%26%3E%22%27"),
    ],
)
@pytest.mark.parametrize(
    ("version", "start", "elements"),
    [(2, "start_after", ["StartAfter"]), (1, "marker", ["Marker", "NextMarker"])],
)
def test_names_are_percent_encoded_as_s3_does(
    key: bytes, encoded: str, version: Literal[1, 2], start: str, elements: list[str]
) -> None:
    names = {"prefix": key, "delimiter": key, start: key}
    page = document(
        (listed(key),), (key,), continues_at=key + b"\0", max_keys="2", version=version, **names
    )
    root = ET.fromstring(page)  # noqa: S314 -- made by the code under test
    for path in ("Contents/Key", "CommonPrefixes/Prefix", "Prefix", "Delimiter", *elements):
        found = root.find("/".join(XMLNS + name for name in path.split("/")))
        assert found is not None, path
        assert found.text == encoded, path


@given(st.binary(min_size=1, max_size=20))
def test_an_encoded_listing_gives_every_byte_back(name: bytes) -> None:
    page = parse_page(document((listed(name),), (name,), prefix=name, start_after=name))
    assert page.objects[0].key == name
    assert page.prefixes == (name,)


@pytest.mark.parametrize("name", ["a b", "a+b", "a%b", "a%2Fb", "a=b", "\u00fc\U0001f600", "<&>"])
def test_boto3_reads_the_names_back(name: str) -> None:
    raw = name.encode()
    parsed = as_boto3_reads(
        document((listed(raw),), (raw,), prefix=name, delimiter=name, start_after=name)
    )
    assert parsed["Contents"][0]["Key"] == name
    assert parsed["CommonPrefixes"] == [{"Prefix": name}]
    assert (parsed["Prefix"], parsed["Delimiter"], parsed["StartAfter"]) == (name, name, name)
    assert parsed["Contents"][0]["ETag"] == ETAG
    assert parsed["Contents"][0]["Size"] == 5
    assert parsed["Contents"][0]["LastModified"] == datetime.fromtimestamp(MODIFIED, UTC)
    assert parsed["KeyCount"] == 2
    assert parsed["IsTruncated"] is False


def test_boto3_reads_the_markers_of_version_1_back() -> None:
    page = document(
        (listed(b"c d"),),
        version=1,
        marker="a+b",
        delimiter="/",
        max_keys="1",
        continues_at=b"c d\0",
    )
    parsed = as_boto3_reads(page, version=1)
    assert (parsed["Marker"], parsed["NextMarker"]) == ("a+b", "c d")


def test_without_encoding_names_are_text_with_replacements_for_what_xml_cannot_hold() -> None:
    request = ListRequest.parse({"prefix": "a+"}, 2)
    page = ListPage(
        bucket="archive",
        request=request,
        objects=(listed(b"a+ <\xff\x01"),),
        common_prefixes=(),
        continues_at=None,
    )
    root = ET.fromstring(page.to_xml())  # noqa: S314 -- made by the code under test
    key = root.find(f"{XMLNS}Contents/{XMLNS}Key")
    assert key is not None
    assert key.text == "a+ <\ufffd\ufffd"
    assert root.find(f"{XMLNS}EncodingType") is None


NAMES = st.binary(max_size=4) | st.sampled_from(
    ["\u00fc".encode(), b"\xe2\x82", b"a\nb", b"\n", b"<&", b"a+b/c", b"\0"]
)


@given(keys=st.lists(NAMES, max_size=5), encoding=st.sampled_from(["", "url"]), etag=NAMES)
def test_each_object_of_a_page_is_as_on_a_page_of_its_own(
    keys: list[bytes], encoding: Literal["", "url"], etag: bytes
) -> None:
    request = ListRequest.parse({"encoding-type": encoding} if encoding else {}, 2)
    tag = f'"{etag.decode("utf-8", "replace")}"'

    def contents(*keys: bytes) -> bytes:
        page = ListPage(
            bucket="archive",
            request=request,
            objects=[ListedObject(key, 5, MODIFIED, tag) for key in keys],
            common_prefixes=keys,
            continues_at=None,
        )
        _, _, items = page.to_xml().partition(b"</IsTruncated>")
        return items.removesuffix(b"</ListBucketResult>")

    objects, prefixes = b"", b""
    for key in keys:
        listed, mark, prefix = contents(key).partition(b"<CommonPrefixes>")
        objects, prefixes = objects + listed, prefixes + mark + prefix
    assert contents(*keys) == objects + prefixes


@pytest.mark.parametrize("modified", [0, 2**32 - 1])
def test_dates_of_listings_are_iso_8601_in_utc(modified: int) -> None:
    (parsed,) = as_boto3_reads(document((ListedObject(b"k", 0, modified, ETAG),)))["Contents"]
    assert parsed["LastModified"] == datetime.fromtimestamp(modified, UTC)


# ---- Versions ------------------------------------------------------------------------------------


def versions(*objects: bytes, continues_at: bytes | None = None, **query: str) -> dict[str, Any]:
    """What boto3 makes of a page of ListObjectVersions."""
    listing = tuple(map(listed, objects))
    page = document(listing, (b"p/",), continues_at=continues_at, version="versions", **query)
    return parsed_by_botocore("ListObjectVersions", 200, page)


def test_each_object_has_one_version_that_is_null() -> None:
    page = versions(b"a", b"b", delimiter="/")
    assert [version.pop("Key") for version in page["Versions"]] == ["a", "b"]
    assert page["Versions"][0] == {
        "ETag": ETAG,
        "IsLatest": True,
        "LastModified": datetime.fromtimestamp(MODIFIED, UTC),
        "Owner": {"ID": "s3archivefs"},
        "Size": 5,
        "StorageClass": "STANDARD",
        "VersionId": "null",
    }
    assert page["CommonPrefixes"] == [{"Prefix": "p/"}]
    assert (page["IsTruncated"], "NextKeyMarker" in page) == (False, False)


def test_a_page_of_versions_goes_on_behind_its_last_key() -> None:
    page = versions(b"q", continues_at=b"q\0", max_keys="2", key_marker="a")
    assert (page["KeyMarker"], page["NextKeyMarker"]) == ("a", "q")
    assert ListRequest.parse({"key-marker": "q"}, "versions").floor == b"q\0"
    cut_short = versions(b"q", continues_at=b"r/s", max_keys="9")["NextKeyMarker"]
    assert ListRequest.parse({"key-marker": unquote(cut_short)}, "versions").floor == b"r/s"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"version-id-marker": "null"}, "cannot be specified without a key marker"),
        ({"key-marker": "k", "version-id-marker": ""}, "cannot be empty"),
        ({"key-marker": "k", "version-id-marker": "x"}, "Invalid version id"),
    ],
)
def test_a_marker_of_versions_that_cannot_be_is_refused(
    query: dict[str, str], message: str
) -> None:
    with pytest.raises(S3Error, match=message):
        ListRequest.parse(query, "versions")
    accepted = {"key-marker": "k", "version-id-marker": "null"}
    assert ListRequest.parse(accepted, "versions").floor == b"k\0"
