"""Paths: what a name leads to, and which error a fault gives."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, file, symlink
from s3archivefs.names import os_error
from tests.support.images import built
from tests.support.images.fixtures import (
    FIXTURES,
    make_image,
    open_fixture,
)
from tests.support.images.readers import resolver_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from s3archivefs.inode import Inode, Stat
    from s3archivefs.resolution import Resolver

TARGET = b"the target\n"
"""Content of /a/b/target.txt in the fixture `symlinks`."""


# ---- Paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/docs/guide.txt",
        "docs/guide.txt",
        "//docs///guide.txt",
        "/./docs/./guide.txt",
        "/docs/deep/../guide.txt",
        "/../../docs/guide.txt",
        "/docs/../../docs/guide.txt",
        "..//docs/guide.txt",
        "/guide",
    ],
)
def test_spellings_of_one_path_lead_to_one_file(plain: s3archivefs.SquashFS, path: str) -> None:
    expected = plain.stat("/docs/guide.txt")
    assert plain.stat(path) == plain.stat(path.encode()) == expected
    assert len(plain.read_bytes(path)) == expected.size


@pytest.mark.parametrize(
    "path", ["/", "//", ".", "..", "/..", "/../..", "/docs/..", "/docs/deep/../.."]
)
def test_parent_of_the_root_is_the_root(plain: s3archivefs.SquashFS, path: str) -> None:
    assert plain.stat(path).inode_number == plain.stat("/").inode_number
    assert "docs" in plain.listdir(path)


@pytest.mark.parametrize("path", ["/docs/", "/docs//", "/docs/.", "/docs/deep/.."])
def test_directories_take_a_trailing_slash(plain: s3archivefs.SquashFS, path: str) -> None:
    assert plain.listdir(path) == ["deep", "guide.txt"]
    assert plain.stat(path) == plain.stat("/docs")


@pytest.mark.parametrize("path", ["/short.txt/", "/short.txt/.", "/short.txt/..", "/guide/"])
def test_files_take_no_trailing_slash(plain: s3archivefs.SquashFS, path: str) -> None:
    for call in (plain.stat, plain.open, plain.listdir):
        assert_fails(NotADirectoryError, errno.ENOTDIR, path, call)


# ---- Symlinks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/absolute",
        "/above-root",
        "/a/b/up",
        "/chain-1",
        "/directory/target.txt",
        "/directory/../b/target.txt",
        "/directory/up",
        "/directory-slash/target.txt",
        "/long",
    ],
)
def test_symlinks_resolve_inside_the_image(links: s3archivefs.SquashFS, path: str) -> None:
    assert links.read_bytes(path) == TARGET
    assert links.stat(path) == links.stat("/a/b/target.txt")


def test_absolute_symlink_starts_at_the_root_wherever_it_stands(tmp_path: Path) -> None:
    tree = (
        directory("a"),
        *(directory("a/x"), file("a/x/file", b"wrong"), symlink("a/link", "/x/file")),
        *(directory("x"), file("x/file", b"right"), symlink("a/up", "/a/../x/../x/file")),
    )
    with s3archivefs.open(make_image(tmp_path, tree)) as fs:
        assert fs.read_bytes("/a/link") == fs.read_bytes("/a/up") == b"right"
        assert fs.stat("/a/../a/link").size == 5


def test_parent_of_a_symlinked_directory_is_the_real_one(links: s3archivefs.SquashFS) -> None:
    assert links.stat("/directory/..") == links.stat("/a")


def test_symlinks_are_followed_only_where_asked(links: s3archivefs.SquashFS) -> None:
    assert links.stat("/directory").kind is s3archivefs.FileKind.DIRECTORY
    itself = links.stat("/directory", follow_symlinks=False)
    assert (itself.kind, itself.size) == (s3archivefs.FileKind.SYMLINK, 3)
    assert links.stat("/dangling", follow_symlinks=False).kind is s3archivefs.FileKind.SYMLINK
    # As lstat: a trailing slash asks for the directory, and all before the last name is followed.
    assert links.stat("/directory/", follow_symlinks=False).kind is s3archivefs.FileKind.DIRECTORY
    inside = links.stat("/directory/target.txt", follow_symlinks=False)
    assert inside.kind is s3archivefs.FileKind.FILE


def test_readlink_gives_the_target_as_it_is_stored(links: s3archivefs.SquashFS) -> None:
    assert links.readlink("/above-root") == "../../../a/b/target.txt"
    assert links.readlink("/dangling") == "no/such/file"
    assert links.readlink("/non-utf8") == "a/\udcff"
    assert links.readlink(b"/non-utf8") == b"a/\xff"
    assert links.readlink("/directory/up") == "../../a/./b//target.txt"


@pytest.mark.parametrize("path", ["/loop-1", "/self", "/self/below", "/loop-2/"])
def test_loops_of_symlinks_end(links: s3archivefs.SquashFS, path: str) -> None:
    for call in (links.stat, links.open, links.listdir, links.read_bytes):
        assert_fails(OSError, errno.ELOOP, path, call)


def test_forty_symlinks_are_followed_and_no_more(tmp_path: Path) -> None:
    tree = [file("link-00", b"end\n")]
    tree += [symlink(f"link-{hops:02d}", f"link-{hops - 1:02d}") for hops in range(1, 45)]
    with s3archivefs.open(make_image(tmp_path, tuple(tree))) as fs:
        assert fs.read_bytes("/link-40") == b"end\n"
        assert_fails(OSError, errno.ELOOP, "/link-41", fs.stat)
        assert fs.readlink("/link-41") == "link-40"
    with s3archivefs.open(tmp_path / "t.sqfs", limits=s3archivefs.Limits(symlink_hops=2)) as fs:
        assert fs.read_bytes("/link-02") == b"end\n"
        assert_fails(OSError, errno.ELOOP, "/link-03", fs.stat)


def test_long_targets_meet_the_limit() -> None:
    limits = s3archivefs.Limits(symlink_target_bytes=413)
    with s3archivefs.open(FIXTURES["symlinks"].image, limits=limits) as fs:
        for call in (fs.readlink, fs.stat, fs.open):
            with pytest.raises(s3archivefs.LimitExceededError, match="symlink_target_bytes"):
                call("/long")
        assert fs.stat("/long", follow_symlinks=False).size == 414
        assert fs.read_bytes("/chain-1") == TARGET


# ---- Faults --------------------------------------------------------------------------------------


def assert_fails(
    kind: type[OSError], number: int, path: str | bytes, call: Callable[..., Iterable[object]]
) -> None:
    """`call(path)` raises that error, with errno and filename as the operating system sets them."""
    with pytest.raises(kind) as caught:
        list(call(path))  # what iterates may raise as late as that
    assert caught.value.errno == number
    assert caught.value.filename == path
    assert type(caught.value) is kind
    assert caught.value.strerror == os.strerror(number)


@pytest.mark.parametrize(
    "path", ["/missing", b"/missing", "/docs/missing", "/missing/..", "/MISSING"]
)
@pytest.mark.parametrize(
    "method", ["stat", "open", "read_bytes", "listdir", "scandir", "readlink", "walk"]
)
def test_missing_path_is_file_not_found(
    plain: s3archivefs.SquashFS, method: str, path: str | bytes
) -> None:
    assert_fails(FileNotFoundError, errno.ENOENT, path, getattr(plain, method))


@pytest.mark.parametrize("path", ["/dangling", "/non-utf8"])
def test_dangling_symlink_is_file_not_found(links: s3archivefs.SquashFS, path: str) -> None:
    assert_fails(FileNotFoundError, errno.ENOENT, path, links.open)


@pytest.mark.parametrize("method", ["stat", "open", "read_bytes", "listdir", "scandir", "readlink"])
def test_path_through_a_file_is_not_a_directory(links: s3archivefs.SquashFS, method: str) -> None:
    assert_fails(NotADirectoryError, errno.ENOTDIR, "/a/b/target.txt/x", getattr(links, method))


def test_symlink_through_a_file_is_not_a_directory(links: s3archivefs.SquashFS) -> None:
    assert_fails(NotADirectoryError, errno.ENOTDIR, "/through-file", links.stat)


@pytest.mark.parametrize("method", ["listdir", "scandir"])
@pytest.mark.parametrize("path", ["/short.txt", b"/short.txt", "/guide"])
def test_listing_a_file_is_not_a_directory(
    plain: s3archivefs.SquashFS, method: str, path: str | bytes
) -> None:
    assert_fails(NotADirectoryError, errno.ENOTDIR, path, getattr(plain, method))


@pytest.mark.parametrize("path", ["/", "/docs", b"/docs", "/docs/"])
def test_opening_a_directory_is_a_directory(plain: s3archivefs.SquashFS, path: str | bytes) -> None:
    for call in (plain.open, plain.read_bytes):
        assert_fails(IsADirectoryError, errno.EISDIR, path, call)


@pytest.mark.parametrize("path", ["/", "/docs", "/short.txt", b"/short.txt"])
def test_readlink_of_no_link_is_invalid(plain: s3archivefs.SquashFS, path: str | bytes) -> None:
    assert_fails(OSError, errno.EINVAL, path, plain.readlink)


@pytest.mark.parametrize("path", ["/block", "/char", "/directory/fifo", "/directory/socket"])
def test_special_files_have_no_content_to_open(path: str) -> None:
    with open_fixture(FIXTURES["special"]) as fs:
        assert_fails(OSError, errno.ENXIO, path, fs.open)


def test_exists_is_false_where_a_path_leads_nowhere(links: s3archivefs.SquashFS) -> None:
    paths = ("/a", "/absolute", "/missing", "/dangling", "/self", "/a/b/target.txt/x")
    assert [links.exists(path) for path in paths] == [True, True, False, False, False, False]


# ---- The cache of directories --------------------------------------------------------------------

MAZE = (
    *(directory("a"), directory("a/b"), directory("a/b/c"), file("a/file"), file("a/b/c/file")),
    *(symlink("a/b/up", ".."), symlink("a/root", "/"), symlink("link", "a/b"), symlink("c", "c")),
    *(symlink("twice", "link/c"), symlink("thrice", "twice/.."), symlink("a/b/file", "c/file")),
    *(symlink("nowhere", "a/none"), symlink("through", "a/file/x"), symlink("dots", "./a/.//b/.")),
)
PARTS = ("", ".", "..", "a", "b", "c", "file", "up", "root", "link", "twice", "thrice", "nowhere")
PATHS = st.lists(st.sampled_from((*PARTS, "through", "dots", "none")), min_size=1, max_size=7).map(
    "/".join
)


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("maze"), MAZE)


def outcome(call: Callable[[], Inode | Stat]) -> object:
    """Kind and reference of what a call returns, or all that its error says."""
    try:
        inode = call()
    except (OSError, s3archivefs.SquashfsError) as error:
        return type(error), str(error), getattr(error, "filename", None)
    return inode.kind, inode.reference


@pytest.mark.property
@given(
    asked=st.lists(st.tuples(PATHS, st.booleans()), min_size=1, max_size=20),
    hops=st.sampled_from([1, 2, 3, 40]),
)
def test_whatever_was_asked_before_a_path_leads_where_the_long_way_does(
    maze: Path, asked: list[tuple[str, bool]], hops: int
) -> None:
    with s3archivefs.open(maze, limits=s3archivefs.Limits(symlink_hops=hops)) as fs:
        resolver = resolver_of(fs)
        for path, follow in asked:
            assert_as_the_long_way(resolver, path, follow=follow)


def assert_as_the_long_way(resolver: Resolver, path: str, *, follow: bool) -> None:
    expected = outcome(lambda: resolver.located(path.encode(), path, follow=follow).inode)
    for _ in range(2):
        assert outcome(lambda: resolver.stat(path, follow=follow)) == expected
        assert outcome(lambda: resolver.inode(path, follow=follow)) == expected
    with suppress(OSError, s3archivefs.LimitExceededError):
        place = resolver.content(path)
        assert place is None or place == resolver.inode(path).content
    expected = outcome(lambda: resolver.located(path.encode(), path).inode)
    if isinstance(expected, tuple) and expected[0] is s3archivefs.FileKind.FILE:
        error = os_error(errno.ENOTDIR, path)
        expected = type(error), str(error), path
    for _ in range(2):
        assert outcome(lambda: resolver.directory(path).directory.inode) == expected


@pytest.mark.parametrize("steps", range(9))
@pytest.mark.parametrize("path", ["/a/b/c/file", "/link/c/file", "/a/file/x", "/a/b/c/none"])
def test_what_takes_too_many_steps_does_so_again(maze: Path, path: str, steps: int) -> None:
    limits = s3archivefs.Limits(resolution_steps=steps)
    with s3archivefs.open(maze, limits=limits) as fs:
        resolver = resolver_of(fs)
        for top in ("", "a", "a/b", "a/b/c"):  # listings are decoded, which costs no more steps
            with suppress(OSError, s3archivefs.LimitExceededError):
                resolver.located(top.encode() + b"/x", "x")
        expected = outcome(lambda: resolver.located(path.encode(), path).inode)
        for _ in range(3):
            assert outcome(lambda: resolver.inode(path)) == expected
            assert outcome(lambda: resolver.stat(path)) == expected


def test_parents_are_those_of_the_directory_that_is_cached(maze: Path) -> None:
    with s3archivefs.open(maze) as fs:
        for _ in range(2):
            assert fs.stat("/link/c/../file", follow_symlinks=False) == fs.stat(
                "/a/b/file", follow_symlinks=False
            )
            assert fs.stat("/a/b/up/file") == fs.stat("/a/file")
            (entry,) = (each for each in fs.scandir("/link") if each.name == "up")
            assert entry.stat() == fs.stat("/a")


def test_a_path_that_is_too_long_to_be_cached_leads_on(maze: Path) -> None:
    with s3archivefs.open(maze) as fs:
        opened = fs.cached_bytes
        for _ in range(2):
            assert fs.stat("/." * 140_000 + "/a/b/../b/c/file") == fs.stat("/a/b/c/file")
        assert fs.cached_bytes < opened + 20_000


def test_a_walk_finds_each_directory_from_the_one_above() -> None:
    """Also where paths are longer than the operating system takes them."""
    deep = built.directory()
    for _ in range(40):
        deep = built.directory({b"d" * 250: deep})
    device = s3archivefs.BytesDevice(bytes(built.build(deep)))
    with s3archivefs.open(device, limits=s3archivefs.Limits(resolution_steps=20)) as fs:
        for depth in range(40):
            ((name, _),) = fs.scandir_stats("/".join(["d" * 250] * depth) or "/")
            assert name == "d" * 250


def test_spellings_of_a_path_are_weighed(maze: Path) -> None:
    limits = s3archivefs.Limits(cache_bytes=1 << 18)
    with s3archivefs.open(maze, limits=limits) as fs:
        for number in range(1, 1000):
            assert fs.exists("/a" + "/" * number + "file")
            assert fs.cached_bytes <= limits.cache_bytes
