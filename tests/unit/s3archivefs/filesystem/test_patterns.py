"""Patterns match what fsspec's match."""

from __future__ import annotations

import re
from functools import partial

import pytest
from fsspec.utils import glob_translate
from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs.filesystem.patterns import matcher
from tests.support.laws.counted_calls import calls_of

PARTS = ["**", "*", "?", "a", "b*", "*b", "[ab]", "[!a]", "a?*", "[]", "é"]
NAMES = ["a", "b", "ab", "ba", "é", "\n", "x"]


@pytest.mark.property
@given(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("/".join),
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=5).map("/".join),
)
@example("a/**", "", "a/")
@example("**/a/**/b", "", "a/a/x/b/x/b")
def test_a_pattern_matches_what_fsspec_matches(pattern: str, end: str, path: str) -> None:
    expected = re.compile(glob_translate(pattern + end))
    matches = matcher(pattern + end)
    for name in (path, path + "/"):
        assert matches(name) == (expected.match(name) is not None), name


def test_stars_stand_by_themselves() -> None:
    with pytest.raises(ValueError, match=r"stand by itself between slashes: 'a/\*\*b'"):
        matcher("a/**b")


def test_a_long_name_takes_no_longer_way() -> None:
    pattern = matcher("**/*a*a*a*a*a*b/**/*a*a*a*b")
    short, long = (calls_of(partial(pattern, "/".join(["a" * 250] * names))) for names in (20, 40))
    assert long < 3 * short
