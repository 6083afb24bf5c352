from __future__ import annotations

import re
import string
from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli.globs import expression


def matches(glob: str, text: str) -> bool:
    return re.match(expression(glob), text) is not None


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        (r"\[x]", ["[x]"], ["x", r"\[x]"]),
        (r"\*.md", ["*.md"], ["a.md"]),
        (r"a\?", ["a?"], ["ab"]),
        (r"a\b\\c", [r"ab\c"], [r"a\b\c"]),
        ("a\\", ["a\\"], ["a"]),
        ("[^d]*", ["ab", "^"], ["d", "da", ""]),
        ("[!d]*", ["ab"], ["d"]),
        ("[d^!]", ["d", "^", "!"], ["a"]),
        ("[]x]", ["]", "x"], ["[]x]"]),
        ("[^]x]", ["a"], ["]", "x"]),
        (r"[a\]]", ["a", "]"], ["\\"]),
        (r"[\a-\c]", ["b"], ["-", "\\"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[-a]", ["a", "-"], ["b"]),
        ("[z-a]", [], ["a", "m", "z", "-"]),
        ("[^z-a]", ["a", "-"], [""]),
        ("[a", ["[a"], ["a"]),
        ("[[:upper:]]*", ["A", "Za"], ["a", "1", "[", ":]"]),
        ("[![:alpha:]_]", ["1", "-"], ["a", "Z", "_"]),
        ("[x[:digit:]-]", ["x", "0", "9", "-"], ["a", ":", "["]),
        ("[0-[:space:]a-c]", ["0", "-", " ", "b"], ["1", "]", "s"]),
        ("[[:digit:][:blank:]]", ["7", "\t", " "], ["\n", "a"]),
        ("[]\\][:punct:]]", ["]", "-", "\\", "{"], ["a", "1"]),
        ("[:upper:]", ["u", ":"], ["A", "[u]"]),
        ("[[:none:]]", [":]", "n]"], [":", "n"]),
        (r"[a\]*[b", [r"[a]x[b"], ["ab"]),
        ("a*b*c", ["abc", "axbyc", "abbcc"], ["acb", "abcd"]),
        ("*", ["", "a/b\n"], []),
        ("a.b", ["a.b"], ["axb", "a.b\n"]),
    ],
)
def test_a_glob_matches_what_find_matches(glob: str, matched: list[str], others: list[str]) -> None:
    assert [text for text in (*matched, *others) if matches(glob, text)] == matched


@pytest.mark.parametrize(
    ("name", "is_member"),
    [
        ("alnum", str.isalnum),
        ("alpha", str.isalpha),
        ("blank", " \t".__contains__),
        ("cntrl", lambda each: not each.isprintable()),
        ("digit", str.isdigit),
        ("graph", lambda each: each.isprintable() and not each.isspace()),
        ("lower", str.islower),
        ("print", str.isprintable),
        ("punct", string.punctuation.__contains__),
        ("space", string.whitespace.__contains__),
        ("upper", str.isupper),
        ("xdigit", string.hexdigits.__contains__),
    ],
)
def test_classes_are_those_of_ascii(name: str, is_member: Callable[[str], bool]) -> None:
    for code in range(128):
        assert matches(f"[[:{name}:]]", chr(code)) == is_member(chr(code)), code
    assert not matches(f"[[:{name}:]]", "é")
    assert matches(f"[^[:{name}:]]", "é")


SAME = st.lists(st.sampled_from([*"ab.]-*?!/\n\udcff", "[a-b]", "[!a]", "[]b]", "**"])).map("".join)


@pytest.mark.property
@given(SAME, st.text("ab.]-!/\n\udcff", max_size=6))
def test_without_hats_and_backslashes_it_is_a_glob_of_python(glob: str, text: str) -> None:
    assert matches(glob, text) == fnmatchcase(text, glob)


@pytest.mark.property
@given(st.text("a*?[]^!-\\b"), st.text("ab[]-\\"))
def test_every_glob_is_one_and_escaped_text_matches_itself(glob: str, text: str) -> None:
    matches(glob, text)
    assert matches("".join(f"\\{each}" for each in text), text)
