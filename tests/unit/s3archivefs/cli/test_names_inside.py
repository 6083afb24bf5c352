"""What a word of a command line may become: names inside the image that the line names."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli import main
from s3archivefs.cli.names_inside import NAMES_MAX, choices_inside, names_inside, unquoted
from tests.support.images.built import build, directory, file, symlink

if TYPE_CHECKING:
    from pathlib import Path

TREE = directory({
    b"docs": directory({b"a b": file(b"b"), b"a.md": file(b"a"), b"deep": directory({})}),
    b"dozen": file(b"12"),
    b"link": symlink(b"docs"),
    b"n\nl": file(b""),
    b"\xff": file(b""),
})  # fmt: skip


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "a.sqfs"
    path.write_bytes(build(TREE).data)
    return str(path)


def test_a_word_becomes_names_that_begin_so_and_directories_end_with_a_slash(image: str) -> None:
    expected = {
        "": [b"docs/", b"dozen", b"link", b"\xff"],
        "do": [b"docs/", b"dozen"],
        "/doc": [b"/docs/"],
        "docs/": [b"docs/a b", b"docs/a.md", b"docs/deep/"],
        "docs/a.": [b"docs/a.md"],
        "link/d": [b"link/deep/"],
        "docs/deep/": [],
        "missing": [],
        "\udcff": [b"\xff"],
    }
    found = {word: [*names_inside(["ls", "-l", image, word])] for word in expected}
    assert found == expected


def test_no_name_passes_for_an_option(tmp_path: Path) -> None:
    path = tmp_path / "a.sqfs"
    inside = directory({b"-l": file(b"")})
    path.write_bytes(build(directory({b"-R": file(b""), b"-d": inside, b"e": file(b"")})).data)
    expected = {
        "": [b"./-R", b"./-d/", b"e"],
        "./-": [b"./-R", b"./-d/"],
        "./-d/": [b"./-d/-l"],
        "/-": [b"/-R", b"/-d/"],
    }
    assert {word: [*names_inside(["ls", str(path), word])] for word in expected} == expected
    assert main(["ls", str(path), "./-d/-l", "./-R"]) == 0


def test_what_is_to_be_chosen_is_within_the_only_directory(tmp_path: Path) -> None:
    path = tmp_path / "a.sqfs"
    single = directory({b"c": directory({b"1": file(b""), b"2": file(b"")})})
    path.write_bytes(build(directory({b"a": directory({b"b": single}), b"e": directory()})).data)
    expected = {"a": [b"a/b/c/1", b"a/b/c/2"], "e": [b"e/"], "": [b"a/", b"e/"], "x": []}
    assert {word: choices_inside(["ls", str(path), word]) for word in expected} == expected


@pytest.mark.parametrize("name", [b"x`reboot`", b"x$HOME", b"x$(reboot)"])
def test_bash_gets_no_name_that_it_would_expand_or_run(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.sqfs"
    path.write_bytes(build(directory({name: file(b""), b"xy": file(b"")})).data)
    assert choices_inside(["ls", str(path), "x"]) == [b"xy"]


def test_the_image_is_the_first_word_that_is_a_local_file(image: str, tmp_path: Path) -> None:
    assert [*names_inside(["extract", "-C", str(tmp_path), image, "-n", "doz"])] == [b"dozen"]
    for words in (["ls", ""], ["ls", "s3://bucket/a.sqfs", ""], ["ls", str(tmp_path), ""], [""]):
        assert [*names_inside(words)] == []


@pytest.mark.parametrize("words", [["--offset", "4096"], ["--offset=4096"]])
def test_an_image_may_start_within_its_file(words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "embedded"
    path.write_bytes(bytes(4096) + build(TREE).data)
    assert [*names_inside(["ls", *words, str(path), "doz"])] == [b"dozen"]


def test_no_more_names_are_read_than_anybody_looks_at(tmp_path: Path) -> None:
    path = tmp_path / "many.sqfs"
    members = {b"%05d" % number: file(b"") for number in range(NAMES_MAX + 9)}
    path.write_bytes(build(directory(members)).data)
    assert len([*names_inside(["ls", str(path), ""])]) == NAMES_MAX
    assert [*names_inside(["ls", str(path), "01008"])] == [b"01008"]


@pytest.mark.property
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_quoted_word_means_what_was_quoted(text: str) -> None:
    assert unquoted(shlex.quote(text)) == text


def test_a_quote_may_be_open_yet() -> None:
    assert [*map(unquoted, ("a\\ b", "'a b", '"a b'))] == ["a b"] * 3


def test_the_command_writes_a_line_for_each(
    image: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["completion", "bash", "--", "ls", "--", shlex.quote(image), "docs/'a "]) == 0
    assert capfdbinary.readouterr() == (b"docs/a b\n", b"")
