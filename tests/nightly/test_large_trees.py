"""Large trees and files that the writer packs, by others' judgement first."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs import FileKind
from s3archivefs.writer import Entry, FileOutput, HardLink, ImageWriter, PackOptions
from s3archivefs.writer.entries import Member
from tests.support.images.fixtures import run_tool
from tests.support.images.judges import mounted_by_linux, skip_without_loop_devices

LONG = 9000
"""Names of 250 bytes that make more than 256 entries of an index."""
FAR = 40_000
"""Inodes between two names of one: more than 16 bits of a difference hold."""
LARGE = 5 << 30
"""Bytes of a file: more than 32 bits hold."""
MIB = 1 << 20


def write(path: Path, members: Iterator[Member]) -> None:
    options = PackOptions(compressor="lz4", block_size=MIB)
    with ImageWriter(FileOutput(path), options) as image:
        for member in members:
            image.add(member)


def names(count: int) -> Iterator[bytes]:
    return (b"%0250d" % number for number in range(count))


def require_sound(image: Path) -> None:
    with s3archivefs.open(image) as fs:
        assert [*fs.verify()] == []


def require_listed(image: Path, directory: str, expected: list[bytes]) -> None:
    """Others list the directory so, and find each of some names in it."""
    start = f"squashfs-root/{directory}/".encode()
    listed = run_tool("unsquashfs", "-ls", str(image)).stdout.splitlines()
    assert [each.removeprefix(start) for each in listed if each.startswith(start)] == expected
    described = run_tool("rdsquashfs", "--describe", str(image)).stdout
    assert described.count(f" {directory}/".encode()) == len(expected)
    skip_without_loop_devices()
    with mounted_by_linux(image) as top:
        assert sorted(map(os.fsencode, os.listdir(top / directory))) == expected  # noqa: PTH208 -- bytes
        for name in expected[:: len(expected) // 100]:
            assert (top / directory / os.fsdecode(name)).exists()


def test_an_index_of_more_than_256_long_names_and_inodes_that_are_far_apart(
    tmp_path: Path,
) -> None:
    def members() -> Iterator[Member]:
        yield Entry(b"a/first")
        for number in range(FAR):
            yield Entry(b"a/s%d" % number)
        for name in names(LONG):
            yield Entry(b"long/" + name)
        yield HardLink(b"long/between", b"a/first")
        yield HardLink(b"z", b"a/first")

    image = tmp_path / "a.sqfs"
    write(image, members())
    with s3archivefs.open(image) as fs:
        assert fs.stat("z").nlink == 3
    require_sound(image)
    require_listed(image, "long", [*names(LONG), b"between"])


def test_a_directory_of_more_than_128_mb(tmp_path: Path) -> None:
    count = 530_000  # names, each with 8 bytes besides, and a header for each 256
    image = tmp_path / "a.sqfs"
    write(image, (Entry(b"long/" + name) for name in names(count)))
    require_sound(image)
    require_listed(image, "long", [*names(count)])


def test_98_000_directories_in_one_and_70_000_names_of_a_file(tmp_path: Path) -> None:
    directories = sorted(b"%d" % number for number in range(98_000))

    def members() -> Iterator[Member]:
        for name in directories:
            yield Entry(b"many/" + name, FileKind.DIRECTORY, 0o755)
        yield Entry(b"first")
        for number in range(70_000):
            yield HardLink(b"links/%d" % number, b"first")

    image = tmp_path / "a.sqfs"
    write(image, members())
    with s3archivefs.open(image) as fs:
        assert fs.stat("many").nlink == len(directories) + 2
        assert fs.stat("first").nlink == 70_001
    require_sound(image)
    require_listed(image, "many", directories)


class Sparse:
    """The content of a large file: a block of noise at its start and after 4 GiB, else zeros."""

    NOISE = os.urandom(MIB)

    def __init__(self) -> None:
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Return a block, as the writer asks for it; nothing for the rest of the last."""
        if size < MIB:
            return b""
        block = self._position // MIB
        count = LARGE // MIB
        self._position += MIB
        if block > count:
            return b""
        if block == count:
            return b"the end"
        return self.NOISE if block in {0, 4100} else bytes(MIB)

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("tail_ends", [False, True])
def test_a_file_of_more_than_4_gib_with_holes(tmp_path: Path, *, tail_ends: bool) -> None:
    image = tmp_path / "a.sqfs"
    options = PackOptions(compressor="lz4", block_size=MIB, tail_ends=tail_ends)
    with ImageWriter(FileOutput(image), options) as writer:
        writer.add(Entry(b"large", open=Sparse))
        writer.add(Entry(b"links/large", open=Sparse, reopens=True))
    content, expected = Sparse(), hashlib.sha256()
    while block := content.read(MIB):
        expected.update(block)
    with subprocess.Popen(["rdsquashfs", "-c", "/large", image], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        found = hashlib.sha256()
        while piece := cat.stdout.read(MIB):
            found.update(piece)
    assert found.digest() == expected.digest()
    listed = run_tool("unsquashfs", "-ll", str(image)).stdout
    assert b" %d " % (LARGE + 7) in listed
    with s3archivefs.open(image) as fs, fs.open("/links/large") as file:
        assert file.seek(4100 * MIB - 1)
        assert file.read(MIB + 2) == b"\0" + Sparse.NOISE + b"\0"
        file.seek(LARGE)
        assert file.read() == b"the end"
    skip_without_loop_devices()
    with mounted_by_linux(image) as top, (top / "large").open("rb") as mounted:
        mounted.seek(4100 * MIB - 1)
        assert mounted.read(MIB + 2) == b"\0" + Sparse.NOISE + b"\0"
        mounted.seek(LARGE)
        assert mounted.read() == b"the end"
