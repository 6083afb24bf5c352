"""The command `cp`: one file or directory, under its own name or another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command_line import run
from tests.support.images.extracted import tree_of
from tests.support.images.fixtures import FIXTURES

IMAGE = FIXTURES["gzip"].image


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


DEEP = {"deep", "deep/page.txt"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([IMAGE, "/docs/guide.txt", "."], {"guide.txt"}),
        ([IMAGE, "/docs/guide.txt", "copy"], {"copy"}),
        ([f"{IMAGE}/docs/guide.txt", "copy"], {"copy"}),
        ([IMAGE, "guide", "copy"], {"copy"}),  # a symlink is followed
        ([IMAGE, "/docs/deep", "."], DEEP),
        ([IMAGE, "/docs/deep/", "copy/"], {"copy", "copy/page.txt"}),
        ([f"{IMAGE}/docs", "copy"], {"copy", "copy/guide.txt", *(f"copy/{name}" for name in DEEP)}),
        ([IMAGE, "/docs/../empty.txt", "./copy"], {"copy"}),
        ([IMAGE, "/docs/deep/../deep/.", "."], DEEP),
        ([f"{IMAGE}/docs/deep/../deep/", "."], DEEP),
    ],
)
def test_copy_is_in_a_directory_or_has_a_name(
    arguments: list[str], expected: set[str], here: Path
) -> None:
    ran = run("cp", *arguments)
    assert (ran.code, ran.written, ran.errors) == (0, b"", "")
    assert tree_of(here).keys() == expected


def test_root_is_copied_into_a_directory_or_as_one(here: Path) -> None:
    assert run("cp", IMAGE, "/", "copy").code == 0
    (here / "other").mkdir()
    assert run("cp", IMAGE, "/", here / "other").code == 0
    assert tree_of(here / "copy") == tree_of(here / "other")
    assert "docs/guide.txt" in tree_of(here / "copy")


def test_nothing_is_overwritten_unless_asked_for(here: Path) -> None:
    (here / "copy").write_text("mine")
    ran = run("cp", IMAGE, "/docs/guide.txt", "copy")
    assert (ran.code, ran.errors.partition(": --force")[0]) == (
        1,
        "s3archivefs: ./copy: something stands there",
    )
    assert run("cp", "-n", IMAGE, "/docs/guide.txt", "copy").code == 0
    assert (here / "copy").read_text() == "mine"
    assert run("cp", "-f", IMAGE, "/docs/guide.txt", "copy").code == 0
    assert (here / "copy").read_text().startswith("line 00000")


def test_nothing_takes_the_place_of_a_pipe_or_device(here: Path) -> None:
    os.mkfifo(here / "pipe")
    (here / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        ran = run("cp", "-f", IMAGE, "/docs/guide.txt", name)
        assert (ran.code, ran.errors) == (
            2,
            f"s3archivefs: {name} is no regular file: write there with s3archivefs cat\n",
        )
    assert (here / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([IMAGE, "/nowhere", "copy"], 3, "/nowhere: No such file or directory"),
        ([IMAGE, "copy"], 2, "which file? give a PATH after"),
        ([IMAGE, "/empty.txt", "missing/copy"], 2, "there is no directory missing to put copy"),
        ([IMAGE, "/empty.txt", "missing/"], 2, "there is no directory missing/ to put a file into"),
        ([IMAGE, "/docs", "missing/."], 2, "there is no directory missing to put . into"),
        ([IMAGE, "/docs", ""], 2, "DEST is empty"),
        ([IMAGE, "/", ""], 2, "DEST is empty"),
    ],
)
def test_what_cannot_be_copied_has_its_exit_code(
    arguments: list[str], code: int, says: str, here: Path
) -> None:
    ran = run("cp", *arguments)
    assert ran.code == code
    assert says in ran.errors
    assert tree_of(here) == {}
