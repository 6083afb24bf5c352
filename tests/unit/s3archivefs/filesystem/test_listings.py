"""Listings, walks, searches and patterns: what fsspec's own way finds, read as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fsspec import AbstractFileSystem
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import BytesDevice
from s3archivefs.filesystem import ArchiveFileSystem
from tests.support.images.fixtures import make_image
from tests.unit.s3archivefs.filesystem.conftest import CONTENTS, LATIN

if TYPE_CHECKING:
    from pathlib import Path


class Plain(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """fsspec's own way to walk, search and match, over the listings of another filesystem."""

    cachable = False

    def __init__(self, fs: ArchiveFileSystem) -> None:
        super().__init__()
        self._fs = fs

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:  # noqa: ANN401, FBT001, FBT002 -- fsspec's
        return self._fs.ls(path, detail)

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 -- likewise
        return self._fs.info(path)


@pytest.fixture(scope="module")
def both(image: Path) -> tuple[ArchiveFileSystem, Plain]:
    fs = ArchiveFileSystem(str(image))
    return fs, Plain(fs)


TOPS = ["", "a", "a/deep", "many", "nothing", "missing", "a/both", "to directory", "to file"]
TOPS += ["pipe", "nowhere", "loop"]


def test_ls_lists_names_or_details(fs: ArchiveFileSystem) -> None:
    names = ["a/blocks", "a/both", "a/deep", "a/empty", "a/second"]
    assert fs.ls("a", detail=False) == fs.listdir("/a/", detail=False) == names
    assert fs.ls("a") == [fs.info(name) for name in names]
    assert fs.ls("nothing") == []
    assert fs.ls("a/both") == [fs.info("a/both")]
    assert fs.ls("a/both", detail=False) == ["a/both"]


def test_ls_of_the_root_has_every_kind(fs: ArchiveFileSystem) -> None:
    assert {info["name"]: info["type"] for info in fs.ls("")} == {
        "a": "directory",
        "a.b": "file",
        LATIN: "file",
        "large": "file",
        "lines": "file",
        "loop": "other",
        "many": "directory",
        "nothing": "directory",
        "nowhere": "other",
        "pipe": "other",
        "to directory": "other",
        "to file": "file",
    }


def test_listings_and_info_agree_but_on_symlinks_that_a_walk_must_not_enter(
    fs: ArchiveFileSystem,
) -> None:
    for top in ("", "a", "a/deep", "many"):
        for info in fs.ls(top):
            if info["name"] not in {"loop", "nowhere", "to directory", "a/deep/up"}:
                assert info == fs.info(info["name"])


def test_find_finds_all_files(fs: ArchiveFileSystem) -> None:
    links = {"a/deep/up", "loop", "nowhere", "pipe", "to directory", "to file"}
    assert fs.find("") == sorted({*CONTENTS} | links)
    assert fs.find("a/both") == ["a/both"]
    assert fs.find("missing") == []


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("maxdepth", [None, 1, 2, 3])
@pytest.mark.parametrize("withdirs", [False, True])
def test_find_and_du_agree_with_fsspec(
    both: tuple[ArchiveFileSystem, Plain], *, top: str, maxdepth: int | None, withdirs: bool
) -> None:
    fs, plain = both
    arguments: dict[str, Any] = {"maxdepth": maxdepth, "withdirs": withdirs}
    assert fs.find(top, **arguments) == plain.find(top, **arguments)
    found = fs.find(top, detail=True, **arguments)
    assert [*found] == fs.find(top, **arguments)
    if not fs.isfile(top):
        assert found == plain.find(top, detail=True, **arguments)
    sizes = fs.du(top, total=False, **arguments)
    assert sizes == {name: info["size"] for name, info in found.items()}
    assert fs.du(top, **arguments) == sum(sizes.values())


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("maxdepth", [None, 1, 2])
@pytest.mark.parametrize("topdown", [True, False])
@pytest.mark.parametrize("detail", [False, True])
def test_walk_agrees_with_fsspec(
    both: tuple[ArchiveFileSystem, Plain],
    *,
    top: str,
    maxdepth: int | None,
    topdown: bool,
    detail: bool,
) -> None:
    fs, plain = both
    walked = fs.walk(top, maxdepth, topdown, detail=detail)
    assert [*walked] == [*plain.walk(top, maxdepth, topdown, detail=detail)]


def test_a_walk_enters_only_what_the_caller_leaves(fs: ArchiveFileSystem) -> None:
    visited = []
    for here, directories, _ in fs.walk(""):
        visited.append(here)
        if not here:
            assert directories == ["a", "many", "nothing"]
            directories[:] = ["a"]
    assert visited == ["", "a", "a/deep", "a/deep/er"]


def test_a_walk_hands_its_errors_to_whom_they_are_for(fs: ArchiveFileSystem) -> None:
    assert [*fs.walk("missing")] == []
    with pytest.raises(FileNotFoundError):
        [*fs.walk("missing", on_error="raise")]
    errors: list[OSError] = []
    assert [*fs.walk("missing", on_error=errors.append)] == []
    assert [type(each) for each in errors] == [FileNotFoundError]
    for maxdepth in (0, -1):
        for call in (fs.find, fs.glob):
            with pytest.raises(ValueError, match="maxdepth must be at least 1"):
                call("a/*", maxdepth=maxdepth)


def test_a_walk_reads_as_it_goes_on(image: Path) -> None:
    fs = ArchiveFileSystem(BytesDevice(image.read_bytes()))
    walk = fs.walk("")
    next(walk)
    fs.image.close()
    with pytest.raises(ValueError, match="closed"):
        next(walk)


PATTERNS = [
    *("*", "**", "a/*", "a/**", "a*", "a/*/", "*/", "**/", "**/e*", "a/**/leaf", "many/0?"),
    *("many/[0-2]*", "many/[!0-2]*", "*/*/*", "a/deep/*/*", "missing/*", "a.b", "a", "a/", "to*"),
    *("to directory/*", "to directory/**", "*.b", "a/b[l]ocks", "[]", "nowhere", "**/up"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("maxdepth", [None, 1, 2])
def test_glob_agrees_with_fsspec(
    both: tuple[ArchiveFileSystem, Plain], pattern: str, maxdepth: int | None
) -> None:
    fs, plain = both
    assert fs.glob(pattern, maxdepth) == plain.glob(pattern, maxdepth)
    assert fs.glob(pattern, maxdepth, detail=True) == plain.glob(pattern, maxdepth, detail=True)


@pytest.mark.property
@given(
    st.lists(st.sampled_from(["*", "**", "?", "a", "[a-m]*", "d*", "er"]), min_size=1, max_size=4)
)
def test_any_pattern_agrees_with_fsspec(
    both: tuple[ArchiveFileSystem, Plain], parts: list[str]
) -> None:
    fs, plain = both
    pattern = "/".join(parts)
    assert fs.glob(pattern) == plain.glob(pattern)


def test_an_archive_without_members_is_an_empty_directory(tmp_path: Path) -> None:
    with ArchiveFileSystem(str(make_image(tmp_path, ()))) as fs:
        assert fs.find("") == fs.ls("") == fs.glob("**") == []
        assert [*fs.walk("")] == [("", [], [])]
        assert fs.cat("", recursive=True) == {}
        assert fs.isdir("")
        fs.get("", str(tmp_path / "copy"), recursive=True)
    assert [*tmp_path.glob("copy/*")] == []
