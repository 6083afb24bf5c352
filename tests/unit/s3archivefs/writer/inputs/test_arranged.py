"""Members are left out, moved and put first, and are the same otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.inputs.arranged import Exclusion, below, chosen, in_order, order_of

MEMBERS: list[Member] = [
    Entry(b"", FileKind.DIRECTORY),
    Entry(b"a.tmp"),
    Entry(b"d", FileKind.DIRECTORY),
    Entry(b"d/a.tmp"),
    Entry(b"d/b"),
    HardLink(b"d/c", b"d/b"),
    Entry(b"e/d/x"),
]


def left_by(*patterns: str) -> list[bytes]:
    return [each.path for each in chosen(MEMBERS, Exclusion(patterns))]


def test_patterns_leave_out_what_they_leave_out_of_extraction() -> None:
    assert left_by() == [each.path for each in MEMBERS]
    assert left_by("*.tmp") == [b"", b"d", b"d/b", b"d/c", b"e/d/x"]
    assert left_by("d") == [b"", b"a.tmp"]
    assert left_by("/d") == [b"", b"a.tmp", b"e/d/x"]
    assert left_by("d/b", "e/**") == [b"", b"a.tmp", b"d", b"d/a.tmp", b"d/c"]


def test_members_move_below_a_directory() -> None:
    assert [each.path for each in below(MEMBERS, b"top")][:4] == [
        b"top",
        b"top/a.tmp",
        b"top/d",
        b"top/d/a.tmp",
    ]
    assert HardLink(b"top/d/c", b"top/d/b") in [*below(MEMBERS, b"top")]


def test_files_come_first_in_an_order() -> None:
    found = [each.path for each in in_order(MEMBERS, [b"e/d/x", b"d/b", b"e/d/x"])]
    assert found[:2] == [b"e/d/x", b"d/b"]
    assert sorted(found) == sorted(each.path for each in MEMBERS)
    for wrong in (b"nothing", b"d", b"d/c"):
        with pytest.raises(PackingError, match="is to come first, and is no file"):
            [*in_order(MEMBERS, [wrong])]


def test_an_order_is_a_path_a_line_as_commands_print_it(tmp_path: Path) -> None:
    path = tmp_path / "order"
    path.write_bytes(b"/a/b\n\nback\\\\slash\nn\\x0aewline\nraw \xff\n")
    assert order_of(str(path)) == [b"a/b", b"back\\slash", b"n\newline", b"raw \xff"]
