from __future__ import annotations

from itertools import groupby

import pytest

from s3archivefs import FileKind, SquashFS
from s3archivefs.cli.output import human_size
from tests.support.command_line import run
from tests.support.images.fixtures import FIXTURES, Fixture, open_fixture


def walked_size(fs: SquashFS, top: bytes) -> tuple[int, int]:
    """Bytes of content from `top` down, and files, each inode once."""
    sizes = {
        stat.inode_number: stat.size
        for path, _, names in fs.walk(top, symlinks_as_files=True)
        for name in names
        if (stat := fs.stat(path + b"/" + name, follow_symlinks=False)).kind is FileKind.FILE
    }
    return sum(sizes.values()), len(sizes)


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_sum_of_each_directory_is_that_of_its_walk(fixture: Fixture) -> None:
    directories = [
        each.path.encode("utf-8", "surrogateescape")
        for each in fixture.tree
        if each.kind == "directory"
    ]
    image = "--offset", fixture.offset, fixture.image
    with open_fixture(fixture) as fs:
        for top in directories:
            ran = run("du", "-s", "--json", *image, top.decode("utf-8", "surrogateescape"))
            (item,) = ran.items
            assert (item["size"], item["files"]) == walked_size(fs, top)
            assert item["kind"] == "directory"


@pytest.mark.parametrize("name", ["gzip", "hard-links", "non-utf8", "special"])
def test_sum_of_a_directory_is_that_of_the_lines_for_what_it_holds(name: str) -> None:
    lines = run("du", "-a", FIXTURES[name].image).text.splitlines()
    sizes = {path: int(size) for size, path in (line.split("\t") for line in lines)}
    assert len(sizes) == len(lines)
    held = sorted((path for path in sizes if path != "/"), key=above)
    for directory, inside in groupby(held, above):
        assert sizes[directory] == sum(sizes[path] for path in inside)
    assert lines[-1].endswith("\t/")  # each directory behind what it holds


def above(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def test_hard_link_counts_once_in_all_paths() -> None:
    image = FIXTURES["hard-links"].image
    assert run("du", image, "/001-root-file", "/005-link", "/002-subdir").text == (
        "7\t/001-root-file\n11\t/002-subdir\n"
    )
    assert run("du", image, "/005-link").text == "7\t/005-link\n"


def test_file_counts_once_in_all_paths() -> None:
    image = FIXTURES["gzip"].image
    whole, docs = (run("du", "-s", "--json", image, path).items[0] for path in ("/", "/docs"))
    first, second, third = run("du", "-s", "--json", image, "/docs", "/", "/docs").items
    assert first == docs
    assert second["size"] == whole["size"] - docs["size"]
    assert second["files"] == whole["files"] - docs["files"]
    assert (third["size"], third["files"]) == (0, 0)
    assert run("du", image, "/short.txt", "/short.txt").text == "700\t/short.txt\n"


def test_lines_reach_as_deep_as_asked_and_sums_all_the_way() -> None:
    image = FIXTURES["gzip"].image
    whole = run("du", image).text.splitlines()
    assert run("du", "--max-depth", 1, image).text.splitlines() == [
        line for line in whole if line.count("/") == 1
    ]
    assert run("du", "-s", image).text.splitlines() == whole[-1:]


def test_sizes_are_shown_for_people() -> None:
    size = int(run("du", "-s", FIXTURES["gzip"].image).text.split()[0])
    assert run("du", "-sh", FIXTURES["gzip"].image).text == f"{human_size(size)}\t/\n"


def test_du_goes_on_behind_a_path_that_is_not_there() -> None:
    ran = run("du", FIXTURES["gzip"].image, "/nowhere", "/short.txt")
    assert (ran.code, ran.text) == (3, "700\t/short.txt\n")
    assert ran.errors == "s3archivefs: /nowhere: No such file or directory\n"
