"""`Path` in an image does as `pathlib.Path` does in the same tree on disk."""

from __future__ import annotations

import importlib.resources
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path as RealPath
from typing import cast

import pytest

import s3archivefs
from fixtures.tree import directory, file, symlink
from s3archivefs import FileKind, Path
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, CountingDevice, make_image, open_fixture
from tests.support.images.trees import write_tree

TREE = (
    directory("directory"),
    file("directory/b.txt", b"b\n"),
    directory("directory/deep"),
    file("directory/deep/c", b"c\n"),
    file("directory/a.txt", "Zeile für Zeile\r\n日本\rend\n".encode()),
    file("empty"),
    file("latin", "naïve\n".encode("latin-1")),
    symlink("dangling", "nowhere"),
    symlink("loop", "loop"),
    symlink("to-directory", "directory"),
    symlink("to-file", "directory/a.txt"),
    file("\udcff\udc80", b"bytes\n"),
)
EVERYWHERE = (
    *("/", "/directory", "/directory/b.txt", "/directory/deep", "/empty", "/missing", "/dangling"),
    *("/loop", "/to-directory", "/to-directory/a.txt", "/to-file", "/to-file/x", "/\udcff\udc80"),
    *("/directory/../empty", "/to-directory/..", "/empty/.."),
)
each_path = pytest.mark.parametrize("path", EVERYWHERE)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealPath:
    return write_tree(TREE, tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3archivefs.SquashFS]:
    with s3archivefs.open(make_image(tmp_path_factory.mktemp("image"), TREE)) as opened:
        yield opened


@each_path
def test_what_a_path_is_is_what_the_file_system_says(
    fs: s3archivefs.SquashFS, real: RealPath, path: str
) -> None:
    ours, theirs = fs.path(path), RealPath(f"{real}{path}")
    assert ours.exists() == os.path.exists(theirs)  # noqa: PTH110 -- a loop is false there
    assert ours.exists(follow_symlinks=False) == os.path.lexists(theirs)
    assert ours.is_dir() == theirs.is_dir()
    assert ours.is_file() == theirs.is_file()
    assert ours.is_symlink() == theirs.is_symlink()


def test_what_no_name_can_hold_is_not_there_as_on_disk(
    fs: s3archivefs.SquashFS, real: RealPath
) -> None:
    for name in ("\ud800", "a\0b", "x" * 300):
        ours, theirs = fs.path(name), f"{real}/{name}"
        assert os.path.exists(theirs) is ours.exists() is fs.exists(name) is False  # noqa: PTH110 -- likewise
        assert os.path.isdir(theirs) is ours.is_dir() is False  # noqa: PTH112 -- likewise
        assert os.path.islink(theirs) is ours.is_symlink() is False  # noqa: PTH114 -- likewise


@each_path
def test_faults_are_those_of_the_file_system(
    fs: s3archivefs.SquashFS, real: RealPath, path: str
) -> None:
    ours, theirs = fs.path(path), RealPath(f"{real}{path}")
    for name in ("stat", "lstat", "read_bytes", "iterdir", "readlink"):
        assert fault(getattr(ours, name)) == fault(getattr(theirs, name)), name


def fault(call: Callable[[], object]) -> tuple[type[OSError], int | None] | None:
    """The kind and the number of the error that a call or its iteration raises."""
    try:
        found = call()
        if isinstance(found, Iterator):
            list(found)
    except OSError as error:
        return type(error), error.errno
    return None


def test_iterdir_gives_paths_in_byte_order(fs: s3archivefs.SquashFS, real: RealPath) -> None:
    found = list(fs.path().iterdir())
    assert all(isinstance(each, Path) for each in found)
    names = [os.fsencode(each.name) for each in found]
    assert names == sorted(os.fsencode(each) for each in os.listdir(real))  # noqa: PTH208 -- no Path
    assert [str(each) for each in fs.path("directory").iterdir()] == [
        *("/directory/a.txt", "/directory/b.txt", "/directory/deep"),
    ]


def test_iterdir_raises_when_it_is_called_as_scandir_does(fs: s3archivefs.SquashFS) -> None:
    with pytest.raises(NotADirectoryError):
        fs.path("/empty").iterdir()


