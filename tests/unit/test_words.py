"""The words of packages and pages: short first sentences, and none that must be decoded."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.laws.import_graph import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for pattern in (
        "s3archivefs/**/*.py",
        "s3archivefs_lambda/**/*.py",
        "benchmarks/**/*.py",
        "deploy/**/*.py",
        ".ci/**/*.py",
        "noxfile.py",
    )
    for path in ROOT.glob(pattern)
)
PACKAGES = [path for path in MODULES if path.relative_to(ROOT).parts[0].startswith("s3archivefs")]
PAGES = sorted(path for top in (ROOT, ROOT / "docs", ROOT / "deploy") for path in top.glob("*.md"))

MOST_WORDS = 15  # of a docstring's first sentence

# Each says in a way of its own what the field has a word for: evict, readahead, the caller.
UNWANTED = (
    "forsaken",
    "company",
    "let go",
    "lets go",
    "letting go",
    "who asks",
    "heed",
    "heeds",
    "heeded",
    "carried",
    "charged to",
    "has to",
    "of those that",
    "it is given",
)
# Between the words of one: a space, a line's end within a comment, or what joins names.
_GAP = r"[\s_#]*"
_UNWANTED = re.compile(
    f"(?<![A-Za-z])(?:{'|'.join(_GAP.join(map(re.escape, each.split())) for each in UNWANTED)})"
    "(?![A-Za-z])",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?:`[^`]*`|[^`])*?(?:[.?!](?=\s|$)|$)", re.DOTALL)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring of a module: also those that follow an assignment."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield node.lineno, text


def first_sentence(text: str) -> str:
    found = _SENTENCE.match(text)
    return found[0] if found else text


def unwanted(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1} {found[0]!r}"
        for found in _UNWANTED.finditer(text)
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Return `a. b` and c. More.", "Return `a. b` and c."),
        ("Read s3archivefs.open, 0.5 of it.\nMore.", "Read s3archivefs.open, 0.5 of it."),
        ("What it is\n\nMore.", "What it is\n\nMore."),
    ],
)
def test_a_sentence_ends_at_a_full_stop_outside_code(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


@pytest.mark.parametrize("text", ["x.let_go()", "LetGo", "# let\n    # go", "Has to."])
def test_unwanted_words_are_found_in_names_and_across_lines(text: str) -> None:
    assert _UNWANTED.search(text)


@pytest.mark.parametrize("text", ["accompany", "heedless", "outlet gone", "was to"])
def test_other_words_are_not(text: str) -> None:
    assert not _UNWANTED.search(text)


def test_the_first_sentence_of_each_docstring_is_short() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{line} {first_sentence(text)}"
        for path in MODULES
        for line, text in docstrings(path)
        if len(first_sentence(text).split()) > MOST_WORDS
    ]
    assert long == []


def test_no_word_needs_decoding() -> None:
    assert [found for path in [*PACKAGES, *PAGES] for found in unwanted(path)] == []


def test_the_names_of_tests_name_their_subject() -> None:
    names = (
        (path, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_who(?:ever)?_\w+)", path.read_text(encoding="utf-8"))
    )
    assert list(names) == []
