"""`Path.glob` and `rglob` find what `pathlib` finds on disk, at a bounded cost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path as RealPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, file, symlink
from s3archivefs import browsing, walking
from s3archivefs.directory import Counter, Directory, uncounted
from s3archivefs.runs import Entry
from tests.support.images.crowds import pack_crowd
from tests.support.images.drafts import draft
from tests.support.images.fixtures import CountingDevice, make_image
from tests.support.images.trees import write_tree

BASE = "one/two/three/four"
TREE = (
    *(directory(BASE[: len(BASE[:end])]) for end in (3, 7, 13, 18)),
    *(directory(f"{BASE}/{name}") for name in ("a", "a/b", "a/b/a", ".hidden", ".hidden/a", "b.d")),
    *(
        file(f"{BASE}/{name}")
        for name in (
            *("a/x.txt", "a/b/x.txt", "a/b/a/.x.txt", "a/b/[x]", ".hidden/x.txt", ".dot", "x.txt"),
            *("b.d/a", "b.d/**", "naïve", "two\nlines"),
        )
    ),
    symlink(f"{BASE}/dangling", "nowhere"),
    symlink(f"{BASE}/loop", "loop"),
    symlink(f"{BASE}/to-file", "a/x.txt"),
    symlink(f"{BASE}/to-a", "a"),
    symlink(f"{BASE}/a/here", "."),
    symlink(f"{BASE}/up", ".."),
)
PARTS = st.sampled_from(
    [
        *("*", "**", "**", "a", "b", "x.txt", "*.txt", "?", ".*", "[ab]", "[!a]*", "*a*", "[[]x]"),
        *("dangling", "loop", "to-*", "to-a", "here", "up", "..", "na*", "two*", "missing", "*.d"),
        *(".", "", "a**", "***", "[", "b.d"),
    ]
)
PATTERNS = st.lists(PARTS, min_size=1, max_size=4).filter(lambda parts: parts.count("..") < 3)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealPath:
    return write_tree(TREE, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> RealPath:
    return make_image(tmp_path_factory.mktemp("image"), TREE)


@pytest.fixture(scope="module")
def fs(image: RealPath) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(image) as opened:
        yield opened


def found(place: RealPath | s3archivefs.Path, method: str, pattern: str) -> list[str] | str:
    """The paths that match, or the kind of the error."""
    try:
        return [str(each) for each in getattr(place, method)(pattern)]
    except NotImplementedError as error:
        return type(error).__name__
    except (ValueError, IndexError, AttributeError):  # the last two until 3.13, for "." and "./"
        return "ValueError"


@pytest.mark.property
@given(parts=PATTERNS, method=st.sampled_from(["glob", "rglob"]))
def test_finds_what_pathlib_finds(
    fs: s3archivefs.SquashFS, real: RealPath, parts: list[str], method: str
) -> None:
    assert_as_pathlib(fs, real, method, "/".join(parts))


@pytest.mark.parametrize("method", ["glob", "rglob"])
@pytest.mark.parametrize("pattern", ["", ".", "./", "a/**", "a/**/.", "a/**/./", "**/", "a/."])
def test_a_dot_or_a_slash_at_the_end_means_what_it_does_in_pathlib(
    fs: s3archivefs.SquashFS, real: RealPath, pattern: str, method: str
) -> None:
    assert_as_pathlib(fs, real, method, pattern)


def assert_as_pathlib(fs: s3archivefs.SquashFS, real: RealPath, method: str, pattern: str) -> None:
    theirs = found(real / BASE, method, pattern)
    ours = found(fs.path(BASE), method, pattern)
    if isinstance(theirs, str):
        assert ours == theirs
    else:
        assert sorted(ours) == sorted({each.removeprefix(str(real)) for each in theirs})


@pytest.mark.parametrize("pattern", ["", ".", "/a", "/", "/*"])
def test_what_is_no_pattern_is_refused(fs: s3archivefs.SquashFS, pattern: str) -> None:
    with pytest.raises((ValueError, NotImplementedError), match="pattern"):
        fs.path("/").glob(pattern)


def test_finds_nothing_below_what_is_no_directory(fs: s3archivefs.SquashFS) -> None:
    for path in ("/missing", f"/{BASE}/x.txt", f"/{BASE}/dangling", f"/{BASE}/loop"):
        assert list(fs.path(path).glob("*")) == []
        assert list(fs.path(path).rglob("*")) == []


def test_order_is_that_of_the_bytes_depth_first(fs: s3archivefs.SquashFS) -> None:
    names = [str(each).removeprefix(f"/{BASE}/") for each in fs.path(BASE).rglob("*.txt")]
    assert names == [".hidden/x.txt", "a/b/a/.x.txt", "a/b/x.txt", "a/x.txt", "x.txt"]


def test_recursion_finds_files_where_pathlib_does(fs: s3archivefs.SquashFS) -> None:
    names = {each.name for each in fs.path(BASE).glob("a/**")}
    assert ("x.txt" in names) is (sys.version_info >= (3, 13))
    assert {"a", "b"} <= names


# ---- What it costs -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> RealPath:
    """30 directories, each with links to the root."""
    tree = [directory(f"d{number}") for number in range(30)]
    tree += [symlink(f"d{number}/root", "..") for number in range(30)]
    return make_image(tmp_path_factory.mktemp("linked"), tuple(tree))


@pytest.mark.parametrize(
    "pattern",
    [
        *("/".join(["**"] * 40), "/".join(["**"] * 9 + ["*"] * 2 + ["**"] * 9 + ["x"])),
        *("/".join(["**", "*"] * 9) + "/x", "/".join(["**", "d1"] * 9)),
        *("/".join(["*"] * 12) + "/x", "/".join(["*", "root"] * 8) + "/x"),
        *("/".join(["**", ".."] * 8) + "/x", "/".join(["*", ".."] * 9) + "/x"),
    ],
)
def test_no_pattern_lists_a_directory_more_often_than_it_has_parts(
    linked: RealPath, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    most = 2 * 31 * len(pattern.split("/"))
    listed: list[object] = []
    entries = walking.entries

    def noted(image: Any, place: Any, path: Any, start: bytes) -> object:  # noqa: ANN401 -- passed on
        listed.append(path)
        assert len(listed) <= most  # here, as without a bound it would go on for ever
        return entries(image, place, path, start)

    monkeypatch.setattr(browsing, "entries", noted)
    # Since Python 3.13 a pattern that ends in ** matches what is no directory, here the links, too.
    matches = 61 if sys.version_info >= (3, 13) and pattern.endswith("**") else 31
    with s3archivefs.open(linked) as fs:
        assert len(list(fs.path("/").glob(pattern))) <= matches
    assert listed


def test_a_name_that_is_spelt_out_is_looked_up_and_no_directory_listed(
    tmp_path: RealPath,
) -> None:
    names = (f"{number:06}" for number in range(20_000))
    many = pack_crowd(tmp_path / "many.sqfs", "many", names)
    device = CountingDevice(many.read_bytes())
    with s3archivefs.open(device) as fs:
        device.forget()
        assert [str(each) for each in fs.path("/").glob("*/012345")] == ["/many/012345"]
        assert sum(length for _, length in device.reads) < 60_000


def test_directories_that_contain_each_other_end_it(tmp_path: RealPath) -> None:
    image = draft(tmp_path, (directory("outer"), directory("outer/inner")))
    with image.open() as fs:
        outer, inner = fs.stat("/outer"), fs.stat("/outer/inner")
    image.lead(b"inner", inner, outer)
    with image.open() as fs:
        for pattern in ("**/x", "*", "**"):
            with pytest.raises(s3archivefs.CorruptImageError, match="in the tree twice"):
                list(fs.path("/").rglob(pattern))


def test_depth_is_limited_as_that_of_a_walk(image: RealPath) -> None:
    limits = s3archivefs.Limits(walk_depth=3)
    with (
        s3archivefs.open(image, limits=limits) as fs,
        pytest.raises(s3archivefs.LimitExceededError, match="walk_depth"),
    ):
        list(fs.path("/").rglob("x"))


def test_each_way_up_is_resolved_from_where_it_starts(
    image: RealPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    get = Directory.get

    def counted(self: Directory, name: bytes, count: Counter = uncounted) -> Entry | None:
        nonlocal steps
        steps += 1
        return get(self, name, count)

    monkeypatch.setattr(Directory, "get", counted)
    taken: list[int] = []
    with s3archivefs.open(image) as fs:
        for way in ("a/../", "to-a/../", "a/here/../"):
            for times in (20, 40):
                steps = 0
                found = list(fs.path(BASE).glob(way * times + "x.txt"))
                assert [str(path) for path in found] == [f"/{BASE}/{way * times}x.txt"]
                taken.append(steps)
            once, twice = taken[-2:]
            assert twice <= 2 * once


def test_a_pattern_is_no_bytes(image: RealPath) -> None:
    with s3archivefs.open(image) as fs:
        for glob in (fs.path().glob, fs.path().rglob):
            with pytest.raises(TypeError, match=r"a pattern is text, not bytes: b'\*'"):
                list(glob(b"*"))  # type: ignore[arg-type]
