"""Damaged listings, and directories that contain themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.tree import directory, file, symlink
from s3archivefs import CorruptImageError
from tests.support.images.drafts import Draft, draft
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

TIME, EMPTY_TIME = 1_234_567_801, 1_234_567_802


@pytest.fixture
def image(tmp_path: Path) -> Draft:
    """An uncompressed image: /d with the files aa, bb and cc, and /empty."""
    tree = (
        directory("d", mtime=TIME),
        *(file(f"d/{name}") for name in ("aa", "bb", "cc")),
        directory("empty", mtime=EMPTY_TIME),
    )
    return draft(tmp_path, tree)


def assert_corrupt(image: Draft, said: str) -> None:
    """Listing and looking up fail, each time; the other directory is listed."""
    with image.open() as fs:
        for _ in range(2):
            with pytest.raises(CorruptImageError, match=said):
                fs.listdir("/d")
            with pytest.raises(CorruptImageError, match=said):
                fs.exists("/d/zz")
        assert fs.listdir("/empty") == []


def test_directory_of_size_0_is_empty(image: Draft) -> None:  # F2, D48
    image.put(image.inode(EMPTY_TIME) + 24, "H", 0)
    with image.open() as fs:
        assert fs.listdir("/empty") == []
        assert not fs.exists("/empty/x")
        assert list(fs.verify()) == []


@pytest.mark.parametrize("size", [1, 2])
def test_directory_of_size_1_or_2_is_corrupt(image: Draft, size: int) -> None:  # F2, D48
    image.put(image.inode(TIME) + 24, "H", size)
    assert_corrupt(image, f"has a size of {size} bytes")


@pytest.mark.parametrize("size", [4, 14])
def test_listing_too_short_for_a_header_is_corrupt(image: Draft, size: int) -> None:  # D48
    image.put(image.inode(TIME) + 24, "H", size)
    assert_corrupt(image, f"has a size of {size} bytes")


@pytest.mark.parametrize("start", [0, 2**32 - 1])
def test_empty_directory_may_start_anywhere(image: Draft, start: int) -> None:  # D48
    image.put(image.inode(EMPTY_TIME) + 16, "I", start)
    with image.open() as fs:
        assert fs.listdir("/empty") == []


@pytest.mark.parametrize("count", [256, 2**32 - 1])
def test_run_of_more_than_256_entries_is_corrupt(image: Draft, count: int) -> None:  # D49
    image.put(image.entry(b"aa") - 12, "I", count)
    assert_corrupt(image, f"a directory header counts {count + 1} entries; 256 are allowed")


@pytest.mark.parametrize("count", [1, 3, 255])
def test_run_of_another_length_than_the_listing_is_corrupt(image: Draft, count: int) -> None:
    image.put(image.entry(b"aa") - 12, "I", count)  # two remain: D49
    with image.open() as fs, pytest.raises(CorruptImageError):
        fs.listdir("/d")


@pytest.mark.parametrize("size", [15, 22, 23, 24, 30, 43, 45])
def test_listing_that_ends_within_an_entry_is_corrupt(image: Draft, size: int) -> None:
    assert image.get(image.inode(TIME) + 24, "H") == 3 + 12 + 3 * 10
    image.put(image.inode(TIME) + 24, "H", size)
    if size == 45:
        image.put(image.entry(b"cc") + 6, "H", 2)
    assert_corrupt(image, "ends within an entry|size of")


@pytest.mark.parametrize("size", [256, 257, 65535])
def test_name_longer_than_256_bytes_is_corrupt(tmp_path: Path, size: int) -> None:  # D50
    # More bytes of listing follow than the name would take.
    names = [f"{letter}{'n' * 250}" for letter in "abcd"]
    tree = (directory("d"), *(file(f"d/{name}") for name in names), directory("empty"))
    image = draft(tmp_path, tree)
    image.put(image.entry(names[0].encode()) + 6, "H", size)
    assert_corrupt(image, "a name is too long")


@pytest.mark.parametrize("name", [b"..", b"a/", b"/a", b"a\0", b"\0\0"])
def test_name_that_could_leave_its_directory_is_corrupt(image: Draft, name: bytes) -> None:
    at = image.entry(b"bb") + 8
    image.data[at : at + 2] = name
    assert_corrupt(image, "has type 2 and name")


def test_dot_is_no_name(tmp_path: Path) -> None:  # D52
    image = draft(tmp_path, (directory("d", mtime=TIME), file("d/x"), directory("empty")))
    image.data[image.entry(b"x") + 8] = ord(".")
    assert_corrupt(image, r"has type 2 and name b'\.'")


@pytest.mark.parametrize("kind", [0, 8, 9, 14, 65535])
def test_extended_or_unknown_type_in_an_entry_is_corrupt(image: Draft, kind: int) -> None:  # D50
    image.put(image.entry(b"bb") + 4, "H", kind)
    assert_corrupt(image, f"has type {kind} and name b'bb'")


@pytest.mark.parametrize("name", [b"aa", b"a0"])
def test_names_twice_or_out_of_order_are_corrupt(image: Draft, name: bytes) -> None:  # D51
    at = image.entry(b"bb") + 8
    image.data[at : at + 2] = name
    with image.open() as fs:
        with pytest.raises(CorruptImageError, match=f"b'aa' and {name!r} are out of order"):
            fs.listdir("/d")
        with pytest.raises(CorruptImageError, match=f"b'aa' and {name!r} are out of order"):
            fs.stat("/d/cc")


def test_name_behind_the_place_where_the_index_leads_is_corrupt(tmp_path: Path) -> None:  # D51
    names = [f"{number:02d}-" + "n" * 240 for number in range(36)]
    image = draft(tmp_path, (directory("many"), *(file(f"many/{name}") for name in names)))
    last = names[31].encode()  # before the second metadata block, where the index leads
    image.data[image.entry(last) + 8] = ord("z")
    with image.open() as fs:
        for name in (names[0], names[30]):
            with pytest.raises(CorruptImageError, match="out of order"):
                fs.exists(f"/many/{name}")
        with pytest.raises(CorruptImageError, match="out of order"):
            fs.listdir("/many")


def test_entry_that_leads_to_no_inode_is_corrupt(image: Draft) -> None:  # D17
    image.put(image.entry(b"bb"), "H", image.get(image.entry(b"bb"), "H") + 2)
    with image.open() as fs:
        assert fs.listdir("/d") == ["aa", "bb", "cc"]
        with pytest.raises(CorruptImageError):
            fs.stat("/d/bb")
        assert fs.stat("/d/aa").size == 0
    image.put(image.entry(b"aa") - 8, "I", 9000)  # the run's inodes in a block that is not there
    with image.open() as fs, pytest.raises(CorruptImageError, match="outside the table's bytes"):
        fs.stat("/d/aa")


# ---- Directories inside themselves ---------------------------------------------------------------


def test_directory_inside_itself_ends_a_walk_and_no_look_up(tmp_path: Path) -> None:  # F7
    image = draft(tmp_path, (directory("a"), directory("a/b"), directory("a/b/c"), file("z")))
    with image.open() as fs:
        a, c = fs.stat("/a"), fs.stat("/a/b/c")
    image.lead(b"c", c, a)
    with image.open() as fs:
        assert fs.stat("/a/b/c/b/c/b/c") == a
        assert fs.stat("/a/b/c/b/c/..") == fs.stat("/a/b")
        with pytest.raises(CorruptImageError, match="directory '/a/b/c' is in the tree twice"):
            list(fs.walk("/"))


def test_directory_with_two_parents_ends_a_walk(tmp_path: Path) -> None:
    # Else a chain of n such directories would have 2 to the power of n paths.
    tree = (directory("a"), directory("a/deep"), directory("b"), directory("b/deep"))
    image = draft(tmp_path, tree)
    with image.open() as fs:
        a, b = fs.stat("/a"), fs.stat("/b")
    image.lead(b"b", b, a)
    with image.open() as fs:
        assert fs.stat("/b") == a
        with pytest.raises(CorruptImageError, match="directory '/b' is in the tree twice"):
            list(fs.walk("/"))


def test_directory_reached_twice_by_symlinks_is_no_fault(tmp_path: Path) -> None:  # F7
    tree = (
        directory("a"),
        *(file("a/file", b"x"), symlink("a/again", "../a"), symlink("b", "a")),
    )
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        assert fs.read_bytes("/a/again/again/file") == b"x"
        assert fs.read_bytes("/b/again/file") == b"x"
        assert list(fs.walk("/")) == [("/", ["a", "b"], []), ("/a", ["again"], ["file"])]
        assert list(fs.walk("/b")) == [("/b", ["again"], ["file"])]
        assert list(fs.verify()) == []
