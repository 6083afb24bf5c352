"""ListObjects, mostly in version 2: its parameters, its pages, and what it refuses."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from fixtures.tree import directory, file
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from tests.support.adapter.local_archives import (
    XMLNS,
    Page,
    ask,
    content,
    list_keys,
    list_page,
    list_pages,
    operations_on,
    parse_page,
)
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

    from s3archivefs_lambda.bucket.operations import Operations

MANY = 1100
KEYS = sorted(["a b", "a+b", "d/x", "d/y", "d/z", *(f"n/{number:04d}" for number in range(MANY))])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = (directory("d"), directory("n"), *(file(key, key.encode()) for key in KEYS))
    return make_image(tmp_path_factory.mktemp("many"), tree)


@pytest.fixture
def operations(image: Path) -> Operations:
    return operations_on({"": image})


def keys_of(page: Page) -> list[str]:
    return [found.key.decode() for found in page.objects]


def refused(operations: Operations, **query: str) -> S3Error:
    with pytest.raises(S3Error) as caught:
        list_page(operations, **query)
    return caught.value


# ---- max-keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_keys", "count"),
    [("", 1000), ("1", 1), ("999", 999), ("1000", 1000), ("1001", 1000), ("2147483647", 1000)],
)
def test_a_page_has_at_most_max_keys_and_at_most_1000(
    operations: Operations, max_keys: str, count: int
) -> None:
    page = list_page(operations, max_keys=max_keys)
    assert keys_of(page) == KEYS[:count]
    assert page.elements["MaxKeys"] == page.elements["KeyCount"] == str(count)
    assert page.elements["IsTruncated"] == "true"
    assert page.next_token


def test_without_max_keys_a_page_has_1000(operations: Operations) -> None:
    pages = list_pages(operations)
    assert [len(page.objects) for page in pages] == [1000, len(KEYS) - 1000]
    assert [key for page in pages for key in keys_of(page)] == KEYS
    assert pages[-1].elements["IsTruncated"] == "false"


def test_max_keys_0_is_an_empty_page_and_no_more(operations: Operations) -> None:
    page = list_page(operations, max_keys="0")
    assert page.items == []
    assert page.next_token is None
    assert page.elements["IsTruncated"] == "false"
    assert page.elements["KeyCount"] == page.elements["MaxKeys"] == "0"


def test_a_page_that_ends_with_the_last_key_is_not_truncated(operations: Operations) -> None:
    page = list_page(operations, prefix="d/", max_keys="3")
    assert keys_of(page) == ["d/x", "d/y", "d/z"]
    assert page.next_token is None


@pytest.mark.parametrize(
    "value", ["junk", "1.5", " 1", "1 ", "0x10", "2147483648", "9" * 5000, "\u0661"]
)
def test_max_keys_must_be_an_integer(operations: Operations, value: str) -> None:
    error = refused(operations, max_keys=value)
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message == "Provided max-keys not an integer or within integer range"
    assert error.extra == {"ArgumentName": "max-keys", "ArgumentValue": value}


def test_max_keys_must_not_be_negative(operations: Operations) -> None:
    error = refused(operations, max_keys="-1")
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message == "Argument maxKeys must be an integer between 0 and 2147483647"


# ---- Encoding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["junk", "", "URL"])
def test_the_only_encoding_is_url(operations: Operations, value: str) -> None:
    error = refused(operations, encoding_type=value)
    assert (error.code, error.status) == ("InvalidArgument", 400)
    assert error.message == "Invalid Encoding Method specified in Request"
    assert error.extra == {"ArgumentName": "encoding-type", "ArgumentValue": value}


def test_max_keys_is_checked_before_the_encoding(operations: Operations) -> None:
    assert refused(operations, max_keys="x", encoding_type="x").extra["ArgumentName"] == "max-keys"


def test_without_encoding_keys_are_as_they_are(operations: Operations) -> None:
    request = S3Request(query={"prefix": "a"})
    document = content(ask(operations, "ListObjectsV2", request))
    root = ET.fromstring(document)  # noqa: S314 -- made by the code under test
    assert [key.text for key in root.iter(XMLNS + "Key")] == ["a b", "a+b"]
    assert root.find(XMLNS + "EncodingType") is None


def test_a_listing_is_xml_with_its_length(operations: Operations) -> None:
    response = ask(operations, "ListObjectsV2", S3Request())
    document = content(response)
    assert response.status == 200
    assert response.headers == {
        "Content-Type": "application/xml",
        "Content-Length": str(len(document)),
    }
    assert parse_page(document).elements["Name"] == "archive"


# ---- Prefix, delimiter, owner --------------------------------------------------------------------


def test_common_prefixes_and_keys_are_counted_together(operations: Operations) -> None:
    page = list_page(operations, delimiter="/", max_keys="3")
    assert (page.prefixes, keys_of(page)) == ((b"d/",), ["a b", "a+b"])
    assert page.elements["KeyCount"] == "3"
    page = list_page(operations, delimiter="/", continuation_token=page.next_token or "")
    assert page.items == [b"n/"]
    assert page.next_token is None


def test_a_prefix_need_not_end_at_a_slash(operations: Operations) -> None:
    assert list_page(operations, prefix="n/10", delimiter="/").items == [
        b"n/%04d" % number for number in range(1000, 1100)
    ]
    page = list_page(operations, prefix="n/10", delimiter="9")
    assert page.prefixes == (*(b"n/10%d9" % tens for tens in range(9)), b"n/109")
    assert len(page.objects) == 81


def test_a_prefix_that_nothing_has_lists_nothing(operations: Operations) -> None:
    for prefix in ("none/", "d/x/", "/", "n/0000/", "\udcff"):
        assert list_page(operations, prefix=prefix).items == []


def test_an_empty_delimiter_is_none(operations: Operations) -> None:
    page = list_page(operations, prefix="d/", delimiter="")
    assert keys_of(page) == ["d/x", "d/y", "d/z"]
    assert "Delimiter" not in page.elements


@pytest.mark.parametrize(("value", "told"), [("true", True), ("false", False), ("", False)])
def test_the_owner_is_told_when_asked_for(
    operations: Operations, value: str, *, told: bool
) -> None:
    query = {"fetch-owner": value, "prefix": "d/x"}
    document = content(ask(operations, "ListObjectsV2", S3Request(query=query)))
    assert (b"<Owner><ID>" in document) is told


# ---- Where to start ------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["d/x", "d/x\0", "d/xx"])
def test_a_listing_starts_after_a_key_that_need_not_exist(
    operations: Operations, start: str
) -> None:
    page = list_page(operations, start_after=start, max_keys="2")
    assert keys_of(page) == ["d/y", "d/z"]


def test_a_token_wins_over_start_after_and_hides_it(operations: Operations) -> None:
    token = list_page(operations, max_keys="3").next_token or ""
    page = list_page(operations, continuation_token=token, start_after="n/", max_keys="2")
    assert keys_of(page) == ["d/y", "d/z"]
    assert page.elements["ContinuationToken"] == token
    assert "StartAfter" not in page.elements


def test_a_token_goes_on_with_another_page_size(operations: Operations) -> None:
    token = list_page(operations, max_keys="5").next_token or ""
    assert keys_of(list_page(operations, continuation_token=token)) == KEYS[5:1005]


def test_a_token_holds_in_another_instance_and_for_a_replaced_archive(
    image: Path, tmp_path: Path
) -> None:
    token = list_page(operations_on({"": image}), max_keys="3").next_token or ""
    # Another image, without the key that the page ended with.
    tree = (directory("d"), file("d/a"), file("d/xy"), file("z"))
    replaced = operations_on({"": make_image(tmp_path, tree)})
    assert keys_of(list_page(replaced, continuation_token=token)) == ["d/xy", "z"]


def test_a_token_may_be_sent_in_any_url(operations: Operations) -> None:
    tokens = [
        list_page(operations, max_keys="1", start_after=key).next_token or "" for key in KEYS[:300]
    ]
    assert len(set(tokens)) == 300
    assert not set("".join(tokens)) & set("+/ &%?#<>")


@pytest.mark.parametrize("key", ["\x01", "\udcff", "日本", "a" * 1024])
def test_tokens_hold_any_key(tmp_path: Path, key: str) -> None:
    names = [key[at : at + 200] for at in range(0, len(key), 200)]
    parents = ["/".join(names[:depth]) for depth in range(1, len(names))]
    path = "/".join(names)
    tree = (*map(directory, parents), file(path), file("\udcff\udcff"))
    operations = operations_on({"": make_image(tmp_path, tree)})
    assert list_keys(operations, max_keys="1") == [path, "\udcff\udcff"]


def flipped(token: str) -> str:
    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[-1] ^= 1
    return base64.urlsafe_b64encode(raw).decode()


def test_a_token_that_was_not_given_out_is_refused(operations: Operations) -> None:
    good = list_page(operations, max_keys="1").next_token or ""
    for token in (
        "",
        "junk",
        "AAAA",
        "AAAAAA==",
        good[:-2],
        flipped(good),
        good + " ",
        "\udcff",
        "é",
    ):
        error = refused(operations, continuation_token=token)
        assert (error.code, error.status) == ("InvalidArgument", 400)
        assert error.message == "The continuation token provided is incorrect"
        assert error.extra == {"ArgumentName": "continuation-token", "ArgumentValue": token}


# ---- Version 1 -----------------------------------------------------------------------------------


def test_version_1_goes_on_behind_its_marker_and_counts_as_version_2_does(
    operations: Operations,
) -> None:
    query = {"encoding-type": "url", "delimiter": "/", "max-keys": "2"}
    page = parse_page(content(ask(operations, "ListObjects", S3Request(query=query))))
    assert page.items == [b"a b", b"a+b"]
    assert page.elements["NextMarker"] == "a%2Bb"
    further = S3Request(query=query | {"marker": "a+b"})
    page = parse_page(content(ask(operations, "ListObjects", further)))
    assert page.items == [b"d/", b"n/"]
    assert page.elements["IsTruncated"] == "false"


# ---- No archives ---------------------------------------------------------------------------------


def test_without_mappings_there_is_nothing() -> None:
    operations = operations_on({})
    assert list_keys(operations) == []
    with pytest.raises(S3Error, match="NoSuchKey"):
        ask(operations, "GetObject", S3Request(key="x"))
