"""A directory's size: with or without three bytes for `.` and `..`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs import BytesDevice, CorruptImageError
from tests.support.images.built import BLOCK, Image, Node, build, directory, entries, file

if TYPE_CHECKING:
    from pathlib import Path

each_convention = pytest.mark.parametrize("exact", [False, True], ids=["with dots", "exact"])
each_inode = pytest.mark.parametrize("extended", [False, True], ids=["basic", "extended"])
HEADER, ENTRY = 12, 8


def names_of_length(count: int, length: int) -> list[bytes]:
    return [b"%04d" % number + b"n" * (length - 4) for number in range(count)]


def one_run(names: list[bytes]) -> bytes:
    """A listing of one run; all of its names are links to the image's first inode."""
    return entries(0, 1, *((0, 0, 2, name) for name in names))


def names_up_to(end: int) -> list[bytes]:
    """Names whose one run has so many bytes."""
    names = names_of_length(32, 240)
    names.append(b"0099" + b"n" * (end - len(one_run(names)) - ENTRY - 4))
    assert len(one_run(names)) == end
    return names


def tree_of(listed: Node, *, behind: bool) -> Node:
    """A root of the file that is linked to, the directory `d`, and maybe another behind it. In the
    table of directories the root's own listing comes last.
    """
    rest = {b"e": directory({b"zzz": file()})} if behind else {}
    return directory({b"0": file(b"content"), b"d": listed} | rest)


def opened(image: Image) -> s3archivefs.SquashFS:
    return s3archivefs.open(BytesDevice(bytes(image)))


def assert_holds(image: Image, names: list[bytes]) -> None:
    """The directory `d` has these names, however it is asked, and nothing is wrong with it."""
    with opened(image) as fs:
        assert fs.listdir(b"/d") == names
        assert [entry.name for entry in fs.scandir(b"/d", start=b"0")] == names
        for name in names:
            assert fs.read_bytes(b"/d/" + name) == b"content"
            assert [entry.name for entry in fs.scandir(b"/d", start=name)][:1] == [name]
            assert not fs.exists(b"/d/" + name + b"~")
        assert not fs.exists(b"/d/zzz")
        assert [problem for problem in fs.verify() if problem.path != "/"] == []


@each_convention
@each_inode
@pytest.mark.parametrize("count", [0, 1, 2, 256])
def test_both_conventions_list_the_same(count: int, *, extended: bool, exact: bool) -> None:  # D48
    names = names_of_length(count, 5)
    listing = one_run(names) if names else b""
    listed = directory(listing=listing, extended=extended, exact_size=exact)
    image = build(tree_of(listed, behind=True))
    assert listed.fields["size"] == len(listing) + (0 if exact else 3)
    assert_holds(image, names)


def test_a_root_of_one_empty_file_is_read_in_both_conventions() -> None:
    for exact in (False, True):
        with opened(build(directory({b"zero": file()}, exact_size=exact))) as fs:
            assert fs.listdir("/") == ["zero"]
            assert fs.read_bytes("/zero") == b""
            assert list(fs.verify()) == []


@each_convention
@pytest.mark.parametrize("behind", [False, True], ids=["last", "followed"])
@pytest.mark.parametrize("end", range(BLOCK - 4, BLOCK + 5))
def test_listing_may_end_anywhere_in_a_block(end: int, *, behind: bool, exact: bool) -> None:
    # Three bytes more would lie in the next block, which the table need not have.
    names = names_up_to(end)
    listing = one_run(names)
    assert_holds(build(tree_of(directory(listing=listing, exact_size=exact), behind=behind)), names)


@each_convention
@pytest.mark.parametrize("end", range(BLOCK - 4, BLOCK + 5))
def test_listing_may_end_where_its_table_does(end: int, *, exact: bool) -> None:
    names = names_up_to(end)
    root = directory({b"0": file(b"content")}, listing=one_run(names), exact_size=exact)
    with opened(build(root)) as fs:
        assert fs.listdir(b"/") == names
        assert fs.read_bytes(b"/" + names[-1]) == b"content"


