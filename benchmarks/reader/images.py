"""The images that readers are measured on, packed from streams or links.

    python -m benchmarks.reader.images DIRECTORY [--quick] NAME...

makes those that are missing: in a process of its own, since a measured process counts its parent's
memory as its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.listing.images import TREE, Packed, pack_directory, pack_stream
from benchmarks.reader.source_tree import SMALL, SOURCE, Tree

__all__ = ["FULL", "IMAGES", "MEMBER_PATHS", "QUICK", "Sizes", "image_path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many members the images have."""

    source: int
    million: int
    flat: int
    small: int


FULL = Sizes(source=23_000, million=1_000_000, flat=200_000, small=100_000)
QUICK = Sizes(source=4_000, million=100_000, flat=20_000, small=20_000)


def _flat_name(number: int) -> str:
    return f"f{number:07}.dat"


MEMBER_PATHS: dict[str, Callable[[int], str]] = {
    "million": lambda number: "/" + TREE.key(number),
    "flat": lambda number: "/" + _flat_name(number),
}
"""The paths of the members of two kinds of image, by their numbers."""


def _pack_tree(tree: Tree, options: str, members: int, image: Path) -> None:
    pack_stream(tree.stream(members), image, *options.split())


def _tree_image(tree: Tree, codec: str, options: str) -> Packed:
    return Packed(f"{tree.name}-{codec}", partial(_pack_tree, tree, f"-comp {codec} {options}"))


IMAGES: dict[str, tuple[Packed, Callable[[Sizes], int]]] = {
    "source-gzip": (_tree_image(SOURCE, "gzip", "-b 128K"), lambda sizes: sizes.source),
    "source-zstd": (_tree_image(SOURCE, "zstd", "-b 1M"), lambda sizes: sizes.source),
    "source-lz4": (_tree_image(SOURCE, "lz4", "-b 128K"), lambda sizes: sizes.source),
    "million": (TREE, lambda sizes: sizes.million),
    "flat": (Packed("short", partial(pack_directory, _flat_name)), lambda sizes: sizes.flat),
    "small": (_tree_image(SMALL, "gzip", "-b 128K"), lambda sizes: sizes.small),
}
"""Each kind of image, and how many members it has."""


def image_path(name: str, sizes: Sizes, directory: Path) -> Path:
    """Return the path of an image in `directory`; make it unless it is there."""
    packed, members = IMAGES[name]
    return packed.image(members(sizes), directory)


def main() -> None:
    """Make images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("names", nargs="+", choices=IMAGES)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for name in options.names:
        image_path(name, QUICK if options.quick else FULL, options.directory)


if __name__ == "__main__":
    main()
