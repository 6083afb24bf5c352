"""The command `pack`: what it refuses, in one line each."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

import s3archivefs
from tests.support.command_line import Ran, run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "a").write_bytes(b"content")
    return path


def refused(ran: Ran) -> str:
    """The only line that a command wrote."""
    assert ran.code
    assert ran.written == b""
    (line,) = ran.errors.splitlines()
    return line


def test_closed_standard_input_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)  # as Python has it then
    line = refused(run("pack", "-", tmp_path / "a.sqfs"))
    assert line == "s3archivefs: -: standard input is closed: give it a tar stream"
    assert [*tmp_path.iterdir()] == []


def test_standard_input_comes_once(tmp_path: Path) -> None:
    line = refused(run("pack", "-", "-", tmp_path / "a.sqfs"))
    assert line == "s3archivefs: -: standard input comes once, and was given twice"


def test_a_fifo_is_told_instead_of_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    line = refused(run("pack", fifo, tmp_path / "a.sqfs"))
    assert line.endswith(f"{fifo}: is no file: if it yields a tar stream, give - and < {fifo}")
    assert [*tmp_path.iterdir()] == [fifo]


def test_a_manifest_that_exists_stays(source: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_bytes(b"kept")
    line = refused(run("pack", "--force", "--manifest", manifest, source, tmp_path / "a.sqfs"))
    assert line == f"s3archivefs: {manifest}: exists; remove it, or give another name"
    assert manifest.read_bytes() == b"kept"


def test_an_image_that_exists_stays_but_by_force(source: Path, tmp_path: Path) -> None:
    image = tmp_path / "a.sqfs"
    image.write_bytes(b"kept")
    assert refused(run("pack", source, image)).endswith("exists; --force replaces it")
    assert image.read_bytes() == b"kept"
    assert run("pack", "--force", source, image).code == 0


def test_a_directory_as_the_image_is_one_error(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    line = refused(run("pack", "--force", source, target))
    assert line == f"s3archivefs: {target}: Is a directory"


# ---- What is left out ----------------------------------------------------------------------------


def test_any_name_of_a_file_may_be_left_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"content")
    for name in ("b", "c"):
        (source / name).hardlink_to(source / "a")
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "-C", source, "a", "b", "c"], check=True)
    assert run("pack", source, tmp_path / "a.sqfs").code == 0
    for kind in ("source", "a.tar", "a.sqfs"):
        image = tmp_path / "packed.sqfs"
        assert run("pack", "--force", "--exclude", "a", tmp_path / kind, image).code == 0
        with s3archivefs.open(image) as fs:
            assert fs.listdir("/") == ["b", "c"]
            assert fs.read_bytes("b") == b"content"
            assert fs.stat("b").nlink == 2
            assert fs.stat("c").inode_number == fs.stat("b").inode_number


def test_a_link_to_what_is_left_out_of_a_stream_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
        link = tarfile.TarInfo("b")
        link.type, link.linkname = tarfile.LNKTYPE, "a"
        tar.addfile(link)
    content.seek(0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
    line = refused(run("pack", "--exclude", "a", "-", tmp_path / "a.sqfs"))
    assert line == (
        "s3archivefs: b: a hard link to a, which --exclude leaves out; leave out both, or give a"
        " file, which can be read twice"
    )


# ---- Files that come first -----------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """A directory, and archives of it."""
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    for number in range(20):
        (source / f"d/{number:02}").write_bytes(b"%d" % number * 3000)
    (source / "link").hardlink_to(source / "d/07")
    archives = [tmp_path / f"a.{kind}" for kind in ("tar", "tar.gz", "zip", "sqfs")]
    with tarfile.open(archives[0], "w") as tar, tarfile.open(archives[1], "w:gz") as compressed:
        for archive in (tar, compressed):
            archive.add(source, "")
    with zipfile.ZipFile(archives[2], "w") as zipped:
        for path in sorted(source.rglob("*")):
            zipped.write(path, path.relative_to(source))
    assert run("pack", source, archives[3]).code == 0
    return [source, *archives]


def test_files_of_all_sources_come_first_in_an_order(sources: list[Path], tmp_path: Path) -> None:
    paths = ["d/13", "link", "d/02", "d/19"]
    (tmp_path / "first").write_text("\n".join(paths))
    for source in sources:
        image, plain = tmp_path / "b.sqfs", tmp_path / "c.sqfs"
        options = ("--force", "--no-fragments", "--order", tmp_path / "first")
        ran = run("pack", *options, source, image)
        assert (ran.code, ran.errors) == (0, ""), source
        assert run("pack", "--force", source, plain).code == 0
        assert run("diff", "--times", plain, image).code == 0, source
        lines = run("hash", image).text.splitlines()  # in the order of the disk
        names = [line.split("  ")[1].lstrip("/") for line in lines]
        assert [name for name in names if name != "d/07"][:4] == paths, source


def test_an_order_needs_what_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "first").write_text("a\n")
    line = refused(run("pack", "--order", tmp_path / "first", "-", tmp_path / "a.sqfs"))
    assert line.endswith("reads the sources several times; standard input comes once: give a file")


def test_what_is_said_is_what_the_image_holds_where_members_were_replaced(tmp_path: Path) -> None:
    archives = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for archive, content in zip(archives, (b"former", b"new"), strict=True):
        with tarfile.open(archive, "w") as tar:
            for name in ("x", "y", "z"):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    ran = run("pack", *archives, tmp_path / "out.sqfs")
    assert ran.text.startswith(f"{tmp_path}/out.sqfs: 3 files of 9 in ")
    (said,) = run("pack", "--json", "--force", *archives, tmp_path / "out.sqfs").items
    assert (said["files"], said["content_size"]) == (3, 9)
