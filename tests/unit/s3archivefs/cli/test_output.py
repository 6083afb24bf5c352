from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs.cli.output import human_size, in_columns, named, write_json


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


@pytest.mark.property
@given(st.lists(st.text("ab", min_size=1, max_size=9), max_size=30), st.integers(1, 40))
def test_columns_hold_every_name_once_and_fit_where_they_can(names: list[str], width: int) -> None:
    lines = in_columns(names, width)
    assert sorted(" ".join(lines).split()) == sorted(names)
    assert all(len(line) <= max(width, *map(len, names)) for line in lines)


def test_columns_run_down_first_and_count_wide_characters_twice() -> None:
    assert in_columns(["a", "b", "c", "d"], 4) == ["a  c", "b  d"]
    assert in_columns(["漢字", "b", "c", "d"], 7) == ["漢字  c", "b     d"]