def test_walk_goes_as_os_walk_where_symlinks_are_files(
    fs: s3archivefs.SquashFS, real: RealPath
) -> None:
    expected = {}
    for top, directories, files in os.walk(real):
        links = [name for name in directories if RealPath(top, name).is_symlink()]
        here = "/" + os.path.relpath(top, real).removeprefix(".")
        expected[here] = (sorted({*directories} - {*links}), sorted([*files, *links]))
    found = list(fs.path().walk())
    assert {str(top): (dirs, sorted(files)) for top, dirs, files in found} == expected
    assert [str(top) for top, _, _ in found] == ["/", "/directory", "/directory/deep"]
    assert [str(top) for top, _, _ in fs.path("to-directory").walk()] == [
        *("/to-directory", "/to-directory/deep"),
    ]


def test_walk_enters_only_what_is_left_in_the_list(fs: s3archivefs.SquashFS) -> None:
    tops = []
    for top, directories, _ in fs.path().walk():
        tops.append(str(top))
        directories.clear()
    assert tops == ["/"]


def test_walk_ends_where_a_directory_contains_itself(tmp_path: RealPath) -> None:  # F7
    image = draft(tmp_path, (directory("outer"), directory("outer/inner")))
    with image.open() as fs:
        outer, inner = fs.stat("/outer"), fs.stat("/outer/inner")
    image.lead(b"inner", inner, outer)
    with image.open() as fs:
        assert fs.path("/outer/inner/inner/inner").is_dir()
        for walk in (fs.path().walk(), fs.path("outer").walk(), fs.walk("/")):
            with pytest.raises(s3archivefs.CorruptImageError, match="in the tree twice"):
                list(walk)


def test_walk_stops_at_the_depth_that_is_allowed(fs: s3archivefs.SquashFS) -> None:
    shallow = s3archivefs.Limits(walk_depth=1)
    with (
        s3archivefs.open(FIXTURES["gzip"].image, limits=shallow) as limited,
        pytest.raises(s3archivefs.LimitExceededError, match="walk_depth"),
    ):
        list(limited.path().walk())


# ---- Content -------------------------------------------------------------------------------------


def test_opens_text_by_default_and_bytes_on_demand(fs: s3archivefs.SquashFS) -> None:
    path = fs.path("directory/a.txt")
    for mode in ("r", "rt"):
        with path.open(mode) as text:
            assert isinstance(text, io.TextIOWrapper)
            assert text.encoding == "utf-8"
            assert text.readline() == "Zeile für Zeile\n"
        assert text.closed
    with path.open("rb") as raw:
        assert isinstance(raw, s3archivefs.SquashFile)
        assert raw.read(5) == b"Zeile"
    assert raw.closed


@pytest.mark.parametrize(
    "mode", ["w", "wb", "a", "x", "r+", "r+b", "rb+", "", "rtb", "rr", "U", "rw"]
)
def test_other_modes_are_refused(fs: s3archivefs.SquashFS, mode: str) -> None:
    with pytest.raises(ValueError, match="read only"):
        fs.path("empty").open(mode)


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
def test_newlines_are_those_of_open(
    fs: s3archivefs.SquashFS, real: RealPath, newline: str | None
) -> None:
    with (
        fs.path("directory/a.txt").open(newline=newline) as ours,
        (real / "directory/a.txt").open(newline=newline, encoding="utf-8") as theirs,
    ):
        assert ours.readlines() == theirs.readlines()


def test_text_is_utf8_unless_said(fs: s3archivefs.SquashFS) -> None:
    assert fs.path("directory/a.txt").read_text() == "Zeile für Zeile\n日本\nend\n"
    assert fs.path("latin").read_text("latin-1") == "naïve\n"
    assert fs.path("latin").read_text(errors="replace") == "na\ufffdve\n"
    assert fs.path("latin").read_text(encoding="utf-8", errors="surrogateescape") == "na\udcefve\n"
    with pytest.raises(UnicodeDecodeError):
        fs.path("latin").read_text()


def test_text_is_utf8_whatever_the_locale() -> None:
    program = (
        "import sys, s3archivefs\n"
        "with s3archivefs.open(sys.argv[1]) as fs:\n"
        "    print(ascii(fs.path('na\\u00efve').read_text()))"
    )
    image = str(FIXTURES["non-utf8"].image)
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program, image],
        env=locale,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == repr("Latin, two bytes of UTF-8\n") + "\n"


