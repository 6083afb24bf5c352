"""Patterns that select members: what they include, and what they exclude."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from s3archivefs.extraction.selection import Selection


def taken(selection: Selection, path: str) -> bool:
    """Whether a path is taken: a file, or a directory if it ends in a slash."""
    state = selection.start
    *above, name = path.rstrip("/").split("/")
    for each in above:
        _, deeper = selection.step(state, each, is_directory=True)
        if deeper is None:
            return False
        state = deeper
    return selection.step(state, name, is_directory=path.endswith("/"))[0]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*.txt", ["a.txt", "a/b/c.txt", ".txt", "a.txt/below"], ["a.py", "txt"]),
        ("docs", ["docs", "a/docs", "docs/x/y"], ["docs2", "a/mydocs"]),
        ("docs/", ["docs/", "docs/x", "a/docs/x"], ["docs"]),
        ("/docs", ["docs", "docs/x"], ["a/docs"]),
        ("docs/*.md", ["docs/a.md"], ["a/docs/a.md", "docs/x/a.md", "docs/"]),
        ("docs/**/*.md", ["docs/a.md", "docs/x/y/a.md"], ["a.md", "docs/x/"]),
        ("**/a/*", ["a/b", "x/y/a/b"], ["a/", "x/a/"]),
        ("docs/**", ["docs/a", "docs/x/y"], ["docs/", "a"]),
        ("[ab]?", ["a1", "x/b2"], ["c1", "a"]),
        ("ü*", ["ü", "x/üx"], ["u"]),
    ],
)
def test_patterns_match_as_globs_do(pattern: str, matching: list[str], others: list[str]) -> None:
    including, excluding = Selection([pattern], []), Selection([], [pattern])
    for path in matching:
        assert taken(including, path)
        assert not taken(excluding, path)
    for path in others:
        assert not taken(including, path)
        assert taken(excluding, path)


def test_excluded_is_excluded_whatever_includes_it() -> None:
    both = Selection(["docs", "*.md"], ["*.tmp", "docs/old"])
    assert taken(both, "docs/a")
    assert taken(both, "a/b.md")
    assert not taken(both, "docs/a.tmp")
    assert not taken(both, "docs/old/b.md")


def test_nothing_is_looked_for_where_nothing_can_match() -> None:
    selection = Selection(["docs/*.md"], [])
    assert selection.step(selection.start, "src", is_directory=True) == (False, None)
    assert selection.step(selection.start, "docs", is_directory=True)[1] is not None


def test_without_patterns_all_is_taken() -> None:
    assert Selection([], []).is_all
    assert taken(Selection([], []), "a/b")
    assert not Selection([], ["x"]).is_all


@pytest.mark.parametrize("pattern", ["", "/", "."])
def test_a_pattern_of_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"include has .* which matches no name"):
        Selection([pattern], [])


def test_a_pattern_that_pathlib_refuses_is_named() -> None:
    try:
        [*Path().glob("a**")]
    except ValueError as refusal:
        with pytest.raises(ValueError, match=rf"exclude has 'a\*\*': {re.escape(str(refusal))}"):
            Selection([], ["a**"])
    else:
        assert not Selection([], ["a**"]).is_all


@pytest.mark.parametrize("pattern", [None, b"x", 1])
def test_a_pattern_that_is_no_text_is_refused(pattern: object) -> None:
    with pytest.raises(TypeError, match=r"exclude has .*: give patterns as text"):
        Selection([], [pattern])  # type: ignore[list-item]  # on purpose
