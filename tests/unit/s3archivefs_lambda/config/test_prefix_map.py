from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import (
    PrefixMap,
    PrefixMapping,
    maps_by_bucket,
    parse_mapping,
)


def mapped(*prefixes: str) -> PrefixMap:
    return PrefixMap.from_mappings(
        PrefixMapping(prefix, Location("s3", "bucket", f"{number}.sqfs"), f"VMAP{number}")
        for number, prefix in enumerate(prefixes, start=1)
    )


def found(prefix_map: PrefixMap, key: str) -> tuple[str, str] | None:
    answer = prefix_map.find(key)
    return answer and (answer[0].prefix, answer[1])


# --- parse_mapping: what is accepted


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("docs|s3://bucket/a", "docs"),
        ("docs/linux|s3://bucket/a", "docs/linux"),
        ("/docs/linux/|s3://bucket/a", "docs/linux"),
        ("//docs//|s3://bucket/a", "docs"),
        ("|s3://bucket/a", ""),
        ("/|s3://bucket/a", ""),
        ("my docs|s3://bucket/a", "my docs"),
        ("...|s3://bucket/a", "..."),
        ("d\udcffcs|s3://bucket/a", "d\udcffcs"),
        ("  docs|s3://bucket/a\r", "docs"),
    ],
)
def test_a_prefix_loses_its_outer_slashes_and_nothing_else(text: str, prefix: str) -> None:
    assert parse_mapping(text, "VMAP1").prefix == prefix


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [
        ("s3://books/docs/|s3://bucket/a", "books", "docs"),
        ("s3://books/docs/linux|s3://bucket/a", "books", "docs/linux"),
        ("s3://books/|s3://bucket/a", "books", ""),
        ("s3://books|s3://bucket/a", "books", ""),
        ("docs|s3://bucket/a", "", "docs"),
    ],
)
def test_a_prefix_may_name_its_bucket(text: str, bucket: str, prefix: str) -> None:
    mapping = parse_mapping(text, "VMAP1")
    assert (mapping.bucket, mapping.prefix) == (bucket, prefix)


# --- parse_mapping: what is refused


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "not of the form"),
        ("docs", "not of the form"),
        ("docs s3://bucket/a", "not of the form"),
        ("a//b|s3://bucket/a", "segment"),
        ("a/./b|s3://bucket/a", "segment"),
        ("../b|s3://bucket/a", "segment"),
        (".|s3://bucket/a", "segment"),
        ("docs |s3://bucket/a", "white space"),
        ("/ docs|s3://bucket/a", "white space"),
        ("do\0cs|s3://bucket/a", "NUL"),
        ("docs|", "does not go to"),
        ("docs| s3://bucket/a", "does not go to"),
        ("docs|s3://bucket", "no object"),
        ("s3://|s3://bucket/a", "lower-case letters"),
        ("s3://Books/docs|s3://bucket/a", "is in a bucket named 'Books'"),
        ("s3://books/a//b|s3://bucket/a", "segment"),
        ("s3:/books/docs|s3://books", "no object"),
    ],
)
def test_a_malformed_mapping_is_refused_by_the_name_of_its_origin(text: str, part: str) -> None:
    with pytest.raises(SettingError) as error:
        parse_mapping(text, "mappings.txt:7")
    message = str(error.value)
    assert message.startswith("mappings.txt:7: ")
    assert part in message
    assert "\n" not in message


def test_a_pre_signed_url_is_refused_without_its_signature() -> None:
    url = "https://bucket.s3.amazonaws.com/a?X-Amz-Credential=AKIA&X-Amz-Signature=5ec7e7"
    with pytest.raises(SettingError) as error:
        parse_mapping(f"docs|{url}", "VMAP1")
    assert "s3.amazonaws.com/a?..." in str(error.value)
    assert "5ec7e7" not in str(error.value)


def test_a_huge_faulty_value_makes_no_huge_message() -> None:
    with pytest.raises(SettingError) as error:
        parse_mapping("x" * 100_000, "VMAP1")
    assert len(str(error.value)) < 1000


# --- maps_by_bucket


def test_each_bucket_has_its_mappings() -> None:
    texts = (
        "docs|s3://bucket/1",
        "s3://maps/docs|s3://bucket/2",
        "s3://maps|s3://bucket/3",
        "s3://own/a|s3://bucket/4",
    )
    maps = maps_by_bucket([parse_mapping(text, "VMAP") for text in texts], "own")
    assert {name: [each.prefix for each in found] for name, found in maps.items()} == {
        "own": ["a", "docs"],
        "maps": ["", "docs"],
    }


