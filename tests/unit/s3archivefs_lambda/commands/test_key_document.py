"""The document of access keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.key_document import parse_keys
from s3archivefs_lambda.endpoint.access_keys import AccessKey

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = {"id": "AKIDEXAMPLE", "secret": SECRET}


def parse(document: object) -> list[AccessKey]:
    return list(parse_keys(json.dumps(document), "keys.json", "archive"))


def fault(text: str) -> str:
    """What the one line says that the document is refused with."""
    with pytest.raises(UsageError) as caught:
        parse_keys(text, "keys.json", "archive")
    told = str(caught.value)
    assert told.startswith("keys.json: ")
    assert "\n" not in told
    assert SECRET not in told
    return told


def test_a_key_reads_everything_unless_told() -> None:
    assert parse([KEY]) == [AccessKey("AKIDEXAMPLE", SECRET)]


def test_a_key_may_have_prefixes_in_several_buckets() -> None:
    prefixes = ["docs/", "/a/b", "s3://maps/2026", "s3://books", "docs"]
    (key,) = parse([KEY | {"prefixes": prefixes, "disabled": False}])
    assert key.starts == {"archive": ("a/b/", "docs/"), "maps": ("2026/",), "books": ("",)}


def test_without_prefixes_in_its_list_a_key_reads_nothing() -> None:
    (key,) = parse([KEY | {"prefixes": []}])
    assert key.starts == {}


def test_a_key_may_be_disabled() -> None:
    assert [key.is_disabled for key in parse([KEY | {"disabled": True}])] == [True]


def test_keys_may_stand_by_their_ids() -> None:
    keys = parse({"ONE": {"secret": SECRET}, "TWO": {"secret": SECRET, "prefixes": ["a"]}})
    assert keys == [
        AccessKey("ONE", SECRET),
        AccessKey("TWO", SECRET, {"archive": ("a/",)}),
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (KEY, "write an array of keys"),
        ("keys", "write an array of keys"),
        ({"keys": [KEY]}, "write an array of keys"),
        ([], "there is no key in it"),
        ({}, "there is no key in it"),
        ([KEY, SECRET], "key 2: write an object"),
        ([{"secret": SECRET}], 'key 1: "id": write'),
        ([KEY | {"id": 7}], 'key 1: "id": write'),
        ([KEY | {"id": "a,b"}], 'key 1: "id": write'),
        ([KEY | {"id": SECRET, "secret": 7}], 'key 1: "id": write'),
        ([KEY | {"id": "x" * 129}], 'key 1: "id": write'),
        ([{"id": "A"}], 'key 1: "secret": write'),
        ([KEY | {"secret": None}], 'key 1: "secret": write'),
        ([KEY | {"secret": SECRET + "\n"}], 'key 1: "secret": write'),
        ([KEY | {"secret": "short"}], 'key 1: "secret": write'),
        ([KEY | {"prefix": "docs"}], 'key 1: there is no such member "prefix"'),
        ([KEY | {SECRET: "x"}], "key 1: there is no such member; there are id, secret"),
        ([KEY | {"prefixes": "docs"}], 'key 1: "prefixes": write an array'),
        ([KEY | {"prefixes": None}], 'key 1: "prefixes": write an array'),
        ([KEY | {"prefixes": ["a", 1]}], 'key 1: "prefixes", number 2: write text'),
        ([KEY | {"prefixes": ["a", "b//c"]}], 'key 1: "prefixes", number 2 has an empty'),
        ([KEY | {"prefixes": ["s3://Maps/x"]}], 'key 1: "prefixes", number 1 is in a bucket'),
        ([KEY | {"disabled": "false"}], 'key 1: "disabled": write true or false'),
        ([KEY, KEY | {"id": "B"}, KEY], 'keys 1 and 3 have the same "id"'),
        ({"A": KEY}, 'a key has its "id" as its name'),
    ],
)
def test_a_document_that_cannot_be_used_names_the_key_and_the_member(
    document: object, said: str
) -> None:
    assert said in fault(json.dumps(document))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON: line 1, column 1"),
        (f'[{{"id": "A",\n "secret": "{SECRET}}}]', "is not JSON: line 2, column"),
        (f'[{{"id": "A", "secret": "{SECRET}", "secret": "x"}}]', "a name stands twice"),
        (
            f'{{"A": {{"secret": "{SECRET}"}}, "A": {{"secret": "{SECRET}"}}}}',
            "a name stands twice",
        ),
        ("[" * 100_000, "is nested too deeply"),
        ("[" + "9" * 5000 + "]", "a number in it has too many digits"),
    ],
)
def test_a_text_that_is_no_such_document_is_refused_at_its_place(text: str, said: str) -> None:
    assert said in fault(text)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "secret", "prefixes", "disabled", SECRET]) | st.text(), inner
        )
    ),
    max_leaves=10,
)


@pytest.mark.property
@given(JSON)
def test_any_document_yields_keys_or_one_line(document: object) -> None:
    try:
        told = ""
        assert parse(document)
    except UsageError as error:
        told = str(error)
    assert not told or told.startswith("keys.json: ")
    assert "\n" not in told
    assert SECRET not in told
