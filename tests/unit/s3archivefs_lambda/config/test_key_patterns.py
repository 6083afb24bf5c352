from __future__ import annotations

import pytest

from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.key_patterns import KeyPatterns

SQFS = KeyPatterns(("*.sqfs",))


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("*.sqfs", "a.sqfs", True),
        ("*.sqfs", "data/2024/a.sqfs", True),
        ("*.sqfs", ".sqfs", True),
        ("*.sqfs", "a.sqfs.bak", False),
        ("*.sqfs", "a.SQFS", False),
        ("*.sqfs", "a.sqfs/", False),
        ("*.sqfs", "a\n.sqfs", True),
        ("data/*.sqfs", "data/x/a.sqfs", True),
        ("data/*.sqfs", "other/a.sqfs", False),
        ("a?.sqfs", "a\u00fc.sqfs", True),  # a character, not a byte
        ("[!a]*", "b", True),
        ("[!a]*", "a", False),
        ("*", "a/", False),
    ],
)
def test_a_pattern_is_matched_against_a_whole_key(pattern: str, key: str, *, matches: bool) -> None:
    assert KeyPatterns((pattern,)).match(key.encode()) is matches


def test_one_of_several_patterns_is_enough() -> None:
    patterns = KeyPatterns(("*.sqfs", "images/*"))
    assert patterns.match(b"images/a")
    assert patterns.match(b"a.sqfs")
    assert not patterns.match(b"a")


def test_archives_above_a_key_are_named_from_the_outermost() -> None:
    found = SQFS.above(b"a.sqfs/b/c.sqfs/d.sqfs-e/f.sqfs")
    assert list(found) == [b"a.sqfs", b"a.sqfs/b/c.sqfs"]
    assert list(SQFS.above(b"a/b/c")) == []


def test_archives_beside_a_key_lie_below_it_and_their_members_above() -> None:
    key = b"a.sqfs-b.sqfs.c"
    found = list(SQFS.beside(key))
    assert found == [b"a.sqfs", b"a.sqfs-b.sqfs"]
    assert all(archive < key < archive + b"/" for archive in found)
    assert list(SQFS.beside(b"a.sqfs0")) == []
    assert list(SQFS.beside(b"a.sqfs")) == []


def test_names_within_one_another_are_no_archives_beyond_eight_levels() -> None:
    # Each may take a request to the store.
    levels = [b"/".join([b"a.sqfs"] * number) for number in range(1, 12)]
    assert list(SQFS.above(levels[-1])) == levels[:8]
    assert [SQFS.match(key) for key in levels] == [True] * 8 + [False] * 3


def test_no_key_is_longer_than_those_of_s3() -> None:
    longest = b"a" * 1019 + b".sqfs"
    assert list(SQFS.above(longest + b"/x")) == [longest]
    assert list(SQFS.above(b"a" + longest + b"/x")) == []


def test_bytes_that_are_not_utf_8_are_characters_too() -> None:
    assert list(SQFS.above(b"\xff.sqfs/\xfe")) == [b"\xff.sqfs"]


@pytest.mark.parametrize("pattern", ["", "archives/"])
def test_a_pattern_that_no_object_can_match_is_a_fault(pattern: str) -> None:
    with pytest.raises(SettingError, match=r"\*\.sqfs"):
        KeyPatterns((pattern,))
