from __future__ import annotations

import re
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from fixtures.tree import directory, file, symlink
from s3archivefs.cli import main
from s3archivefs.printed import unprinted
from tests.support.command_line import run
from tests.support.images.fixtures import FIXTURES, Fixture, make_image

LINE = re.compile(r"(?P<indent>(?:│   |    )*)[├└]── (?P<name>.*?)(?: -> .*)?")


def drawn_paths(text: str) -> list[bytes]:
    """The paths that a drawing of the root shows, in its order."""
    first, *lines = text.partition("\n\n")[0].splitlines()
    names: list[bytes] = [b""]
    paths = [unprinted(first)]
    for line in lines:
        found = LINE.fullmatch(line)
        assert found, line
        names[len(found["indent"]) // 4 + 1 :] = [unprinted(found["name"])]
        paths.append(b"/".join(names))
    return paths


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
@pytest.mark.parametrize("depth", [(), (1,), (2,)], ids=str)
def test_tree_shows_what_find_lists(fixture: Fixture, depth: tuple[int, ...]) -> None:
    image = "--offset", fixture.offset, fixture.image
    drawn = run("tree", *(("-L", *depth) if depth else ()), *image)
    listed = run("find", "-0", *(("--max-depth", *depth) if depth else ()), *image)
    assert drawn_paths(drawn.text) == listed.written.split(b"\0")[:-1]
    assert drawn.code == 0


@pytest.mark.parametrize("name", ["gzip", "special", "empty", "symlinks"])
def test_tree_counts_what_it_shows_below_the_paths(name: str) -> None:
    below = FIXTURES[name].tree[1:]
    directories = sum(each.kind == "directory" for each in below)
    others = len(below) - directories
    totals = run("tree", FIXTURES[name].image).text.splitlines()[-1]
    counts = [*map(int, re.findall(r"\d+", totals))]
    assert counts == [directories, others]
    assert ("1 directory," in totals) == (directories == 1)
    assert (
        run("tree", FIXTURES[name].image, "/", "/")
        .text.splitlines()[-1]
        .startswith(f"{2 * directories} ")
    )


def test_tree_shows_directories_alone() -> None:
    assert run("tree", "-d", FIXTURES["gzip"].image).text == (
        "/\n├── docs\n│   └── deep\n└── empty-directory\n\n3 directories\n"
    )


def test_json_has_the_depth_of_each_path() -> None:
    items = run("tree", "--json", "-L", 2, FIXTURES["gzip"].image).items
    assert [item["depth"] for item in items] == [
        len([*filter(None, item["path"].split("/"))]) for item in items
    ]
    listed = run("find", "--json", "--max-depth", 2, FIXTURES["gzip"].image).items
    assert [
        {**item, "depth": depth["depth"]} for item, depth in zip(listed, items, strict=True)
    ] == items


def test_tree_follows_a_symlink_to_a_directory_that_is_named(tmp_path: Path) -> None:
    tree = (
        directory("d"),
        file("d/in", b"1"),
        symlink("d/deeper", "../d"),
        symlink("link", "d"),
        symlink("file-link", "d/in"),
        symlink("broken", "nowhere"),
    )
    image = make_image(tmp_path, tree)
    below = "├── deeper -> ../d\n└── in\n\n0 directories, 2 files\n"  # as tree(1) 2.1.0 has it
    assert run("tree", image, "link") == (0, f"link\n{below}".encode(), "")
    assert run("tree", image, "d").text == f"d\n{below}"
    items = run("tree", "--json", image, "link").items
    assert [(item["path"], item["kind"], item["depth"]) for item in items] == [
        ("link", "directory", 0),
        ("link/deeper", "symlink", 1),
        ("link/in", "file", 1),
    ]
    ran = run("tree", image, "file-link", "broken")
    assert ran.text == "file-link -> d/in\nbroken -> nowhere\n\n0 directories, 0 files\n"
    assert ran.code == 0


def test_tree_draws_with_what_the_output_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    output = TextIOWrapper(written, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["tree", "-L", "1", str(FIXTURES["non-utf8"].image)]) == 0
    lines = written.getvalue().decode("ascii").splitlines()
    assert lines[:2] == ["/", "|-- d\\xff"]
    assert lines[-3].startswith("`-- ")


def test_tree_colours_names_by_their_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LS_COLORS", raising=False)
    drawn = run("tree", "--color=always", FIXTURES["gzip"].image, "/docs").text
    assert drawn.splitlines()[1] == "├── \x1b[01;34mdeep\x1b[0m"


def test_tree_goes_on_behind_a_path_that_is_not_there() -> None:
    ran = run("tree", FIXTURES["gzip"].image, "/nowhere", "/docs/deep")
    assert ran.code == 3
    assert ran.text == "/docs/deep\n└── page.txt\n\n0 directories, 1 file\n"
    assert ran.errors == "s3archivefs: /nowhere: No such file or directory\n"
