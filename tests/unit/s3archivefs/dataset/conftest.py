"""An image with classes of small files, and what else a pattern may meet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import noise, text
from fixtures.tree import directory, fifo, file, symlink
from s3archivefs.dataset import ArchiveDataset
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096
LATIN = os.fsdecode(b"caf\xe9.txt")
CLASSES = ("cat", "dog", "dog.old")
CONTENTS = {
    **{
        f"/{name}/{number:02}.txt": text(number * (57 + len(name)))
        for name in CLASSES
        for number in range(20)
    },
    "/cat/deep/er.txt": text(3 * BLOCK),
    "/cat/empty": b"",
    f"/{LATIN}": b"latin",
    "/large": noise(5 << 20),
}
"""What regular files hold, by path."""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = [*map(directory, CLASSES), directory("cat/deep"), directory("nothing"), fifo("pipe.txt")]
    tree += [file(path[1:], data) for path, data in CONTENTS.items()]
    tree += [symlink("link.txt", "cat/01.txt"), symlink("lost.txt", "x"), symlink("all", "cat")]
    return make_image(tmp_path_factory.mktemp("dataset"), tuple(tree))


@pytest.fixture
def dataset(image: Path) -> Iterator[ArchiveDataset[bytes]]:
    with ArchiveDataset(image) as opened:
        yield opened
