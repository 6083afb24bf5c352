from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, file
from s3archivefs.dataset.members import members_of
from tests.support.images.fixtures import make_image
from tests.unit.s3archivefs.dataset.conftest import CONTENTS, LATIN

if TYPE_CHECKING:
    from pathlib import Path


def paths(image: Path, pattern: str) -> list[str]:
    with s3archivefs.open(image) as fs:
        members = members_of(fs, pattern)
        return [*map(members.path, range(len(members.references)))]


def globbed(image: Path, pattern: str) -> list[str]:
    """What the reader's glob finds of files, sorted as paths are: name by name."""
    with s3archivefs.open(image) as fs:
        found = [str(path) for path in fs.path("/").glob(pattern) if path.is_file()]
    return sorted(found, key=lambda path: os.fsencode(path).split(b"/"))


@pytest.mark.parametrize(
    "pattern",
    ["**/*", "*", "*/*.txt", "cat/**/*.txt", "**/0[1-5]*", "all/*", LATIN, "nothing/*", "*.txt/"],
)
def test_members_are_the_files_that_glob_finds_sorted(image: Path, pattern: str) -> None:
    assert paths(image, pattern) == globbed(image, pattern)


def test_members_are_regular_files_and_symlinks_to_them(image: Path) -> None:
    assert {*paths(image, "**/*")} == {*CONTENTS, "/link.txt"}


def test_members_of_a_directory_come_together_whatever_lies_below_it(tmp_path: Path) -> None:
    names = ("a/b/c", "a/b-", "a/b.txt", "a-/x", "a.txt")
    tree = (directory("a"), directory("a/b"), directory("a-"), *map(file, names))
    image = make_image(tmp_path, tree)
    assert paths(image, "**/*") == ["/a/b/c", "/a/b-", "/a/b.txt", "/a-/x", "/a.txt"]


def test_members_know_size_place_and_inode(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        members = members_of(fs, "**/*")
        rows = zip(*members[:5], strict=True)
        for index, (reference, start, size, fragment, offset) in enumerate(rows):
            stat = fs.stat(members.path(index))
            assert (reference, size) == (stat.reference, stat.size)
            assert (start, fragment, offset) == fs.content_start(stat)


@pytest.mark.property
@given(data=st.data())
def test_some_members_are_what_they_are_among_all(image: Path, data: st.DataObject) -> None:
    with s3archivefs.open(image) as fs:
        members = members_of(fs, "**/*")
    count = len(members.references)
    indices = data.draw(st.lists(st.integers(0, count - 1), max_size=20))
    taken = members.taken(indices)
    assert [*map(taken.path, range(len(indices)))] == [*map(members.path, indices)]
    for column in range(5):
        assert [*taken[column]] == [members[column][index] for index in indices]
    assert {*bytes(taken.directories).split(b"/")} <= {*bytes(members.directories).split(b"/")}


def test_a_member_takes_at_most_40_bytes_and_its_name(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        members = members_of(fs, "**/*.txt")
    count = len(members.references)
    taken = sum(memoryview(column).nbytes for column in members)
    names = sum(len(os.fsencode(name.rpartition("/")[2])) for name in paths(image, "**/*.txt"))
    directories = {path.rpartition("/")[0] + "/" for path in paths(image, "**/*.txt")}
    shared = sum(map(len, directories)) + 8 * len(directories)
    assert taken <= 40 * count + names + shared
