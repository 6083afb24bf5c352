"""Walks: from the top down as `os.walk`, in little memory, which verification shares."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import s3archivefs
from fixtures.tree import directory
from tests.support.images.fixtures import FIXTURES, Fixture, make_image, open_fixture


@pytest.fixture(scope="module")
def plain() -> Iterator[s3archivefs.SquashFS]:
    with open_fixture(FIXTURES["gzip"]) as fs:
        yield fs


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_walk_goes_as_os_walk_does(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        walked = list(fs.walk("/"))
    expected: dict[str, tuple[list[str], list[str]]]
    expected = {each.path: ([], []) for each in fixture.tree if each.kind == "directory"}
    links_to_directories = (
        {"/directory", "/directory-slash"} if fixture.name == "symlinks" else set()
    )
    for each in fixture.tree[1:]:
        top, _, name = each.path.rpartition("/")
        is_directory = each.kind == "directory" or each.path in links_to_directories
        expected[top or "/"][0 if is_directory else 1].append(name)
    assert {top: (sorted(dirs), sorted(files)) for top, dirs, files in walked} == {
        top: (sorted(dirs), sorted(files)) for top, (dirs, files) in expected.items()
    }
    tops = [top for top, _, _ in walked]
    assert tops[0] == "/"
    assert len(tops) == len(set(tops))
    for number, top in enumerate(tops[1:], 1):
        assert (top.rpartition("/")[0] or "/") in tops[:number]  # from the top down


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_walk_from_the_bottom_up_has_each_directory_behind_all_below(fixture: Fixture) -> None:
    with open_fixture(fixture) as fs:
        assert [*fs.walk("/", topdown=False)] == from_the_bottom_up([*fs.walk("/")], "/")
        assert [*fs.walk(b"/", topdown=False)] == from_the_bottom_up([*fs.walk(b"/")], b"/")
        steps = [(str(path), *lists) for path, *lists in fs.path().walk(top_down=False)]
        assert steps == [
            *from_the_bottom_up([(str(path), *lists) for path, *lists in fs.path().walk()], "/")
        ]


def from_the_bottom_up(steps: list[Any], top: str | bytes) -> list[Any]:
    """The steps of a walk from the top down in the order of os.walk with topdown=False."""
    by_path = {step[0]: step for step in steps}
    slash = "/" if isinstance(top, str) else b"/"

    def below(path: Any) -> Iterator[Any]:  # noqa: ANN401 -- of either type
        step = by_path[path]
        for name in step[1]:
            inner = path + name if path.endswith(slash) else path + slash + name
            if inner in by_path:  # and no symlink
                yield from below(inner)
        yield step

    return [*below(top)]


def test_walk_enters_only_what_is_left_in_the_list(plain: s3archivefs.SquashFS) -> None:
    tops = []
    for top, dirs, _ in plain.walk("/"):
        tops.append(top)
        if "deep" in dirs:
            dirs.remove("deep")
    assert tops == ["/", "/docs", "/empty-directory"]


def test_walk_starts_anywhere_in_either_type(plain: s3archivefs.SquashFS) -> None:
    assert list(plain.walk("/docs/")) == [
        ("/docs/", ["deep"], ["guide.txt"]),
        ("/docs/deep", [], ["page.txt"]),
    ]
    assert list(plain.walk(b"docs")) == [
        (b"docs", [b"deep"], [b"guide.txt"]),
        (b"docs/deep", [], [b"page.txt"]),
    ]


def test_walk_stops_at_the_depth_that_is_allowed() -> None:
    image = FIXTURES["gzip"].image
    with s3archivefs.open(image, limits=s3archivefs.Limits(walk_depth=2)) as fs:
        assert "/docs/deep" in [top for top, _, _ in fs.walk("/")]
    with s3archivefs.open(image, limits=s3archivefs.Limits(walk_depth=1)) as fs:
        with pytest.raises(s3archivefs.LimitExceededError, match="walk_depth"):
            list(fs.walk("/"))
        assert [top for top, _, _ in fs.walk("/docs")] == ["/docs", "/docs/deep"]


# ---- Memory --------------------------------------------------------------------------------------

COUNT = 3000
SHAPES = {
    "side by side": [f"d{number:05}" for number in range(COUNT)],
    "in thirty others": [
        name
        for top in range(30)
        for name in (f"d{top:02}", *(f"d{top:02}/e{number:02}" for number in range(99)))
    ],
}
WORK: dict[str, Callable[[s3archivefs.SquashFS], Iterable[object]]] = {
    "walk": lambda fs: fs.walk("/"),
    "verify": lambda fs: fs.verify(),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("many")
    return {
        name: make_image(place, tuple(map(directory, names)), name=name.replace(" ", "-"))
        for name, names in SHAPES.items()
    }


@pytest.mark.parametrize(
    ("shape", "work", "bytes_each"),
    [
        ("side by side", "walk", 200),
        ("in thirty others", "walk", 120),
        ("side by side", "verify", 300),
        ("in thirty others", "verify", 170),
    ],
)
def test_memory_for_each_directory(
    images: dict[str, Path], shape: str, work: str, bytes_each: int
) -> None:
    # The first time fills the cache: the second adds nothing to it.
    with s3archivefs.open(images[shape], limits=s3archivefs.Limits(cache_bytes=1 << 20)) as fs:
        deque(WORK[work](fs), maxlen=0)
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            deque(WORK[work](fs), maxlen=0)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    at_once = 1 << 18 if sys.version_info >= (3, 13) else 0  # measured: 130 to 210 KB, once
    assert (most - before - at_once) / COUNT < bytes_each
