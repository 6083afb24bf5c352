"""What the builder lays out without being told otherwise is what two other readers read."""

from __future__ import annotations

import ast
import os
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.images import built
from tests.support.images.built import build, directory, file, special, symlink
from tests.support.images.compressors import COMPRESSORS

if TYPE_CHECKING:
    from tests.support.images.built import Image

TEXT = b"".join(b"%07d\n" % number for number in range(700))
CONTENTS = {
    "blocks": TEXT[: 4096 * 1],
    "holes": bytes(4096) + TEXT[:4096] + bytes(4096) + TEXT[:9],
    "large": TEXT,
    "same": TEXT,
    "tail": TEXT[:700],
}
PAIRS = struct.pack("<HH4sI3s", 0, 4, b"kind", 3, b"abc")
LZ4_OPTIONS = struct.pack("<HII", 0x8008, 1, 0)


def sound(codec: str | None) -> Image:
    """An image of everything: all kinds of inode, tails in a fragment, a link, attributes."""
    number, compressor = COMPRESSORS[codec or "gzip"]
    tree = {
        b"blocks": file(CONTENTS["blocks"], mtime=2**32 - 1),
        b"char": special(5, rdev=0x11100570),
        b"dir": directory(
            {b"fifo": special(6, mode=0o600), b"socket": special(14)}, extended=True, mode=0o755
        ),
        b"dir2": directory(mode=0o700, uid=1),
        b"holes": file(CONTENTS["holes"], extended=True, in_fragment=True, sparse=8192),
        b"large": (large := file(TEXT, extended=True, in_fragment=True, xattr=0, nlink=2)),
        b"link": symlink(b"dir/fifo"),
        b"link2": symlink(b"tail", extended=True),
        b"same": large,
        b"tail": file(CONTENTS["tail"], in_fragment=True),
    }
    return build(
        directory(tree, mode=0o755),
        compression=number,
        compressor=compressor if codec else None,
        options=LZ4_OPTIONS if codec == "lz4" else b"",
        ids=(0, 1000),
        pairs=PAIRS,
        sets=[(0, 1, 12)],
        padding=4096,
    )


@pytest.fixture(params=[None, *COMPRESSORS])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "built.sqfs"
    path.write_bytes(bytes(sound(request.param)))
    return path


def run(*command: str | Path) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_unsquashfs_extracts_what_was_laid_out(image: Path, tmp_path: Path) -> None:
    options = ["-quiet", "-no-progress", "-no-xattrs"]
    if os.geteuid():
        options.append("-no-exit-code")  # only root makes devices; all else is looked at below
    run("unsquashfs", *options, "-dest", tmp_path / "out", image)
    for name, content in CONTENTS.items():
        assert (tmp_path / "out" / name).read_bytes() == content
    assert (tmp_path / "out/large").samefile(tmp_path / "out/same")
    assert str((tmp_path / "out/link").readlink()) == "dir/fifo"
    assert (tmp_path / "out/dir/fifo").is_fifo()
    assert (tmp_path / "out/dir/socket").is_socket()
    listed = run("unsquashfs", "-lln", "-UTC", image).decode()
    assert "drwx------ 1000/0" in listed
    assert "2106-02-07 06:28 squashfs-root/blocks" in listed


def test_rdsquashfs_reads_what_was_laid_out(image: Path) -> None:
    for name, content in CONTENTS.items():
        assert run("rdsquashfs", "--cat", name, image) == content
    assert b"nod char 0644 0 0 c 5 70000" in run("rdsquashfs", "--describe", image)
    assert b"user.kind=abc" in run("rdsquashfs", "--xattr", "large", image)


def test_reader_agrees(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        assert {name: fs.read_bytes(name) for name in CONTENTS} == CONTENTS
        assert fs.getxattr("large", "user.kind") == b"abc"
        assert fs.stat("large") == fs.stat("same")
        assert list(fs.verify()) == []


def test_index_of_a_directory_is_used_by_those_who_read_it(tmp_path: Path) -> None:
    names = {b"%03d" % number + b"n" * 240: file() for number in range(90)}
    # A run a name, of 263 bytes: the first that begins in the second block is the 32nd.
    index = [(32 * 263, 8194, b"032" + b"n" * 240), (63 * 263, 16388, b"063" + b"n" * 240)]
    path = tmp_path / "indexed.sqfs"
    path.write_bytes(bytes(build(directory({b"d": directory(names, index=index)}), padding=4096)))
    with s3archivefs.open(path) as fs:
        assert all(fs.exists(b"/d/" + name) for name in names)
        assert list(fs.verify()) == []
    listed = run("unsquashfs", "-ls", path).decode().splitlines()
    assert len([line for line in listed if line.startswith("squashfs-root/d/")]) == 90


def test_builder_shares_nothing_with_the_reader() -> None:
    tree = ast.parse(Path(built.__file__).read_text(encoding="utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported == {
        *("__future__", "collections.abc", "dataclasses", "itertools", "struct", "typing"),
    }
