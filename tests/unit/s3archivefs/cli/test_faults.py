"""How commands name what a fault is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import text
from fixtures.tree import directory as a_directory
from fixtures.tree import file as a_file
from fixtures.tree import symlink as a_symlink
from s3archivefs.cli.faults import Faults, line_of
from s3archivefs.cli.read_back import faults_of
from s3archivefs.errors import CorruptImageError, naming
from tests.support.command_line import run
from tests.support.images.built import build, directory, file
from tests.support.images.drafts import draft

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def with_bad_file(tmp_path: Path) -> Path:
    """An image in which the content of one file, among others, does not decompress."""
    below = {b"bad\n": file(text(9), words=[9]), b"good": file(b"good")}
    image = tmp_path / "dam\taged.sqfs"
    image.write_bytes(bytes(build(directory({b"d": directory(below), b"z": file(b"z")}))))
    return image


@pytest.fixture
def with_bad_directory(tmp_path: Path) -> Path:
    """An image with names out of order in /e/d."""
    tree = (a_directory("e"), a_directory("e/d"), a_file("e/d/aa"), a_file("e/d/bb"), a_file("z"))
    image = draft(tmp_path, tree)
    image.data[image.entry(b"bb") + 8] = ord("\x01")
    path = tmp_path / "damaged.sqfs"
    path.write_bytes(image.data)
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["extract", "IMAGE", "-C", "OUT"],
        ["extract", "IMAGE", "/d", "/z", "-C", "OUT", "-j", "1"],
        ["cp", "IMAGE", "/d", "OUT"],
        ["cp", "IMAGE", "/d/bad\\x0a", "OUT"],
        ["cat", "IMAGE", "/d/good", "d/bad\\x0a", "/z"],
        ["hash", "IMAGE"],
        ["hash", "IMAGE", "d/bad\\x0a"],
        ["hash", "--json", "IMAGE", "d"],
        ["diff", "IMAGE", "IMAGE"],
        ["diff", "IMAGE/d", "IMAGE/d"],
    ],
    ids=" ".join,
)
def test_a_damaged_file_is_named_with_its_image(
    command: list[str], with_bad_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    image, out = str(with_bad_file), str(tmp_path / "out")
    ran = run(*(word.replace("IMAGE", image).replace("OUT", out) for word in command))
    assert ran.code == 4
    (line,) = ran.errors.splitlines()
    place, _, what = line.partition(": a data block ")
    assert place == f"s3archivefs: {tmp_path}/dam\\x09aged.sqfs/d/bad\\x0a"
    assert what


@pytest.mark.parametrize(
    "command",
    [
        ["find", "IMAGE"],
        ["tree", "IMAGE"],
        ["tree", "--json", "IMAGE", "e"],
        ["du", "IMAGE", "/e/"],
        ["ls", "-R", "IMAGE"],
        ["ls", "-l", "IMAGE", "/e/d", "/"],
        ["hash", "IMAGE"],
        ["extract", "IMAGE", "-C", "OUT"],
        ["cp", "IMAGE", "/e", "OUT"],
        ["cp", "IMAGE", "/e/d/bb", "OUT"],
        ["diff", "IMAGE", "IMAGE"],
    ],
    ids=" ".join,
)
def test_a_damaged_directory_is_named_with_its_image(
    command: list[str], with_bad_directory: Path, tmp_path: Path
) -> None:
    image, out = str(with_bad_directory), str(tmp_path / "out")
    ran = run(*(word.replace("IMAGE", image).replace("OUT", out) for word in command))
    assert ran.code == 4
    (line,) = ran.errors.splitlines()
    where = "e/d/bb" if "/e/d/bb" in command else "e/d"
    assert line.startswith(f"s3archivefs: {image}/{where}: directory names ")


OTHERS = {"a", "d", "y", "z"}
LISTED = [["ls", "IMAGE"], ["ls", "-R", "IMAGE"], ["find", "IMAGE"], ["tree", "IMAGE"]]
DESCRIBED = [
    ["ls", "-l", "IMAGE"],
    ["ls", "-R", "--sort", "size", "IMAGE"],
    ["ls", "--json", "IMAGE"],
    ["ls", "--color=always", "IMAGE"],
    ["find", "--long", "IMAGE"],
    ["tree", "--json", "IMAGE"],
    ["du", "-a", "IMAGE"],
    ["hash", "IMAGE"],
    ["hash", "--stored", "IMAGE"],
    ["extract", "IMAGE", "-C", "OUT"],
]


@pytest.mark.parametrize("command", [*LISTED, *DESCRIBED], ids=" ".join)
def test_damaged_attributes_hide_no_other_file(command: list[str], tmp_path: Path) -> None:
    bad, summed = 1_234_567_801, {"user.sha256": b"0" * 64}
    files = [a_file(name, xattrs=summed) for name in ("a", "d/y", "z")]
    tree = (a_directory("d"), *files, a_file("bad", mtime=bad), a_symlink("link", "a"))
    image = draft(tmp_path, tree)
    image.put(image.inode(bad), "H", 99)
    path = tmp_path / "damaged.sqfs"
    path.write_bytes(image.data)
    out = tmp_path / "out"
    ran = run(*(word.replace("IMAGE", str(path)).replace("OUT", str(out)) for word in command))
    shown = " ".join((ran.text, *(each.name for each in out.rglob("*"))))
    found = {name for name in OTHERS if re.search(rf"\b{name}\b", shown)}
    assert found | {"d"} == OTHERS - (
        {"y"} if command[0] == "ls" and "-R" not in command else set()
    )
    if command in LISTED:
        assert (ran.code, ran.errors) == (0, "")
        assert "bad" in shown
    else:
        assert ran.code == 4
        (line,) = ran.errors.splitlines()
        assert line.startswith(f"s3archivefs: {path}/bad: an inode has type 99")


@pytest.mark.parametrize(
    "command",
    [
        ["ls", "-l", "-R", "IMAGE"],
        ["ls", "-R", "--sort", "size", "IMAGE"],
        ["ls", "-R", "--sort", "time", "-r", "IMAGE"],
        ["ls", "-R", "--json", "IMAGE"],
        ["find", "--long", "IMAGE"],
        ["tree", "--json", "IMAGE"],
        ["extract", "IMAGE", "-C", "OUT"],
    ],
    ids=" ".join,
)
def test_a_directorys_damaged_attributes_hide_nothing_below_it(
    command: list[str], tmp_path: Path
) -> None:
    bad = 1_234_567_801
    tree = (
        *(a_file("a"), a_directory("d", mtime=bad), a_directory("d/e"), a_file("d/e/x")),
        *(a_file("d/y"), a_file("z")),
    )
    image = draft(tmp_path, tree)
    image.put(image.inode(bad) + 4, "H", 117)  # the index of its owner
    path = tmp_path / "damaged.sqfs"
    path.write_bytes(image.data)
    out = tmp_path / "out"
    ran = run(*(word.replace("IMAGE", str(path)).replace("OUT", str(out)) for word in command))
    shown = " ".join((ran.text, *(each.name for each in out.rglob("*"))))
    assert {name for name in "axyz" if re.search(rf"\b{name}\b", shown)} == set("axyz")
    assert ran.code == 4
    (line,) = ran.errors.splitlines()
    assert line.startswith(f"s3archivefs: {path}/d: an inode names id 117 of 1 ")


@pytest.mark.parametrize(
    "command",
    [
        ["ls", "-R", "IMAGE"],
        ["find", "IMAGE"],
        ["tree", "IMAGE"],
        ["du", "-a", "IMAGE"],
        ["hash", "IMAGE"],
        ["extract", "IMAGE", "-C", "OUT"],
    ],
    ids=" ".join,
)
def test_damaged_listing_hides_nothing_that_stands_before(
    command: list[str], tmp_path: Path
) -> None:
    files = [f"{number:03}" for number in range(300)]  # so many that some come before the fault
    tree = (a_directory("000"), a_file("000/in"), a_symlink("000/link", "in"))
    image = draft(tmp_path, (*tree, *map(a_file, files[1:]), a_file("zz")))
    image.data[image.entry(b"zz") + 8] = ord("\x01")
    path, out = tmp_path / "damaged.sqfs", tmp_path / "out"
    path.write_bytes(image.data)
    ran = run(*(word.replace("IMAGE", str(path)).replace("OUT", str(out)) for word in command))
    shown = " ".join((ran.text, *(each.name for each in out.rglob("*"))))
    assert re.search(r"\bin\b", shown)
    assert ("link" in shown) == (command[0] != "hash")
    assert ran.code == 4
    (line,) = ran.errors.splitlines()
    assert line.startswith(f"s3archivefs: {path}: directory names ")


def test_damage_that_is_read_back_is_named_with_its_image(
    with_bad_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert faults_of(str(with_bad_file)) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "/dam\\x09aged.sqfs/d/bad\\x0a: a data block " in line


@pytest.mark.parametrize("path", ["/d/name", b"d/name", "/d/name/"])
def test_a_path_stands_behind_its_image_as_arguments_have_it(path: str | bytes) -> None:
    assert line_of(CorruptImageError("bad"), "a.sqfs", path) == "a.sqfs/d/name: bad"
    assert line_of(CorruptImageError("bad"), "a.sqfs", "/") == "a.sqfs: bad"


def test_an_error_of_another_image_does_not_get_the_path() -> None:
    with pytest.raises(CorruptImageError) as caught, naming("source.sqfs"):
        raise CorruptImageError("bad")
    assert line_of(caught.value, "a.sqfs", "/d") == "source.sqfs: bad"


def test_an_error_that_names_its_object_gets_no_name_before_it() -> None:
    error = OSError("s3://b/a.sqfs: access was refused")
    assert line_of(error, "s3://b/a.sqfs", "/d") == "s3://b/a.sqfs: access was refused"


def test_a_guarded_function_names_its_subject(capsys: pytest.CaptureFixture[str]) -> None:
    def ask(subject: int) -> int:
        raise CorruptImageError(f"{subject} is bad")

    faults = Faults("a.sqfs")
    assert faults.guarded(ask, lambda subject: f"/{subject}")(5) is None
    assert faults.code == 4
    assert capsys.readouterr().err == "s3archivefs: a.sqfs/5: 5 is bad\n"