@each_convention
@pytest.mark.parametrize("last", [1, 2, 3, 4, 256])
def test_short_last_name_is_listed_whole(last: int, *, exact: bool) -> None:
    # The last three bytes are the name, or part of the entry before it.
    names = [b"a", b"b" * 100, b"c" * last]
    assert_holds(
        build(tree_of(directory(listing=one_run(names), exact_size=exact), behind=True)), names
    )


@each_convention
def test_runs_of_one_name_are_listed_to_the_last(*, exact: bool) -> None:
    names = [bytes([letter]) for letter in b"abcdefgh"]
    listing = b"".join(one_run([name]) for name in names)
    assert_holds(build(tree_of(directory(listing=listing, exact_size=exact), behind=True)), names)


@each_convention
def test_index_leads_to_the_last_run_as_well(*, exact: bool) -> None:  # D51
    # Each segment but the last ends where the next starts, whichever the convention.
    names = names_of_length(90, 243)
    runs = [one_run([name]) for name in names]
    size = len(runs[0])
    marks = [(size * at, size * at // BLOCK * (BLOCK + 2), names[at]) for at in (32, 63, 89)]
    listed = directory(listing=b"".join(runs), index=marks, exact_size=exact)
    image = build(tree_of(listed, behind=True))
    assert listed.fields["offset"] == 0  # so that the marks are right
    assert_holds(image, names)


@each_convention
@pytest.mark.parametrize("count", [1280, 1281])  # the last run is full, or has one name
def test_long_listing_without_an_index_is_found_to_its_end(count: int, *, exact: bool) -> None:
    names = names_of_length(count, 60)
    listing = b"".join(one_run(names[at : at + 256]) for at in range(0, count, 256))
    assert len(listing) > 1 << 16
    listed = directory(listing=listing, extended=True, exact_size=exact)
    with opened(build(tree_of(listed, behind=True))) as fs:
        assert fs.read_bytes(b"/d/" + names[-1]) == b"content"
        assert not fs.exists("/d/zzz")
        assert all(fs.exists(b"/d/" + name) for name in names)
        assert [entry.name for entry in fs.scandir(b"/d", start=names[-2])] == names[-2:]
        assert fs.listdir(b"/d") == names


@each_inode
def test_size_of_neither_convention_is_corrupt(*, extended: bool) -> None:
    listing = one_run([b"aa", b"bb", b"cc"])
    read = {}
    for size in range(len(listing) + 40):
        listed = directory(listing=listing, extended=extended, size=size)
        with opened(build(tree_of(listed, behind=True))) as fs:
            try:
                read[size] = fs.listdir("/d")
            except CorruptImageError:
                with pytest.raises(CorruptImageError):
                    fs.exists("/d/aa")
    behind = HEADER + ENTRY + len(b"zzz")  # the run of the next directory
    longer = len(listing) + behind
    assert read == {
        0: [],
        3: [],
        len(listing): ["aa", "bb", "cc"],
        len(listing) + 3: ["aa", "bb", "cc"],
        longer: ["aa", "bb", "cc", "zzz"],
        longer + 3: ["aa", "bb", "cc", "zzz"],
    }


@each_convention
def test_unsquashfs_lists_the_same(tmp_path: Path, *, exact: bool) -> None:
    names = names_of_length(300, 60)
    runs = b"".join(one_run(names[at : at + 200]) for at in range(0, 300, 200))
    empty = directory(exact_size=exact)
    root = directory(
        {
            b"0": file(b"content"),
            b"d": directory(listing=runs, extended=True, exact_size=exact),
            b"empty": empty,
        },
        exact_size=exact,
    )
    path = tmp_path / "t.sqfs"
    path.write_bytes(bytes(build(root, padding=4096)))
    command = ["unsquashfs", "-no-progress", "-d", "", "-l", str(path)]
    said = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    with s3archivefs.open(path) as fs:
        ours = [b"/" + name for name in fs.listdir(b"/")]
        ours += [b"/d/" + name for name in fs.listdir(b"/d")]
        assert fs.listdir("/empty") == []
    assert sorted(line for line in said if line.startswith(b"/")) == sorted(ours)
