"""`append`, `remove` and `compact` change an image, or leave it what it was."""

from __future__ import annotations

from random import Random
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


def test_dead_data_is_told_and_dropped_where_it_is_much(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, size in (("large", 200_000), ("other", 2_000_000)):
        (tmp_path / name).write_bytes(Random(name).randbytes(size))
        assert main(["append", "a.sqfs", name]) == 0
    before = contents(image)
    assert main(["remove", "a.sqfs", "/large"]) == 0
    size = image.stat().st_size
    capsys.readouterr()

    assert main(["compact", "a.sqfs"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("a.sqfs: stays as it is: 196K of 2.1M are dead, 9.")
    assert line.endswith("%, less than the 10 % of --threshold")
    assert main(["compact", "a.sqfs", "--threshold", "5", "--dry-run"]) == 0
    assert image.stat().st_size == size
    assert main(["compact", "a.sqfs", "--threshold", "5"]) == 0
    planned, done = capsys.readouterr().out.splitlines()
    assert planned.replace("to be dropped", "dropped") == done
    assert done.startswith("a.sqfs: 196K of dead data dropped, 2.0M in all: 2.0M copied, ")
    assert contents(image) == {path: each for path, each in before.items() if path != "/large"}
    assert size - image.stat().st_size in range(200_000 - 4096, 200_000 + 4096)

    assert main(["remove", "a.sqfs", "/other"]) == 0
    assert main(["info", "a.sqfs", "--scan"]) == 0
    written = capsys.readouterr().out
    assert "\ndead data    2,000,000 bytes that no file refers to\n" in written
    assert "2.0M of it are data that no file refers to any more: s3archivefs compact" in written


def test_what_pack_refuses_of_its_arguments_append_refuses_too(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image.read_bytes()
    capsys.readouterr()
    assert main(["append", str(image), str(image), "--level", "40"]) == 2
    assert main(["pack", str(image), str(tmp_path / "b.sqfs"), "--level", "40"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith("zstd has no level 40; it has 1 to 22") for line in lines] == [True] * 2
    (tmp_path / "manifest").write_bytes(b"")
    arguments = ["append", str(image), str(image), "--manifest", str(tmp_path / "manifest")]
    assert main(arguments) == 2
    assert main([*arguments, "--dry-run"]) == 0  # which writes none
    assert image.read_bytes() == before


def test_what_is_added_first_is_stored_first_and_read_back(image: Path, tmp_path: Path) -> None:
    source = tmp_path / "new"
    source.mkdir()
    for name in "abc":
        (source / name).write_bytes(name.encode() * 2)
    (tmp_path / "order").write_text("/x/c\n/x/a\n")
    arguments = ["--into", "x", "--order", str(tmp_path / "order"), "--verify"]
    assert main(["append", str(image), str(source), *arguments]) == 0
    with s3archivefs.open(image) as fs:
        tails = {
            path: fs.content_place(stat).fragment_offset for path, stat, _ in fs.walk_files("/x")
        }
    assert sorted(tails, key=tails.__getitem__) == ["/x/c", "/x/a", "/x/b"]


@pytest.mark.parametrize("command", ["append", "remove", "compact"])
def test_damage_that_an_image_keeps_is_told_when_it_is_read_back(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(bytes(range(256)) * 1000)
    (source / "b").write_bytes(Random(1).randbytes(200_000))
    image = tmp_path / "a.sqfs"
    assert main(["pack", str(source), str(image), "--compressor", "gzip"]) == 0
    with s3archivefs.open(image) as fs:
        content, start = bytearray(image.read_bytes()), fs.content_place(fs.stat("/a")).blocks_start
    content[start : start + 100] = bytes(100)
    image.write_bytes(content)
    assert main(["remove", str(image), "/b"]) == 0  # which is dead then
    arguments = {"append": [str(source / "b")], "remove": ["/new"], "compact": []}[command]
    if command == "remove":
        (tmp_path / "new").write_bytes(b"")
        assert main(["append", str(image), str(tmp_path / "new")]) == 0
    capsys.readouterr()
    assert main([command, str(image), *arguments, "--verify", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""
    assert main([command, str(image), *arguments, "--verify"]) == 4
    written = capsys.readouterr()
    assert "/a" in written.err
    assert len(written.out.splitlines()) == 1


def test_an_image_that_compact_leaves_is_read_back_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1000)
    image = tmp_path / "a.sqfs"
    assert main(["pack", str(tmp_path / "a"), str(image), "--compressor", "gzip"]) == 0
    content = bytearray(image.read_bytes())
    content[96:196] = bytes(100)
    image.write_bytes(content)
    assert main(["compact", str(image)]) == 0
    capsys.readouterr()
    assert main(["compact", str(image), "--verify"]) == 4
    written = capsys.readouterr()
    assert "stays as it is" in written.out
    assert "/a" in written.err


def test_a_sound_image_is_read_back_quietly(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["remove", str(image), "/in", "--verify"]) == 0
    assert main(["compact", str(image), "--threshold", "0", "--verify"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("at", ["end", "inodes", "content"])
def test_a_damaged_source_is_named_instead_of_the_image(
    at: str, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1000)
    source = tmp_path / "s.sqfs"
    assert main(["pack", str(tmp_path / "a"), str(source), "--compressor", "gzip"]) == 0
    with s3archivefs.open(source) as fs:
        damaged = {
            "end": fs.superblock.bytes_used,
            "inodes": fs.superblock.inode_table_start + 2 + 20,
            "content": fs.content_place(fs.stat("/a")).blocks_start + 100,
        }[at]
    content = bytearray(source.read_bytes())
    content[damaged - 20 : damaged] = bytes(20)
    if at == "end":
        del content[damaged - 1 :]
    source.write_bytes(content)
    before = image.read_bytes()
    capsys.readouterr()
    assert main(["append", str(image), str(source)]) == 4
    assert main(["pack", str(source), str(tmp_path / "new.sqfs")]) == 4
    written = capsys.readouterr()
    assert written.out == ""
    for line in written.err.splitlines():
        assert line.startswith(f"s3archivefs: {source}: ")
    assert image.read_bytes() == before
    assert not (tmp_path / "new.sqfs").exists()
