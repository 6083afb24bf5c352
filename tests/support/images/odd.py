"""A small image of odd names, and of all kinds of files that a tar stream can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.tree import device, directory, fifo, file, hard_link, symlink
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

ODD = (
    device("device", "char_device", 5, 70000),
    directory("d\udcff", mode=0o1750, uid=1000, gid=100, mtime=1_500_000_000),
    file("d\udcff/-hyphen", b"hyphen\n", mode=0o4755),
    file("d\udcff/tab\tand\nnewline", b"x" * 10_000, xattrs={"user.kind": "odd\n\u65e5".encode()}),
    directory("empty", mtime=0),
    fifo("fifo"),
    file("back\\slash", bytes(8192) + b"behind a hole\n"),
    hard_link("d\udcff/linked", to="back\\slash"),
    symlink("link \u05d0\u05d1", "d\udcff/\u65e5\u672c"),
    file("\u05e9\u05dc\u05d5\u05dd", b"right to left\n"),
    file("\u202egpj.exe", b"turned round\n"),
    file("\u65e5\u672c", b"wide\n", mtime=1_200_000_000),
)


def make_odd_image(directory: Path) -> Path:
    """The image, uncompressed: its sizes depend on no version of a library."""
    return make_image(directory, ODD, "-noI", "-noId", "-noD", "-noF", "-noX", name="odd")
