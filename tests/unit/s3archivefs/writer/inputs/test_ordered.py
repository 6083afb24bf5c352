"""Files come first in an order, of any sources, and the members are the same otherwise."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import FileKind
from s3archivefs.errors import PackingError
from s3archivefs.writer.entries import Content, Entry, HardLink, Member
from s3archivefs.writer.inputs import ordered
from s3archivefs.writer.inputs.arranged import below
from s3archivefs.writer.inputs.ordered import OrderableSource, in_order, order_of

MEMBERS: list[Member] = [
    Entry(b"", FileKind.DIRECTORY),
    Entry(b"a"),
    Entry(b"d", FileKind.DIRECTORY),
    Entry(b"d/b"),
    HardLink(b"d/c", b"d/b"),
    HardLink(b"d/e", b"d/c"),
    Entry(b"s", FileKind.SYMLINK, target=b"a"),
    HardLink(b"t", b"s"),
    Entry(b"e/d/x"),
]


def arranged(*first: bytes) -> list[bytes]:
    return [each.path for each in in_order([OrderableSource(MEMBERS)], first)]


def test_files_come_first_in_an_order() -> None:
    found = arranged(b"e/d/x", b"d/b", b"e/d/x")
    assert found[:2] == [b"e/d/x", b"d/b"]
    assert sorted(found) == sorted(each.path for each in MEMBERS)


def test_a_further_name_of_a_file_means_the_file() -> None:
    for name in (b"d/c", b"d/e"):
        found = arranged(name, b"a", b"d/b")
        assert found[:2] == [b"d/b", b"a"]
        assert sorted(found) == sorted(each.path for each in MEMBERS)


@pytest.mark.parametrize("wrong", [b"nothing", b"d", b"s", b"t"])
def test_only_files_come_first(wrong: bytes) -> None:
    with pytest.raises(PackingError, match=f"^{wrong.decode()}: is to come first, and is no file"):
        arranged(b"a", wrong)


def test_an_order_is_a_path_a_line_as_commands_print_it(tmp_path: Path) -> None:
    path = tmp_path / "order"
    path.write_bytes(b"/a/b\n\nback\\\\slash\nn\\x0aewline\nraw \xff\n")
    assert order_of(str(path)) == [b"a/b", b"back\\slash", b"n\newline", b"raw \xff"]


# ---- Archives that are read from start to end ----------------------------------------------------


class Archive:
    """Members whose contents can be read until the next comes, as a tar stream has them."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self.times = 0
        """How often it was read from its start."""

    def __iter__(self) -> Iterator[Member]:
        self.times += 1
        for member in self._members:
            if not isinstance(member, Entry) or member.open is None:
                yield member
                continue
            content = member.open()
            yield member._replace(open=partial(self._handed_out, content), reopens=False)
            content.close()

    def _handed_out(self, content: Content) -> Content:
        content.read(0)  # raises once it is closed
        return content


def file(path: bytes, content: bytes, number: int = 0) -> Entry:
    return Entry(path, open=partial(io.BytesIO, content), size=len(content), mtime=number)


def content_of(entry: Entry) -> bytes:
    assert entry.open is not None
    content = entry.open()
    return content.read(1 << 20) or b""


def test_contents_that_do_not_last_are_read_where_they_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordered, "WINDOW", 100)
    contents = {b"%d" % number: b"%d" % number * 40 for number in range(10)}
    contents[b"large"] = b"l" * 101
    archive = Archive([file(*each) for each in contents.items()])
    order = [b"7", b"5", b"large", b"3", b"9", b"1"]
    found = {}
    for member in in_order([OrderableSource(archive, lasts=False)], order):
        assert isinstance(member, Entry)
        found[member.path] = content_of(member)
    assert [*found][:6] == order
    assert found == contents
    # To find the files, for two, for the large one, two, one, and for all else.
    assert archive.times == 6


