"""The files that are served: a tree on disk, and as an image."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.support.images.trees import pack

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUCKET", "Served", "make"]

BUCKET = "archive"
_PAGE_KEYS = 1000
_SMALL_BYTES = 2048
_LARGE_BYTES = 64 << 20
_LETTERS = bytes(b"etaoinshrdlu  \n."[byte % 16] for byte in range(256))
"""Sixteen letters for all bytes: content that compresses to about half."""


class Served(NamedTuple):
    """What is served, on disk and packed."""

    root: Path
    """A directory, which holds that of the bucket."""
    image: Path
    keys: list[str]
    """Of the small objects."""
    directory: str
    """The prefix of a page's keys."""
    large: str
    """The key of the large object."""


def make(directory: Path, files: int) -> Served:
    """Make files of 2 KiB, 1,000 a directory, and one of 64 MiB."""
    random = Random(16)  # the same files every time
    tree = directory / "files" / BUCKET
    keys = []
    for number in range(files):
        key = f"d{number // _PAGE_KEYS:03}/{number % _PAGE_KEYS:04}.txt"
        path = tree / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.randbytes(_SMALL_BYTES).translate(_LETTERS))
        keys.append(key)
    with (tree / "large.bin").open("wb") as large:
        for _ in range(_LARGE_BYTES >> 20):
            large.write(random.randbytes(1 << 20).translate(_LETTERS))
    image = pack(tree, directory / "files.sqfs")
    return Served(tree.parent, image, keys, "d000/", "large.bin")
