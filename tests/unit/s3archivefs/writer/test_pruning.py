"""What members that were replaced leave behind, tables do not name."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from s3archivefs import FileKind
from s3archivefs.format import ABSENT_64, XattrTableHeader
from s3archivefs.writer.entries import Entry, HardLink, Member
from s3archivefs.writer.image_writer import ImageWriter
from s3archivefs.writer.options import PackOptions
from s3archivefs.writer.output import StreamOutput

BLOCK = 4096
NOISE = bytes(range(256)) * 48

DIRECTORIES, LEAVES = (b"d", b"d/e"), (b"a", b"b", b"d/a", b"d/e/a")


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """A member of one of few paths, with owners that few others have."""
    path = draw(st.sampled_from((*DIRECTORIES, *LEAVES)))
    owners: dict[str, Any] = {name: draw(st.integers(0, 1000)) for name in ("uid", "gid", "mtime")}
    xattrs = draw(st.sampled_from([(), ((b"user.a", b"1"),), ((b"user.a", b"2"),)]))
    if path in DIRECTORIES:
        return Entry(path, FileKind.DIRECTORY, 0o700, **owners, xattrs=xattrs)
    kind = draw(st.sampled_from([FileKind.FILE, FileKind.FILE, FileKind.SYMLINK, FileKind.FIFO]))
    if kind is FileKind.FILE:
        start, size = draw(st.integers(0, 255)), draw(st.sampled_from([0, 9, 3000, 4096, 9000]))
        content = NOISE[start : start + size]
        return Entry(path, kind, **owners, open=partial(io.BytesIO, content), xattrs=xattrs)
    return Entry(path, kind, **owners, target=b"to", xattrs=xattrs)


def written(members: Iterable[Member], **options: Any) -> bytes:  # noqa: ANN401 -- of all types
    made = io.BytesIO()
    manner = PackOptions(**{"block_size": BLOCK, "time": 1, **options})
    with ImageWriter(StreamOutput(made), manner) as image:
        for member in members:
            image.add(member)
    return made.getvalue()


def opened(members: Iterable[Member], **options: Any) -> s3archivefs.SquashFS:  # noqa: ANN401 -- likewise
    return s3archivefs.open(s3archivefs.BytesDevice(written(members, **options)))


def attribute_sets(fs: s3archivefs.SquashFS) -> int:
    """The number of sets of attributes that the image says to have."""
    start = fs.superblock.xattr_table_start
    if start == ABSENT_64:
        return 0
    return int(XattrTableHeader.layout.unpack(fs.device.pread(start, 16))[1])


def held(fs: s3archivefs.SquashFS) -> dict[str, object]:
    """Attributes and contents of all members, by path."""
    assert [*fs.verify()] == []
    paths = ["/"]
    for above, directories, others in fs.walk("/"):
        paths += [f"{above.rstrip('/')}/{name}" for name in (*directories, *others)]
    found: dict[str, object] = {}
    for path in paths:
        stat = fs.stat(path, follow_symlinks=False)
        names = fs.listxattr(path, follow_symlinks=False)
        found[path] = (
            (stat.mode, stat.uid, stat.gid, stat.mtime, stat.nlink, stat.rdev),
            {name: fs.getxattr(path, name, follow_symlinks=False) for name in names},
            fs.read_bytes(path) if stat.kind is FileKind.FILE else None,
        )
    return found


@given(
    members=st.lists(entries(), max_size=20),
    fragments=st.booleans(),
    tail_ends=st.booleans(),
    deduplicate=st.booleans(),
    checksums=st.booleans(),
)
def test_members_of_one_path_make_the_image_of_the_last(
    members: list[Entry], **options: bool
) -> None:
    last = {member.path: member for member in members}
    with opened(members, **options) as fs, opened(last.values(), **options) as expected:
        assert held(fs) == held(expected)
        assert fs.superblock.fragment_count <= fs.superblock.inode_count
        assert fs.superblock.id_count == expected.superblock.id_count
        assert attribute_sets(fs) == attribute_sets(expected)


def test_fragments_of_replaced_files_leave_the_table() -> None:
    members = [
        Entry(path, open=partial(io.BytesIO, NOISE[start:][:3000]))
        for start in (0, 1, 2)
        for path in (b"a", b"b", b"c")
    ]
    with opened(members, deduplicate=False) as fs:
        assert fs.superblock.fragment_count == 3
        assert {*held(fs)} == {"/", "/a", "/b", "/c"}


def test_owners_of_replaced_members_leave_the_table() -> None:
    members = [Entry(b"a", uid=number, gid=1000 + number) for number in range(20)]
    directories = [Entry(b"d", FileKind.DIRECTORY, uid=2000 + number) for number in range(20)]
    with opened([*members, *directories]) as fs:
        assert (fs.stat("a").uid, fs.stat("a").gid, fs.stat("d").uid) == (19, 1019, 2019)
        assert fs.superblock.id_count == 4  # and the root's


def test_attributes_of_replaced_members_leave_the_table() -> None:
    """Of several blocks, some are left, and what they hold is in order."""
    values = [NOISE[number:][:3000] for number in range(20)]
    members = [
        Entry(b"%d" % (number % 7), xattrs=((b"user.a", value),))
        for number, value in enumerate(values)
    ]
    directories = [
        Entry(b"d", FileKind.DIRECTORY, xattrs=((b"user.a", value),)) for value in values
    ]
    for compressor in ("gzip", "none"):
        with opened([*members, *directories], compressor=compressor) as fs:
            assert attribute_sets(fs) == 8 - 1  # the last of each
            assert fs.getxattr("d", "user.a") == values[-1]
            for number, value in enumerate(values[-7:], 13):
                assert fs.getxattr(str(number % 7), "user.a") == value


@pytest.mark.parametrize("compressor", ["gzip", "none"])
def test_a_set_of_attributes_over_several_blocks_stays_whole(compressor: str) -> None:
    large = tuple((b"user.%d" % number, NOISE[number:]) for number in range(5))
    small = Entry(b"a", xattrs=((b"user.a", b"1"),))
    members = [small, Entry(b"large", xattrs=large), small._replace(xattrs=((b"user.a", b"2"),))]
    with opened(members, compressor=compressor) as fs:
        assert attribute_sets(fs) == 2
        assert {
            name.encode(): fs.getxattr("large", name) for name in fs.listxattr("large")
        } == dict(large)
        assert fs.getxattr("a", "user.a") == b"2"


def test_an_image_is_as_old_as_the_newest_member_that_is_left() -> None:
    members = [Entry(b"a", mtime=30), Entry(b"d", FileKind.DIRECTORY, mtime=20)]
    for last in (
        [Entry(b"a", mtime=5)],
        [Entry(b"a", mtime=5), Entry(b"d", FileKind.DIRECTORY, mtime=6)],
    ):
        with opened([*members, *last], time=None) as fs:
            assert fs.superblock.mkfs_time == (20 if len(last) == 1 else 6)


def test_a_name_that_stays_of_a_replaced_file_keeps_its_fragment_and_owners() -> None:
    first = Entry(b"a", open=partial(io.BytesIO, b"first"), uid=7)
    second = Entry(b"a", open=partial(io.BytesIO, NOISE[:4090]), uid=8)
    with opened([first, HardLink(b"b", b"a"), second, second]) as fs:
        assert held(fs)["/b"] == ((0o100644, 7, 0, 0, 1, 0), {}, b"first")
        assert held(fs)["/a"] == ((0o100644, 8, 0, 0, 1, 0), {}, NOISE[:4090])


def test_images_with_replaced_members_are_the_same_on_all_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = [
        Entry(b"%d" % (number % 7), open=partial(io.BytesIO, NOISE[number:][:9000]), uid=number)
        for number in range(100)
    ]
    images = set()
    for processors in (1, 2, 16):
        monkeypatch.setattr(
            "s3archivefs.writer.image_writer.cpu_count", lambda count=processors: count
        )
        images.add(written(members, deduplicate=False))
    assert len(images) == 1
