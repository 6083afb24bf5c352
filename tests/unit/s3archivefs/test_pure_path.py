"""`Path` answers as `pathlib.PurePosixPath` does, without reading."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import Path
from tests.support.images.fixtures import FIXTURES, open_fixture

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = st.sampled_from(
    [
        *("a", "b", "ab.c", "a.tar.gz", ".hidden", ".hidden.txt", "a.", "..", ".", "", "...", "A"),
        *("/", "//", "/a", "a/b", "a//b/", "../a", "\udcff", "naïve.日本", "with space.txt", "*"),
    ]
)
PATHS = st.lists(PARTS, max_size=4).map("/".join)


class NoTree:
    """An image that may not be asked."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the image was asked for {name}")


IMAGE: Any = NoTree()


def both(path: str) -> tuple[Path, PurePosixPath]:
    return Path(IMAGE, path), PurePosixPath("/", one_slash(path))


def one_slash(path: str) -> str:
    """The path with one slash for those at its start, of which pathlib keeps two."""
    return "/" + path.lstrip("/") if path.startswith("/") else path


def answer(call: Callable[[], object]) -> object:
    """What the call returns, as text where it is a path; or the kind of error that it raises."""
    try:
        found = call()
    except (ValueError, TypeError, AttributeError) as error:
        return type(error)
    if isinstance(found, tuple | list):
        return [str(each) for each in found]
    return str(found) if isinstance(found, Path | PurePosixPath) else found


PROPERTIES = ("name", "stem", "suffix", "suffixes", "parts", "parent", "root", "drive")


@given(path=PATHS)
def test_parts_are_those_of_a_pure_path(path: str) -> None:
    ours, pure = both(path)
    for name in PROPERTIES:
        assert answer(lambda: getattr(ours, name)) == answer(lambda: getattr(pure, name))  # noqa: B023 -- called at once
    assert [str(each) for each in ours.parents] == [str(each) for each in pure.parents]
    assert str(ours) == str(pure) == ours.as_posix()
    assert repr(ours) == f"Path({str(pure)!r})"


@given(path=PATHS, others=st.lists(PATHS, max_size=3))
def test_joining_is_that_of_a_pure_path(path: str, others: list[str]) -> None:
    ours, pure = both(path)
    assert str(ours.joinpath(*others)) == str(pure.joinpath(*map(one_slash, others)))
    for other in others:
        for spelt in (other, PurePosixPath(other)):
            ours, pure = ours / spelt, pure / one_slash(other)
        assert str(ours) == str(pure)
        assert str(other / ours) == str(one_slash(other) / pure)


@given(path=PATHS, name=PARTS)
def test_other_names_and_suffixes_are_those_of_a_pure_path(path: str, name: str) -> None:
    ours, pure = both(path)
    for method in ("with_name", "with_suffix"):
        expected = answer(lambda: getattr(pure, method)(name))  # noqa: B023 -- called at once
        assert answer(lambda: getattr(ours, method)(name)) == expected  # noqa: B023 -- likewise


@given(path=PATHS, other=PATHS)
def test_relations_are_those_of_pure_paths(path: str, other: str) -> None:
    ours, pure = both(path)
    our_other, pure_other = both(other)
    relative = answer(lambda: pure.relative_to(pure_other))
    assert answer(lambda: ours.relative_to(our_other)) == relative
    assert ours.is_relative_to(our_other) == pure.is_relative_to(pure_other)
    assert (ours == our_other) == (pure == pure_other)
    assert (ours < our_other) == (pure < pure_other)
    if ours == our_other:
        assert hash(ours) == hash(our_other)


@given(path=PATHS, pattern=st.sampled_from(["*", "*.c", "a/*", "/*", "b", "*.tar.*", "[ab]"]))
def test_matching_is_that_of_a_pure_path(path: str, pattern: str) -> None:
    ours, pure = both(path)
    assert ours.match(pattern) == pure.match(pattern)


@given(
    path=PATHS,
    other=PATHS,
    pattern=st.sampled_from(["*", "*.C", "/a/*", "/**", "/**/*.c", "**/b", "//a", "/A"]),
    case_sensitive=st.sampled_from([None, True, False]),
    walk_up=st.booleans(),
)
def test_methods_take_what_those_of_the_running_python_take(  # which has some of it, or nothing
    *, path: str, other: str, pattern: str, case_sensitive: bool | None, walk_up: bool
) -> None:
    ours, pure = both(path)
    pairs: list[list[Any]] = [[ours, pattern, other], [pure, one_slash(pattern), both(other)[1]]]
    for call in (
        lambda path, pattern, _: path.match(pattern, case_sensitive=case_sensitive),
        lambda path, pattern, _: path.full_match(pattern),
        lambda path, pattern, _: path.full_match(pattern, case_sensitive=case_sensitive),
        lambda path, _, other: path.relative_to(other, walk_up=walk_up),
    ):
        mine, expected = (answer(partial(call, *pair)) for pair in pairs)
        assert mine == expected
    assert hasattr(ours, "full_match") == hasattr(pure, "full_match")


@given(path=PATHS, slashes=st.integers(1, 4), more=st.integers(1, 4))
def test_any_number_of_leading_slashes_is_one(path: str, slashes: int, more: int) -> None:
    name = path.lstrip("/")
    spelt = "/" * slashes + name
    ours, other = Path(IMAGE, spelt), Path(IMAGE, "/" * more + name)
    assert (ours, str(ours), hash(ours)) == (other, str(other), hash(other))
    assert ours == Path(IMAGE, name) == Path(IMAGE, "/x") / spelt
    assert (ours.anchor, ours.parts[0]) == ("/", "/")
    assert all(each.anchor == "/" for each in ours.parents)
    for top in ("/" * more, other, str(other), PurePosixPath("/" * more + name)):
        assert ours.is_relative_to(top)
        assert not ours.relative_to(top).is_absolute()
    assert ours.match("/" * more + "*") == Path(IMAGE, name).match("/*")


def test_paths_of_one_image_compare_and_sort_and_those_of_two_differ() -> None:
    with open_fixture(FIXTURES["gzip"]) as one, open_fixture(FIXTURES["gzip"]) as two:
        assert one.path("/docs") == one.path("docs/") == one.path("/docs//.")
        assert one.path("/docs") != two.path("/docs")
        assert one.path("/docs") != PurePosixPath("/docs")
        assert one.path("/docs") != "/docs"
        assert len({one.path("/a"), one.path("a"), two.path("a"), one.path("b")}) == 3
        assert sorted([one.path("/b"), one.path("/a")]) == [one.path("/a"), one.path("/b")]
        with pytest.raises(TypeError):
            _ = one.path("/a") < "/b"
