"""Trees that look like source code: the running Python's own source, cut anew into files.

Names, sizes and places are drawn from a fixed seed, so that one version of Python always gives the
same tree. A file is a stretch of the standard library's source, so it compresses as source does.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.support.images.tar_stream import MTIME

__all__ = ["SMALL", "SOURCE", "File", "Tree"]

_DEPTH_MAX = 7
_WORDS = (
    "api",
    "cache",
    "codec",
    "core",
    "driver",
    "event",
    "include",
    "lib",
    "net",
    "parser",
    "tools",
)
_OTHERS = frozenset({"site-packages", "dist-packages"})  # folders of what is not Python's own


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree."""

    path: str
    size: int
    """Bytes."""
    place: float
    """Where its stretch begins, as a part of what there is: from 0 to 1."""

    @property
    def content(self) -> bytes:
        """The file's bytes."""
        text = _standard_library()
        start = int(self.place * (len(text) - self.size))
        return text[start : start + self.size]


@dataclass(frozen=True, slots=True)
class Tree:
    """A kind of tree: its files' sizes are lognormal, cut off at `size_max` bytes."""

    name: str
    size_mu: float
    """The natural logarithm of the median size in bytes."""
    size_sigma: float
    files_per_directory: int
    size_max: int = 2 << 20

    def directories(self, files: int) -> Iterator[tuple[str, list[File]]]:
        """Yield each directory, parents first, with the files in it."""
        draw = Random(f"{self.name}, {files} files")
        parents = [""]
        for number in range(-(-files // self.files_per_directory)):
            parent = parents[int(len(parents) * draw.random() ** 1.2)]
            top = f"{parent}{draw.choice(_WORDS)}{number}"
            if top.count("/") < _DEPTH_MAX:
                parents.append(f"{top}/")
            first = number * self.files_per_directory
            numbers = range(first, min(first + self.files_per_directory, files))
            yield top, [self._file(f"{top}/{draw.choice(_WORDS)}_{n}.py", draw) for n in numbers]

    def files(self, files: int) -> Iterator[File]:
        """Yield the files alone."""
        for _, within in self.directories(files):
            yield from within

    def stream(self, files: int) -> Iterator[tuple[str, Iterator[tuple[str, bytes, int]]]]:
        """Yield the directories as `tar_stream` takes them."""
        for top, within in self.directories(files):
            yield top, ((each.path, each.content, MTIME) for each in within)

    def _file(self, path: str, draw: Random) -> File:
        size = round(draw.lognormvariate(self.size_mu, self.size_sigma))
        return File(path, min(max(1, size), self.size_max), draw.random())


@cache
def _standard_library() -> bytes:
    """Return the source of the standard library, some 30 MB, in the order of paths."""
    library = Path(sysconfig.get_path("stdlib"))
    paths = sorted(library.rglob("*.py"))
    return b"".join(path.read_bytes() for path in paths if _OTHERS.isdisjoint(path.parts))


SOURCE = Tree("source", size_mu=8.89, size_sigma=1.45, files_per_directory=14)
"""23,000 files have 480 MB, and their paths six parts, as those of installed packages."""
SMALL = Tree("small", size_mu=7.62, size_sigma=0.1, files_per_directory=1_000)
"""Files of 2 KB, in directories too large to keep many of them in memory."""
