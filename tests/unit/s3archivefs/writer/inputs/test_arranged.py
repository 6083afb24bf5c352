"""Members are left out, moved and put first, and are the same otherwise."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.inputs.arranged import Chosen, Exclusion, below

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
    return [each.path for each in Chosen(MEMBERS, Exclusion(patterns))]


def test_patterns_leave_out_what_they_leave_out_of_extraction() -> None:
    assert left_by() == [each.path for each in MEMBERS]
    assert left_by("*.tmp") == [b"", b"d", b"d/b", b"d/c", b"e/d/x"]
    assert left_by("d") == [b"", b"a.tmp"]
    assert left_by("/d") == [b"", b"a.tmp", b"e/d/x"]
    assert left_by("d/b", "e/**") == [b"", b"a.tmp", b"d", b"d/a.tmp", b"d/c"]


@st.composite
def streams(draw: st.DrawFn) -> list[Member]:
    """Members of few paths, among them links to entries and to other links; each entry is its own.

    No link refers to one whose entry was replaced.
    """
    members: list[Member] = []
    entries: dict[bytes, bytes] = {}
    for number in range(draw(st.integers(1, 12))):
        path = draw(st.sampled_from([b"a", b"b", b"c", b"d/a", b"d/b", b"d/c"]))
        is_link = bool(entries) and draw(st.booleans())
        existing = draw(st.sampled_from([*entries])) if is_link else path
        entry = entries.get(existing, path)
        entries = {name: each for name, each in entries.items() if path not in {name, each}}
        if existing != path:
            members.append(HardLink(path, existing))
            if entry != path:
                entries[path] = entry
        else:
            members.append(Entry(path, mtime=number))
            entries[path] = path
    return members


def packed(members: Iterable[Member]) -> dict[bytes, Entry]:
    """What each path is in the end; names of one inode share one entry."""
    found: dict[bytes, Entry] = {}
    for member in members:
        if isinstance(member, HardLink):
            found[member.path] = found[member.existing]
        else:
            found[member.path] = member._replace(path=b"")
    return found


@given(members=streams(), patterns=st.sets(st.sampled_from(["a", "/b", "c", "d", "d/a", "d/b"])))
def test_links_to_what_is_left_out_take_its_place(
    members: list[Member], patterns: set[str]
) -> None:
    exclusion = Exclusion(patterns)
    expected = {
        path: entry
        for path, entry in packed(members).items()
        if exclusion.takes(path, is_directory=False)
    }
    found = packed(Chosen(members, exclusion))
    assert found == expected
    for path, entry in expected.items():
        names = {each for each, other in expected.items() if other is entry}
        assert {each for each, other in found.items() if other is found[path]} == names


def test_links_to_what_comes_once_and_is_left_out_are_an_error() -> None:
    with pytest.raises(PackingError, match=r"^d/c: a hard link to d/b, which --exclude leaves out"):
        [*Chosen(MEMBERS, Exclusion(["d/b"]), repeats=False)]
    assert [*Chosen(MEMBERS, Exclusion(["d/c"]), repeats=False)] == [
        member for member in MEMBERS if member.path != b"d/c"
    ]


def test_links_to_links_that_are_left_out_mean_what_these_did() -> None:
    members: list[Member] = [Entry(b"a"), HardLink(b"b", b"a"), HardLink(b"c", b"b")]
    expected = [members[0], HardLink(b"c", b"a")]
    assert [*Chosen(members, Exclusion(["b"]), repeats=False)] == expected


def test_links_to_links_mean_the_file_that_was_there_then() -> None:
    first, last = Entry(b"a", mtime=1), Entry(b"a", mtime=2)
    members: list[Member] = [first, HardLink(b"b", b"a"), last, HardLink(b"c", b"b")]
    expected = {b"a": last._replace(path=b""), b"c": first._replace(path=b"")}
    assert packed(Chosen(members, Exclusion(["b"]))) == expected


def test_links_that_lead_to_nothing_stay_what_they_are() -> None:
    members: list[Member]
    members = [Entry(b"a"), HardLink(b"c", b"b"), HardLink(b"d", b"nothing")]
    assert [*Chosen(members, Exclusion(["b"]))] == [members[0], members[2], members[1]]
    members = [Entry(b"a", FileKind.DIRECTORY), HardLink(b"b", b"a"), HardLink(b"b", b"a")]
    assert [*Chosen(members, Exclusion(["a"]))] == members[2:]


def test_members_move_below_a_directory() -> None:
    assert [each.path for each in below(MEMBERS, b"top")][:4] == [
        b"top",
        b"top/a.tmp",
        b"top/d",
        b"top/d/a.tmp",
    ]
    assert HardLink(b"top/d/c", b"top/d/b") in [*below(MEMBERS, b"top")]
