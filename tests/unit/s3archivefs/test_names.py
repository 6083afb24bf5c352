"""Paths of any type, and the names that come back in it, whatever bytes they hold."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

import s3archivefs
from fixtures.tree import file
from tests.support.images.fixtures import FIXTURES, make_image, open_fixture

CONTENT = b"content of the file\n"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("names"), (file("a", CONTENT),))


# ---- Paths ---------------------------------------------------------------------------------------


def spellings(fs: s3archivefs.SquashFS) -> list[str | os.PathLike[str] | s3archivefs.Path]:
    return ["/a", PurePosixPath("/a"), Path("/a"), fs.path("/a"), fs.path("a")]


def test_each_spelling_of_a_path_leads_to_the_same(path: Path) -> None:
    with s3archivefs.open(path) as fs:
        for spelt in spellings(fs):
            assert fs.stat(spelt) == fs.stat("/a")
            assert fs.exists(spelt)
            assert fs.read_bytes(spelt) == CONTENT
            assert fs.listxattr(spelt) == []
            assert fs.path(spelt) == fs.path("/a")
            assert fs.path("/b").joinpath(spelt) == fs.path("/a")
            with fs.open(spelt) as file:
                assert file.name in {"/a", "a"}
            for ask in (fs.listdir, fs.scandir, fs.readlink, lambda each: list(fs.walk(each))):
                with pytest.raises(OSError, match=r"'/?a'"):
                    ask(spelt)
            with pytest.raises(OSError, match=r"'/?a'"):
                fs.getxattr(spelt, "user.none")


class Bytes:
    def __fspath__(self) -> bytes:
        return b"/"


def test_names_come_back_as_what_the_path_is_of(path: Path) -> None:
    with s3archivefs.open(path) as fs:
        for top in ("/", PurePosixPath("/"), fs.path("/")):
            assert fs.listdir(top) == ["a"]
            assert [entry.path for entry in fs.scandir(top)] == ["/a"]
            assert list(fs.walk(top)) == [("/", [], ["a"])]
        assert fs.listdir(Bytes()) == [b"a"]
        assert [entry.path for entry in fs.scandir(Bytes(), start=b"a")] == [b"/a"]
        assert list(fs.walk(Bytes())) == [(b"/", [], [b"a"])]


@pytest.mark.parametrize("wrong", [None, 5, ["/a"], bytearray(b"/a")])
def test_what_is_no_path_is_told_what_is_one(path: Path, wrong: object) -> None:
    with s3archivefs.open(path) as fs:
        calls = (fs.stat, fs.open, fs.exists, fs.listdir, fs.read_bytes, fs.readlink, fs.path)
        for call in calls:
            with pytest.raises(TypeError) as caught:
                call(cast("str", wrong))
            assert str(caught.value) == (
                "a path in an image is str, bytes, os.PathLike or s3archivefs.Path, not"
                f" {type(wrong).__name__}"
            )


# ---- Names ---------------------------------------------------------------------------------------


def test_names_come_in_the_type_of_the_path() -> None:
    with open_fixture(FIXTURES["non-utf8"]) as fs:
        names, raw = fs.listdir("/"), fs.listdir(b"/")
        assert [os.fsencode(name) for name in names] == raw
        assert b"d\xff" in raw
        assert "d\udcff" in names
        assert [entry.name for entry in fs.scandir("/")] == names
        assert [entry.path for entry in fs.scandir(b"/")] == [b"/" + name for name in raw]


@pytest.mark.parametrize("path", ["/d\udcff/\udc80\udc81", b"/d\xff/\x80\x81"])
def test_names_that_are_not_utf8_round_trip(path: str | bytes) -> None:
    with open_fixture(FIXTURES["non-utf8"]) as fs:
        assert fs.read_bytes(path) == b"not UTF-8\n"
        with fs.open(path) as opened:
            assert opened.name == path


def test_names_sort_by_bytes_not_by_characters() -> None:
    with open_fixture(FIXTURES["non-utf8"]) as fs:
        names = fs.listdir("/")
        assert names == sorted(names, key=os.fsencode) != sorted(names, key=_utf16)


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")
