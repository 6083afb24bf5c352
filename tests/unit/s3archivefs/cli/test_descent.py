from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import s3archivefs
from fixtures.tree import directory, file
from s3archivefs.cli.descent import SeenInodes, descend
from s3archivefs.cli.faults import Faults
from tests.support.command_line import run
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, make_image


@pytest.mark.property
@given(st.lists(st.integers(0, 40) | st.integers(0, 2**48 - 1)))
def test_inodes_are_seen_as_in_a_set(references: list[int]) -> None:
    seen, expected = SeenInodes(), set[int]()
    for reference in references:
        assert seen.add(reference) == (reference not in expected)
        expected.add(reference)


def test_descent_begins_with_the_path_and_follows_no_symlink() -> None:
    with s3archivefs.open(FIXTURES["symlinks"].image) as fs:
        faults = Faults("image")
        (only,) = descend(fs, "/directory-slash", faults)
        assert (only[0], only[1].name, only[1].kind) == (
            0,
            "directory-slash",
            s3archivefs.FileKind.SYMLINK,
        )
        assert [(depth, node.path) for depth, node in descend(fs, b"a/", faults)] == [
            (0, b"a/"),
            (1, b"a/b"),
            (2, b"a/b/target.txt"),
            (2, b"a/b/up"),
        ]
        assert next(descend(fs, "/", faults))[1].name == "/"
        assert faults.code == 0


# ---- Hostile trees -------------------------------------------------------------------------------


@pytest.fixture
def looped(tmp_path: Path) -> Path:
    """An image in which the directory /a/b/c is /a."""
    image = draft(tmp_path, (directory("a"), directory("a/b"), directory("a/b/c"), file("z")))
    with image.open() as fs:
        a, c = fs.stat("/a"), fs.stat("/a/b/c")
    image.lead(b"c", c, a)
    path = tmp_path / "looped.sqfs"
    path.write_bytes(image.data)
    return path


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("find", "/\n/a\n/a/b\n/a/b/c\n/z\n"),
        ("tree", "/\n├── a\n│   └── b\n│       └── c\n└── z\n\n3 directories, 1 file\n"),
        ("du", "0\t/a/b/c\n0\t/a/b\n0\t/a\n0\t/\n"),
    ],
)
def test_directory_inside_itself_is_a_fault_and_is_entered_once(
    command: str, written: str, looped: Path
) -> None:
    ran = run(command, looped)
    assert (ran.code, ran.text) == (4, written)
    assert ran.errors == f"s3archivefs: {looped}/a/b/c: the directory is in the tree twice\n"


@pytest.mark.parametrize("options", [["-R"], ["-lR"], ["-R", "--json"], ["-R", "--sort", "size"]])
def test_recursive_list_enters_a_directory_once(options: list[str], looped: Path) -> None:
    ran = run("ls", *options, looped)
    assert ran.code == 4
    assert ran.errors == f"s3archivefs: {looped}/a/b/c: the directory is in the tree twice\n"
    if options == ["-R"]:
        assert ran.text == "/:\na\nz\n\n/a:\nb\n\n/a/b:\nc\n"


def test_recursive_list_stops_at_the_depth_that_is_allowed(tmp_path: Path) -> None:
    names = ["d"] * (s3archivefs.Limits().walk_depth + 2)
    paths = ("/".join(names[:depth]) for depth in range(1, len(names) + 1))
    ran = run("ls", "-R", make_image(tmp_path, tuple(map(directory, paths))))
    assert ran.code == 1
    assert ran.text.count("d:\n") == len(names) - 2
    assert "walk_depth: 1025 is more than the 1024 allowed" in ran.errors


def test_directory_inside_itself_ends_a_comparison(looped: Path, tmp_path: Path) -> None:
    ran = run("diff", looped, looped)
    assert (ran.code, ran.text) == (4, "")
    assert ran.errors.count("is in the tree twice") == 1


def test_descent_stops_at_the_depth_that_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    image = FIXTURES["gzip"].image
    with s3archivefs.open(image, limits=s3archivefs.Limits(walk_depth=1)) as fs:
        faults = Faults("image")
        paths = [node.path for _, node in descend(fs, "/", faults)]
    assert "/docs/deep" in paths
    assert "/docs/deep/page.txt" not in paths
    assert faults.code == 1
    assert "walk_depth: 2 is more than the 1 allowed" in capsys.readouterr().err


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """An image with names out of order in /d, and an inode that is none at /e/aa."""
    tree = (directory("d"), file("d/aa"), file("d/bb"), directory("e"), file("e/cc"), file("z"))
    image = draft(tmp_path, tree)
    image.data[image.entry(b"bb") + 8] = ord("\x01")
    image.put(image.entry(b"cc"), "H", image.get(image.entry(b"cc"), "H") + 2)
    path = tmp_path / "damaged.sqfs"
    path.write_bytes(image.data)
    return path


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("find", "/\n/d\n/d/aa\n/e\n/e/cc\n/z\n"),
        ("tree", "/\n├── d\n│   └── aa\n├── e\n│   └── cc\n└── z\n\n2 directories, 3 files\n"),
    ],
)
def test_damaged_directory_ends_and_the_others_follow(
    command: str, written: str, damaged: Path
) -> None:
    ran = run(command, damaged)
    assert (ran.code, ran.text) == (4, written)
    assert "b'aa' and b'\\x01b' are out of order" in ran.errors


def test_damaged_inode_is_left_out_where_attributes_matter(damaged: Path) -> None:
    named = run("find", damaged, "/e", "/z")
    assert (named.code, named.text) == (0, "/e\n/e/cc\n/z\n")
    for options in (["--json"], ["--long"], ["--size", "0"]):
        ran = run("find", *options, damaged, "/e", "/z")
        assert ran.code == 4
        assert "/e/cc" not in ran.text
        assert "/z" in ran.text
        assert ran.errors.count("\n") == 1
    assert run("du", damaged, "/e").code == 4


# ---- Memory --------------------------------------------------------------------------------------

COUNT = 3000


def test_memory_for_each_directory(tmp_path: Path) -> None:
    image = make_image(tmp_path, tuple(directory(f"d{number:05}") for number in range(COUNT)))
    faults = Faults("image")
    with s3archivefs.open(image, limits=s3archivefs.Limits(cache_bytes=1 << 20)) as fs:
        deque(descend(fs, "/", faults), maxlen=0)
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            deque(descend(fs, "/", faults), maxlen=0)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # A run of entries, a segment of a listing, and a bit for each byte of the inodes.
    at_once = 1 << 15 if sys.version_info >= (3, 13) else 0
    assert (most - before - at_once) / COUNT < 60