def test_a_content_longer_than_it_was_listed_is_not_held_as_a_whole() -> None:
    members: list[Member] = [
        file(path, b"x" * 1000)._replace(size=10) for path in (b"a", b"b", b"c")
    ]
    source = OrderableSource(Archive(members), lasts=False)
    first, second, *_ = in_order([source], [b"b", b"a"])
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert content_of(first) == content_of(second) == b"x" * 11  # which the writer refuses


def test_a_content_of_unknown_size_is_whole_beside_an_empty_file() -> None:
    members = [Entry(b"a", open=partial(io.BytesIO, b"content")), Entry(b"b", size=0)]
    found = in_order([OrderableSource(members, lasts=False)], [b"a", b"b"])
    read = {
        each.path: each.open().read(9) for each in found if isinstance(each, Entry) and each.open
    }
    assert read == {b"a": b"content"}


@pytest.mark.parametrize("instead", [[], [HardLink(b"b", b"a")]])
def test_an_archive_that_changes_meanwhile_is_an_error(
    instead: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "WINDOW", 1)
    members: list[Member] = [file(b"a", b"a"), file(b"b", b"b")]
    found = in_order([OrderableSource(members, lasts=False)], [b"a", b"b"])
    next(found)
    members[1:] = instead
    with pytest.raises(PackingError, match=r"^b: changed while it was packed"):
        next(found)


# ---- What becomes of it --------------------------------------------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> list[Member]:
    """Members of few paths, among them links to any that came; contents differ."""
    members: list[Member] = []
    for number in range(draw(st.integers(1, 8))):
        path = draw(st.sampled_from([b"a", b"b", b"c", b"d/a"]))
        kind = draw(st.sampled_from(["file", "file", "link", "symlink"]))
        if kind == "link" and members:
            members.append(HardLink(path, draw(st.sampled_from(members)).path))
        elif kind == "symlink":
            members.append(Entry(path, FileKind.SYMLINK, target=b"a", mtime=number))
        else:
            members.append(file(path, bytes(draw(st.sampled_from([0, 5, 70, 120]))), number))
    return members


def packed(members: Iterable[Member]) -> dict[bytes, tuple[FileKind, int, bytes, frozenset[bytes]]]:
    """What each path is in the end, and the names of the same inode."""
    entries: dict[bytes, Entry] = {}
    contents: dict[bytes, bytes] = {}
    for member in members:
        if isinstance(member, HardLink):
            entries[member.path] = entries[member.existing]
            contents[member.path] = contents[member.existing]
            continue
        entries[member.path] = member
        is_file = member.kind is FileKind.FILE
        contents[member.path] = content_of(member) if is_file else member.target
    return {
        path: (
            entry.kind,
            entry.mtime,
            contents[path],
            frozenset(name for name, other in entries.items() if other is entry),
        )
        for path, entry in entries.items()
    }


@given(
    sources=st.lists(st.tuples(streams(), st.booleans()), min_size=1, max_size=3), data=st.data()
)
def test_an_order_changes_nothing_but_the_order(
    sources: list[tuple[list[Member], bool]], data: st.DataObject
) -> None:
    tops = [data.draw(st.sampled_from([b"", b"x", b"x/y"])) for _ in sources]
    plain = [
        member
        for (members, _), top in zip(sources, tops, strict=True)
        for member in (below(members, top) if top else members)
    ]
    expected = packed(plain)
    # Of names of files, those that lead to one by its own path, which no other took.
    own = {member.path: isinstance(member, Entry) for member in plain}
    files = sorted(
        path
        for path, (kind, _, _, names) in expected.items()
        if kind is FileKind.FILE and any(own[name] for name in names)
    )
    order = data.draw(st.lists(st.sampled_from(files), max_size=6)) if files else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordered, "WINDOW", 100)
        found = in_order(
            [
                OrderableSource(members if lasts else Archive(members), top, lasts)
                for (members, lasts), top in zip(sources, tops, strict=True)
            ],
            order,
        )
        assert packed(found) == expected
