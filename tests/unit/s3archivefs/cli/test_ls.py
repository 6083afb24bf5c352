from __future__ import annotations

import itertools
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from fixtures.tree import directory, file, symlink
from s3archivefs.cli import main
from tests.support.command_line import run
from tests.support.images.fixtures import FIXTURES, make_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def image(name: str) -> str:
    return str(FIXTURES[name].image)


def test_ls_lists_names_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("gzip")]) == 0
    names = sorted(
        node.path.removeprefix("/") for node in FIXTURES["gzip"].tree if node.path.count("/") == 1
    )
    assert capsys.readouterr().out.splitlines() == [name for name in names if name]


def test_ls_long_shows_mode_owner_size_time_and_link(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "-l", image("symlinks")]) == 0
    lines = capsys.readouterr().out.splitlines()
    links = {
        node.path.removeprefix("/"): node.target
        for node in FIXTURES["symlinks"].tree
        if node.kind == "symlink" and node.path.count("/") == 1
    }
    assert links
    for name, target in links.items():
        (line,) = (line for line in lines if f" {name} -> " in line)
        assert line.startswith("l")
        assert target is not None
        assert line.endswith(f" -> {target}".replace("\udcff", "\\xff"))


def test_names_that_a_terminal_cannot_have_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("non-utf8")]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_ls_lists_files_first_and_heads_each_of_several_directories(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["ls", image("gzip"), "/docs", "/short.txt", "/empty-directory"]) == 0
    with s3archivefs.open(image("gzip")) as fs:
        inside = fs.listdir("/docs")
    assert capsys.readouterr().out.splitlines() == [
        "/short.txt",
        "",
        "/docs:",
        *inside,
        "",
        "/empty-directory:",
    ]


def test_ls_goes_on_behind_a_path_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("gzip"), "/nowhere", "/short.txt"]) == 3
    written = capsys.readouterr()
    assert written.out == "/short.txt\n"
    assert written.err == "s3archivefs: /nowhere: No such file or directory\n"


def test_ls_takes_a_path_as_part_of_the_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("gzip") + "/docs"]) == 0
    joined = capsys.readouterr().out
    assert main(["ls", image("gzip"), "docs"]) == 0
    assert capsys.readouterr().out == joined


def test_ls_recursive_lists_what_walk_finds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "-R", "--json", image("gzip")]) == 0
    listed = [json.loads(line)["path"] for line in capsys.readouterr().out.splitlines()]
    with s3archivefs.open(image("gzip")) as fs:
        walked = [
            f"{top.rstrip('/')}/{name}"
            for top, directories, files in fs.walk("/")
            for name in directories + files
        ]
    assert sorted(listed) == sorted(walked)


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("size", lambda item: (-item["size"], item["path"])),
        ("time", lambda item: (-item["mtime"], item["path"])),
        ("name", lambda item: item["path"]),
    ],
)
def test_ls_sorts_and_reverses(
    order: str, key: Callable[[dict[str, object]], object], capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for options in ((), ("--reverse",)):
        assert main(["ls", "--json", "--sort", order, *options, image("gzip")]) == 0
        found.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert found[0] == sorted(found[0], key=key)  # type: ignore[arg-type]  # keys compare
    assert found[1] == found[0][::-1]


def test_ls_json_has_what_stat_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--json", image("symlinks")]) == 0
    lines = capsys.readouterr().out.splitlines()
    with s3archivefs.open(image("symlinks")) as fs:
        for line in lines:
            item = json.loads(line)
            stat = fs.stat(item["path"], follow_symlinks=False)
            assert item["kind"] == stat.kind.name.lower()
            assert int(item["mode"], 8) == stat.mode & 0o7777
            assert (item["size"], item["mtime"]) == (stat.size, stat.mtime)
            assert ("target" in item) == (item["kind"] == "symlink")


# ---- Symlinks that are named ---------------------------------------------------------------------

NAMED = ("link", "chain", "file-link", "broken", "link/", "link/.", "link/in", "broken/")
TREE = (
    directory("d"),
    file("d/in", b"1"),
    directory("d/sub"),
    file("file", b"2"),
    symlink("link", "d"),
    symlink("chain", "link"),
    symlink("file-link", "file"),
    symlink("broken", "nowhere"),
    symlink("through-a-file", "file/x"),
    symlink("circle", "circle"),
)


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, with the same tree on disk beside it."""
    top = tmp_path_factory.mktemp("linked")
    made = make_image(top, TREE)
    assert run("extract", made, "-C", top / "tree", "--filter", "tar").code == 0
    return made


def _told(listing: str) -> list[str]:
    """Of long lines kind, name and target; others as they are, but blank lines and totals."""
    lines = [line for line in listing.splitlines() if line and not line.startswith("total ")]
    return [
        f"{line[0]} {columns[6]}" if len(columns := line.split(None, 6)) == 7 else line
        for line in lines
    ]


@pytest.mark.parametrize("options", [(), ("-l",), ("-d",), ("-ld",), ("-R",), ("-lR",)])
def test_symlinks_that_are_named_are_shown_as_ls_does(
    options: tuple[str, ...], linked: Path
) -> None:
    tree = linked.parent / "tree"
    for paths in (*((path,) for path in NAMED), ("broken", "d", "link")):
        real = ["ls", "--time-style=+%s", *options, *paths]
        done = subprocess.run(
            real, cwd=tree, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
        ran = run("ls", *options, linked, *paths)
        assert _told(ran.text) == _told(done.stdout.decode()), paths
        assert (ran.code == 0) == (done.returncode == 0), paths


def test_symlink_that_leads_nowhere_is_shown_itself(linked: Path) -> None:
    for path in ("circle", "broken", "through-a-file"):  # some ls(1) have but the second
        assert run("ls", linked, path) == (0, f"{path}\n".encode(), "")
        (item,) = run("ls", "--json", linked, path).items
        assert (item["path"], item["kind"]) == (path, "symlink")


# ---- Order ---------------------------------------------------------------------------------------

SORTED = (
    *(directory(path, mtime=at) for path, at in (("b", 30), ("b/y", 10), ("b/x", 40), ("a", 20))),
    file("b/y/1", b"1", mtime=50),
    file("b/x/2", b"22", mtime=40),
    file("a/3", b"", mtime=30),
    file("c", b"333", mtime=60),
    file("d", b"4444", mtime=5),
    symlink("e", "b"),
)


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, with the same tree on disk beside it."""
    top = tmp_path_factory.mktemp("timed")
    made = make_image(top, SORTED)
    assert run("extract", made, "-C", top / "tree").code == 0
    return made


@pytest.mark.parametrize("reverse", [(), ("-r",)])
@pytest.mark.parametrize(
    "options",
    [
        *itertools.product(["-1", "--sort=time"], ["-1", "-R", "-d"]),
        ("--sort=none", "-d"),  # on disk a directory has an order of its own
    ],
)
def test_what_is_named_and_what_lies_below_come_in_the_order_of_ls(
    options: tuple[str, ...], reverse: tuple[str, ...], timed: Path
) -> None:
    for paths in (("d", "b", "e", "c", "a"), ("b", "a"), ("b",)):
        done = subprocess.run(
            ["ls", *options, *reverse, *paths],
            cwd=timed.parent / "tree",
            capture_output=True,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        assert run("ls", *options, *reverse, timed, *paths).text == done.stdout.decode(), paths
