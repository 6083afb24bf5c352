"""An image with all that a filesystem may meet, and filesystems over it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise, text
from fixtures.tree import directory, fifo, file, hard_link, symlink
from s3archivefs.filesystem import ArchiveFileSystem, register
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096
LATIN = os.fsdecode(b"caf\xe9")
CONTENTS = {
    "a/blocks": text(3 * BLOCK),
    "a/both": text(2 * BLOCK + 77),
    "a/deep/er/leaf": b"leaf\n",
    "a/empty": b"",
    "a/second": text(2 * BLOCK + 77),
    "a.b": b"dot",
    "lines": b"one\ntwo\nthree\n" + text(BLOCK),
    LATIN: b"latin",
    "large": noise(5 << 20),
    **{f"many/{number:02}": b"%d" % number + text(number * 37) for number in range(40)},
}


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = [directory("a"), directory("a/deep"), directory("a/deep/er"), directory("many")]
    tree += [file(name, data) for name, data in CONTENTS.items() if name != "a/second"]
    tree += [hard_link("a/second", "a/both"), directory("nothing"), fifo("pipe")]
    tree += [symlink("to file", "a/both"), symlink("to directory", "a/deep")]
    tree += [symlink("a/deep/up", "../.."), symlink("nowhere", "x"), symlink("loop", "loop")]
    return make_image(tmp_path_factory.mktemp("filesystem"), tuple(tree))


@pytest.fixture
def fs(image: Path) -> Iterator[ArchiveFileSystem]:
    with ArchiveFileSystem(str(image)) as opened:
        yield opened


@pytest.fixture(autouse=True, scope="session")
def registered() -> None:
    """Have fsspec know the protocols, whatever else the environment has."""
    register()
