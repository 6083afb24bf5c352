"""Images of one crowded directory, packed from a disk.

Of a tar stream or a list, both suites of tools take a time that grows with the square of the names.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.support.images.trees import pack, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fixtures.tree import Node


def pack_crowd(
    image: Path, crowd: str, names: Iterable[str], *options: str, beside: tuple[Node, ...] = ()
) -> Path:
    """An image, by mksquashfs, of empty files with these names in `crowd`; returns its path."""
    with TemporaryDirectory() as top:
        tree = write_tree(beside, Path(top))
        (tree / crowd).mkdir()
        for name in names:
            os.close(os.open(tree / crowd / name, os.O_CREAT | os.O_WRONLY))
        return pack(tree, image, block_size=4096, extra=options)
