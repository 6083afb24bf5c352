"""Large archives, which squashfs-tools packs in minutes.

Members of both shapes are empty, as a listing reads no content. The fast way depends on the shape:

- `sqfstar` packs ten million members of a tar stream in three minutes and 6.7 GB of memory. But it
  looks each name up among those already in its directory: 20,000 names in one directory take 1.6 s,
  40,000 take 5.5 s.
- mksquashfs looks nothing up in a directory on disk, and links to a few files are made there faster
  than files.
- tar2sqfs needs a third of sqfstar's memory, but looks directories up too: it had not packed ten
  million members in 10,000 directories after ten minutes of processor time.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.images.tar_stream import MTIME, tar_stream

__all__ = ["FLAT", "PER_DIRECTORY", "TREE", "Packed", "Shape", "pack_directory", "pack_stream"]

PER_DIRECTORY = 1000
_LINKS_MAX = 60_000  # to one file; ext4 allows 65,000
_QUIETLY = ("-quiet", "-no-progress")


@dataclass(frozen=True, slots=True)
class Packed:
    """A kind of image, which is packed once for each number of members."""

    name: str
    pack: Callable[[int, Path], None]
    """Packs so many members as an image."""

    def image(self, members: int, directory: Path) -> Path:
        """Return the image of so many members in `directory`; pack it unless it is there."""
        image = directory / f"{self.name}-{members}.sqfs"
        if not image.exists():
            unfinished = image.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            self.pack(members, unfinished)
            unfinished.rename(image)
        return image


@dataclass(frozen=True, slots=True)
class Shape(Packed):
    """The way in which an archive's members lie in directories."""

    key: Callable[[int], str]
    """Returns the key of a member by its number from 0, in key order. All keys of a shape
    have one length.
    """
    members_max: int
    """The most members that can be packed in reasonable time."""


# ---- Many directories ----------------------------------------------------------------------------


def _tree_key(number: int) -> str:
    return f"d{number // PER_DIRECTORY:04}/f{number:07}.dat"


def _pack_tree(members: int, image: Path) -> None:
    def files(first: int) -> Iterator[tuple[str, bytes, int]]:
        for number in range(first, min(first + PER_DIRECTORY, members)):
            yield _tree_key(number), b"", MTIME + 7919 * number % 100_000_000

    directories = (
        (_tree_key(first).partition("/")[0], files(first))
        for first in range(0, members, PER_DIRECTORY)
    )
    pack_stream(directories, image)


def pack_stream(
    directories: Iterable[tuple[str, Iterable[tuple[str, bytes, int]]]],
    image: Path,
    *options: str,
) -> None:
    """Pack directories, which are as `tar_stream` takes them, with sqfstar and its options."""
    command = ["sqfstar", *_QUIETLY, *options, str(image)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as packer:
        assert packer.stdin is not None
        for piece in tar_stream(directories):
            packer.stdin.write(piece)
    if packer.returncode:
        raise subprocess.CalledProcessError(packer.returncode, command)


# ---- One directory -------------------------------------------------------------------------------

_LONG = "-with-a-long-name" * 5


def _flat_key(number: int) -> str:
    return f"f{number:07}{_LONG}.dat"


def pack_directory(key: Callable[[int], str], members: int, image: Path) -> None:
    """Pack one directory of so many empty files, which `key` names by their numbers."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        top = Path(name, "top")
        top.mkdir()
        for number in range(members):
            path = f"{top}/{key(number)}"
            if number % _LINKS_MAX == 0:
                source = path
                Path(source).touch()
            else:
                os.link(source, path)
        subprocess.run(["mksquashfs", top, image, "-no-hardlinks", *_QUIETLY], check=True)


TREE = Shape("tree", _pack_tree, _tree_key, 10_000_000)
"""Directories of a thousand members each."""
FLAT = Shape("flat", partial(pack_directory, _flat_key), _flat_key, 1_000_000)
"""One directory of all members, with long names. For a million, its index has 13,000 entries."""