def test_a_prefix_is_mapped_once_in_each_bucket() -> None:
    texts = (
        "docs|s3://bucket/1",
        "s3://own/docs|s3://bucket/2",
        "s3://far/x|s3://bucket/3",
        "s3://far/x|s3://bucket/4",
    )
    with pytest.raises(SettingError) as error:
        maps_by_bucket([parse_mapping(text, f"VMAP{n}") for n, text in enumerate(texts)], "own")
    first, second = str(error.value).splitlines()
    assert first.startswith("VMAP1: the virtual prefix 'docs' is already mapped by VMAP0")
    assert second.startswith("VMAP3: the virtual prefix 'x' is already mapped by VMAP2")


# --- PrefixMap


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("docs/README", ("docs", "README")),
        ("docs/linux/README", ("docs/linux", "README")),
        ("docs/linux2/README", ("docs", "linux2/README")),
        ("docs/", ("docs", "")),
        ("docs/linux/", ("docs/linux", "")),
        ("docs//README", ("docs", "/README")),
        ("docs2/README", None),
        ("docs", None),
        ("doc", None),
        ("/docs/README", None),
        ("", None),
    ],
)
def test_the_longest_prefix_at_a_slash_wins(key: str, answer: tuple[str, str] | None) -> None:
    assert found(mapped("docs", "docs/linux"), key) == answer


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("docs/README", ("docs", "README")),
        ("docs", ("", "docs")),  # a file of that name in the archive at the root
        ("other/README", ("", "other/README")),
        ("/README", ("", "/README")),
        ("", ("", "")),
    ],
)
def test_the_archive_at_the_root_owns_every_other_key(key: str, answer: tuple[str, str]) -> None:
    assert found(mapped("", "docs"), key) == answer


def test_an_empty_map_owns_no_key() -> None:
    assert len(PrefixMap()) == 0
    assert PrefixMap().find("docs/README") is None


def test_mappings_are_in_byte_order_of_their_prefixes() -> None:
    # UTF-8 puts U+E000 before U+10000, and a byte 0xFF that is not UTF-8 after both; UTF-16 does
    # not agree with the former, nor code points (U+DCFF stands for the byte) with the latter.
    ordered = ["", "a", "a-b", "a/b", "\ue000", "\U00010000", "\udcff"]
    assert [mapping.prefix for mapping in mapped(*reversed(ordered))] == ordered


def test_every_duplicate_prefix_is_refused_with_both_origins() -> None:
    mappings = [
        parse_mapping("docs|s3://bucket/a", "VMAP1"),
        parse_mapping("/docs/|s3://bucket/b", "VMAP2"),
        parse_mapping("|s3://bucket/c", "VMAP3"),
        parse_mapping("/|s3://bucket/c", "more.txt:4"),
    ]
    with pytest.raises(SettingError) as error:
        PrefixMap.from_mappings(mappings)
    first, second = str(error.value).splitlines()
    assert first.startswith("VMAP2: ")
    assert "VMAP1 to s3://bucket/a" in first
    assert second.startswith("more.txt:4: ")
    assert "VMAP3 to s3://bucket/c" in second


def test_maps_of_the_same_mappings_are_equal() -> None:
    assert mapped("a", "b") == mapped("a", "b")
    assert mapped("a", "b") != mapped("a", "c")
    assert mapped("a") != ["a"]
    assert "prefix='a'" in repr(mapped("a"))


# Few letters, so that prefixes meet keys and each other; multi-byte ones, so that lengths differ.
segments = st.text("ab€\udc80", min_size=1, max_size=3)
prefixes = st.lists(segments, max_size=4).map("/".join)
keys = st.lists(st.text("ab€\udc80", max_size=3), max_size=6).map("/".join)


@pytest.mark.property
@given(st.sets(prefixes, max_size=8), keys)
def test_find_agrees_with_trying_every_mapping(chosen: set[str], key: str) -> None:
    owners = [prefix for prefix in chosen if not prefix or key.startswith(prefix + "/")]
    prefix_map = mapped(*chosen)
    answer = prefix_map.find(key)
    if not owners:
        assert answer is None
    else:
        longest = max(owners, key=len)
        assert answer is not None
        assert answer[0].prefix == longest
        assert (f"{longest}/" if longest else "") + answer[1] == key


@pytest.mark.property
@given(prefixes, st.integers(0, 2), st.integers(0, 2))
def test_outer_slashes_never_matter(prefix: str, before: int, after: int) -> None:
    text = f"{'/' * before}{prefix}{'/' * after}|s3://bucket/a"
    assert parse_mapping(text, "VMAP1").prefix == prefix
