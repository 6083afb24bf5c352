"""`append` and `remove` change an image, or leave it what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of a file and a directory."""
    source = tmp_path / "source"
    (source / "in").mkdir(parents=True)
    (source / "a").write_bytes(b"a")
    (source / "in" / "b").write_bytes(b"b")
    image = tmp_path / "a.sqfs"
    assert main(["pack", str(source), str(image)]) == 0
    return image


def contents(image: Path) -> dict[str, bytes]:
    with s3archivefs.open(image) as fs:
        assert [*fs.verify()] == []
        return {path: content.read() for path, _, content in fs.walk_files()}


def test_sources_are_added_as_pack_has_them(image: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "c").write_bytes(b"c")
    (tmp_path / "in" / "leave").write_bytes(b"out")
    (tmp_path / "one").write_bytes(b"one")
    new = [str(tmp_path / "in"), str(tmp_path / "one")]
    exclude = ["--exclude", "leave", "--checksums"]
    assert main(["append", str(image), *new, *exclude]) == 0
    assert main(["append", str(image), new[0], "--into", "/x/y/", *exclude]) == 0
    assert contents(image) == {
        "/a": b"a",
        "/in/b": b"b",
        "/in/c": b"c",
        "/one": b"one",
        "/x/y/c": b"c",
    }
    with s3archivefs.open(image) as fs:
        assert fs.listxattr("/x/y/c") == ["user.sha256"]


def test_the_image_itself_is_no_member(image: Path) -> None:
    assert main(["append", str(image), str(image.parent)]) == 0
    assert sorted(contents(image)) == ["/a", "/in/b", "/source/a", "/source/in/b"]


def test_paths_are_removed(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(image.parent)
    capsys.readouterr()
    assert main(["remove", "a.sqfs", "/in/", "-n"]) == 0
    assert main(["remove", "a.sqfs", "/in/"]) == 0
    planned, done = capsys.readouterr().out.splitlines()
    assert planned.startswith("a.sqfs: 1 path to be removed, ")
    assert done == planned.replace("to be removed", "removed")
    assert contents(image) == {"/a": b"a"}


def test_a_dry_run_writes_nothing_and_knows_the_size(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, there = image.read_bytes(), sorted(tmp_path.iterdir())
    capsys.readouterr()
    assert main(["append", str(image), str(image), "--into", "x", "--dry-run"]) == 0
    assert (image.read_bytes(), sorted(tmp_path.iterdir())) == (before, there)
    assert main(["append", str(image), str(image), "--into", "x"]) == 0
    planned, done = capsys.readouterr().out.splitlines()
    assert planned.replace("to be added", "added") == done
