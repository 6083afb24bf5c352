"""Kinds, owners, identity and resolution of a `Path`."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from pathlib import Path as RealPath
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, file, hard_link, symlink
from tests.support.images.fixtures import FIXTURES, make_image, open_fixture
from tests.support.images.trees import write_tree

TREE = (
    directory("a"),
    directory("a/b"),
    file("a/b/c", b"c"),
    file("file", b"f", uid=0, gid=0),
    hard_link("same", "file"),
    symlink("to-a", "a"),
    symlink("to-c", "to-a/b/c"),
    symlink("dangling", "nowhere/at/all"),
    symlink("loop", "loop"),
    symlink("ring-1", "ring-2/x"),
    symlink("ring-2", "ring-1"),
    symlink("a/up", ".."),
    symlink("a/b/here", "."),
    # Followed, one inode leads from name to name, three directories deep.
    symlink("linked", "a/linked"),
    hard_link("a/linked", "linked"),
    directory("a/a"),
    file("a/a/linked"),
)
NOBODYS = file("nobodys", uid=4_000_000_000, gid=4_000_000_001)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealPath:
    return write_tree(TREE, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3archivefs.SquashFS]:
    image = make_image(tmp_path_factory.mktemp("image"), (*TREE, NOBODYS))
    with s3archivefs.open(image) as opened:
        yield opened


NAMES = st.sampled_from(
    [
        *("a", "b", "c", "file", "to-a", "to-c", "dangling", "loop", "ring-1", "ring-2"),
        *("up", "here", "..", ".", "missing", "linked"),
    ]
)


@given(names=st.lists(NAMES, max_size=6))
def test_resolves_as_the_file_system(
    fs: s3archivefs.SquashFS, real: RealPath, names: list[str]
) -> None:
    path = "/".join(names)
    theirs = os.path.realpath(f"{real}/{path}")
    # Above its root an image stays there, and so does only the one.
    if not {"..", "up"} & {*names}:
        expected = theirs.removeprefix(str(real)) or "/"
        assert str(fs.path(path).resolve()) == expected
        assert fs.realpath(path.encode()) == expected.encode()
    if fs.path(path).exists():
        resolved = fs.path(path).resolve(strict=True)
        assert resolved == fs.path(path).resolve()
        assert resolved.samefile(path)
        assert not any(each.is_symlink() for each in (resolved, *resolved.parents))
    else:
        with pytest.raises(OSError, match=r"No such file|Not a directory|levels of symbolic"):
            fs.path(path).resolve(strict=True)


def test_root_is_above_itself(fs: s3archivefs.SquashFS) -> None:
    assert str(fs.path("/a/up/../../a/b/..").resolve()) == "/a"
    assert str(fs.path("/..").resolve(strict=True)) == "/"


def test_kinds_are_told_apart(fs: s3archivefs.SquashFS) -> None:
    fixture = FIXTURES["special"]
    with open_fixture(fixture) as special:
        for each in fixture.tree:
            path = special.path(each.path)
            answers = {
                "block_device": path.is_block_device(),
                "char_device": path.is_char_device(),
                "fifo": path.is_fifo(),
                "socket": path.is_socket(),
                "file": path.is_file(),
                "directory": path.is_dir(),
            }
            assert answers == {kind: kind == each.kind for kind in answers}
    assert not fs.path("missing").is_fifo()


def test_links_are_followed_unless_said(fs: s3archivefs.SquashFS) -> None:
    assert fs.path("to-a").is_dir()
    assert not fs.path("to-a").is_dir(follow_symlinks=False)
    assert fs.path("to-c").is_file()
    assert not fs.path("to-c").is_file(follow_symlinks=False)


def test_only_the_root_is_mounted(fs: s3archivefs.SquashFS) -> None:
    assert fs.path("/").is_mount()
    assert fs.path("/a/..").is_mount()
    assert not any(fs.path(name).is_mount() for name in ("/a", "/a/up", "/file", "/missing"))


def test_owner_and_group_are_names_that_this_machine_has(fs: s3archivefs.SquashFS) -> None:
    assert fs.path("file").owner() == pwd.getpwuid(0).pw_name
    assert fs.path("file").group() == grp.getgrgid(0).gr_name
    with pytest.raises(KeyError):
        fs.path("nobodys").owner()
    with pytest.raises(KeyError):
        fs.path("nobodys").group()
    with pytest.raises(FileNotFoundError):
        fs.path("missing").owner()
    assert fs.path("dangling").owner(follow_symlinks=False)


def test_same_file_is_the_same_inode_of_the_same_image(
    fs: s3archivefs.SquashFS, tmp_path: RealPath
) -> None:
    assert fs.path("file").samefile(fs.path("same"))
    assert fs.path("to-c").samefile("/a/b/c")
    assert fs.path("to-c").samefile(PurePosixPath("a/b/c"))
    assert not fs.path("file").samefile("to-c")
    with pytest.raises(FileNotFoundError):
        fs.path("file").samefile("missing")
    with s3archivefs.open(make_image(tmp_path, (*TREE, NOBODYS))) as other:
        assert not fs.path("file").samefile(other.path("file"))


def test_path_in_an_image_is_no_local_path(fs: s3archivefs.SquashFS) -> None:
    path = fs.path("/a/b")
    assert not isinstance(path, os.PathLike)
    assert (path.as_posix(), bytes(path), str(path)) == ("/a/b", b"/a/b", "/a/b")
    with pytest.raises(TypeError):
        os.fspath(path)  # type: ignore[call-overload]  # that is the point
    assert path.is_absolute()
    assert path.absolute() == path
    assert path.anchor == "/"
    assert path.relative_to("a") == path.relative_to("/a") == PurePosixPath("b")
    assert path.is_relative_to(PurePosixPath("/a"))
    assert path.with_stem("c") == fs.path("/a/c")
    assert fs.path("/a") <= path > fs.path("/a")
