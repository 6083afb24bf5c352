from __future__ import annotations

import base64
import io
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli.output import (
    human_size,
    in_columns,
    named,
    shown,
    write_json,
    write_lines,
    write_names,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1025, "1.1K"),
        (10 * 1024, "10K"),
        (1023 * 1024 + 1, "1.0M"),
        (38 << 20, "38M"),
        (1 << 60, "1.0E"),
        (2**64 - 1, "16E"),
    ],
)
def test_sizes_are_rounded_up_to_a_unit(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.property
@given(st.integers(0, 2**64 - 1))
def test_sizes_have_at_most_five_characters(size: int) -> None:
    assert len(human_size(size)) <= 5


@pytest.mark.property
@given(st.binary())
def test_a_name_is_told_whole_in_json(name: bytes) -> None:
    found = named("path", name)
    stored = found.get("path_b64")
    assert (base64.b64decode(stored) if stored else found["path"].encode()) == name


def test_json_is_an_object_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"path": "a\nü", "size": 1})
    line = capsys.readouterr().out
    assert line == '{"path":"a\\nü","size":1}\n'
    assert json.loads(line) == {"path": "a\nü", "size": 1}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf8", "UTF-8"])
def test_json_is_utf8_whatever_the_encoding(encoding: str) -> None:
    written = io.BytesIO()
    item = {"path": "/a/ü/漢/\U0001f600\ufffd"}
    with redirect_stdout(io.TextIOWrapper(written, encoding)) as stream:
        write_json(item)
        stream.flush()
        line = written.getvalue()
    assert json.loads(line.decode()) == item
    assert line.isascii() == (encoding.lower() not in {"utf8", "utf-8"})


@pytest.mark.property
@given(st.lists(st.text("ab", min_size=1, max_size=9), max_size=30), st.integers(1, 40))
def test_columns_hold_every_name_once_and_fit_where_they_can(names: list[str], width: int) -> None:
    lines = in_columns(names, width)
    assert sorted(" ".join(lines).split()) == sorted(names)
    assert all(len(line) <= max(width, *map(len, names)) for line in lines)


def test_columns_run_down_first_and_count_wide_characters_twice() -> None:
    assert in_columns(["a", "b", "c", "d"], 4) == ["a  c", "b  d"]
    assert in_columns(["漢字", "b", "c", "d"], 7) == ["漢字  c", "b     d"]


@pytest.mark.parametrize(
    "letter", ["e\u0301", "\u0e01\u0e34", "\u0915\u0947", "a\u20dd", "x\ufe0e"]
)
def test_columns_give_no_place_to_what_stands_on_a_letter(letter: str) -> None:
    assert in_columns([letter, "b", "c", "d"], 4) == [f"{letter}  c", "b  d"]


def test_columns_take_the_parts_of_a_korean_syllable_for_one() -> None:
    whole, parts = "한", unicodedata.normalize("NFD", "한")
    assert len(parts) == 3
    assert in_columns([parts, "b", "c", "d"], 5) == [f"{parts}  c", "b   d"]
    assert in_columns([whole, "b", "c", "d"], 5) == [f"{whole}  c", "b   d"]


def test_columns_leave_the_blanks_at_the_end_of_names() -> None:
    assert in_columns(["a ", "b", "c  ", "d"], 7) == ["a   c  ", "b   d"]
    assert in_columns(["a ", "b "], 1) == ["a ", "b "]


class Terminal(io.StringIO):
    """A stream that remembers what was written at once."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal
        self.pieces: list[str] = []

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


@pytest.mark.parametrize("write", [write_names, write_lines])
@pytest.mark.parametrize(("is_terminal", "most"), [(True, 1), (False, 256)])
def test_lines_go_to_a_terminal_one_by_one_and_elsewhere_together(
    *,
    write: Callable[[Iterable[str]], None],
    is_terminal: bool,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Terminal(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    names = [f"name {number}" for number in range(300)]
    ends = "\n" if write is write_lines else ""
    write(name + ends for name in names)
    assert stream.getvalue().splitlines() == names
    assert max(piece.count("\n") for piece in stream.pieces) == most
    write([])
    assert stream.getvalue().splitlines() == names


@pytest.mark.property
@given(st.lists(st.text(st.sampled_from("a-\\\n\udcffü/"), max_size=4), max_size=5))
def test_names_together_are_written_as_each_alone(names: list[str]) -> None:
    stream = io.StringIO()
    with redirect_stdout(stream):
        write_names(names)
        assert stream.getvalue() == "".join(shown(name) + "\n" for name in names)


@pytest.mark.parametrize("write", [write_names, write_lines])
def test_lines_before_a_fault_are_written(
    write: Callable[[Iterable[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    end = "\n" if write is write_lines else ""

    def lines() -> Iterator[str]:
        yield from (f"{number}{end}" for number in range(300))
        raise OSError("damaged")

    with pytest.raises(OSError, match="damaged"):
        write(lines())
    assert capsys.readouterr().out.split() == [str(number) for number in range(300)]