def test_bytes_are_read_whole(fs: s3archivefs.SquashFS) -> None:
    for node in TREE:
        if node.kind == "file":
            assert fs.path(node.path).read_bytes() == node.content
    assert fs.path("to-file").read_bytes() == fs.path("to-directory/a.txt").read_bytes()


def test_attributes_are_those_of_the_image(fs: s3archivefs.SquashFS) -> None:
    assert fs.path("to-file").stat() == fs.stat("/directory/a.txt")
    assert fs.path("to-file").lstat() == fs.stat("/to-file", follow_symlinks=False)
    assert fs.path("to-file").lstat().kind is FileKind.SYMLINK
    assert fs.path("to-file").readlink() == "directory/a.txt"
    assert fs.path("loop").readlink() == "loop"


def test_attributes_have_the_names_of_the_file_system_too(
    fs: s3archivefs.SquashFS, real: RealPath
) -> None:
    for place in real.rglob("*"):
        ours, theirs = fs.path(place.relative_to(real)).lstat(), place.lstat()
        assert (ours.st_mode, ours.st_rdev) == (theirs.st_mode, theirs.st_rdev)
        if not place.is_dir():  # which each system counts in its own way
            assert (ours.st_size, ours.st_nlink) == (theirs.st_size, theirs.st_nlink)
        assert (ours.st_uid, ours.st_gid, ours.st_mtime) == (ours.uid, ours.gid, ours.mtime)
        assert ours.st_ino == ours.inode_number


def test_names_that_are_not_utf8_are_escaped(fs: s3archivefs.SquashFS) -> None:
    (found,) = (each for each in fs.path().iterdir() if each.name.startswith("\udcff"))
    assert found.read_bytes() == b"bytes\n"
    assert os.fsencode(str(found)) == b"/\xff\x80"


def test_making_a_path_reads_nothing(real: RealPath) -> None:
    device = CountingDevice(FIXTURES["gzip"].image.read_bytes())
    with s3archivefs.open(device) as fs:
        device.forget()
        _ = (fs.path("/nowhere") / "at" / "all").with_suffix(".txt").parent
        assert device.reads == []


def test_closed_image_refuses_its_paths() -> None:
    with open_fixture(FIXTURES["gzip"]) as fs:
        path = fs.path("docs")
    for call in (path.stat, path.exists, path.is_dir, path.iterdir, path.read_bytes):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_damage_is_never_taken_for_absence(tmp_path: RealPath) -> None:
    mtime = 1_234_567_801
    image = draft(tmp_path, (file("a", mtime=mtime),))
    image.put(image.inode(mtime), "H", 99)
    with image.open() as fs:
        path = fs.path("a")
        calls: list[Callable[[], bool]] = [path.exists, path.is_file, lambda: fs.exists("a")]
        for call in calls:
            with pytest.raises(s3archivefs.CorruptImageError, match="type 99"):
                call()


# ---- As a resource of a package ------------------------------------------------------------------


def names_below(place: Traversable) -> list[str]:
    """All names below a place, by the protocol's methods alone."""
    names = []
    for each in sorted(place.iterdir(), key=lambda each: each.name):
        names.append(each.name)
        if each.is_dir():
            names += names_below(each)
    return names


def test_path_is_traversable(fs: s3archivefs.SquashFS) -> None:
    place: object = fs.path("directory")
    assert isinstance(place, Traversable)
    assert names_below(place) == ["a.txt", "b.txt", "deep", "c"]
    assert place.joinpath("deep", "c").read_text() == "c\n"
    assert (place / "b.txt").read_bytes() == b"b\n"
    assert (place / "b.txt").is_file()
    with place.joinpath("b.txt").open("rb") as opened:
        assert opened.read() == b"b\n"
    with place.joinpath("b.txt").open("r", encoding="ascii") as text:
        assert text.read() == "b\n"


def test_file_of_an_image_becomes_a_file_on_disk(fs: s3archivefs.SquashFS) -> None:
    place = cast("Traversable", fs.path("directory/a.txt"))
    with importlib.resources.as_file(place) as extracted:
        assert extracted.name.endswith("a.txt")
        assert extracted.read_bytes() == fs.read_bytes("directory/a.txt")
    assert not extracted.exists()
