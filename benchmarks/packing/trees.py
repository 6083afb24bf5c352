"""The trees of files that packing is measured on, and the reads of each.

They are drawn from fixed seeds, but for the source tree, which is the running Python's standard
library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.support.images.trees import standard_library_tree

__all__ = ["TREES", "Operation", "Read", "Run", "Tree"]

_MTIME = 1_700_000_000
_RANGE_BYTES = 64 << 10
_SAMPLES = 12
_SMALL_FILES = range(100, 16 << 10)
"""Bytes of a small file: nothing is read of an empty one."""
_FILES_OF_A_DIRECTORY = 200
_RANDOM_FILES = 100


class Read(NamedTuple):
    """A GetObject of a whole file, or of `length` bytes of it."""

    path: str
    offset: int = 0
    length: int | None = None


class Run(NamedTuple):
    """Reads of an archive just opened; those of `before` are not measured."""

    reads: list[Read]
    before: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """Runs of one kind; a table shows their mean."""

    name: str
    runs: list[Run]
    is_timed: bool = False
    """Whether the table shows the reader's processor time too."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Files to pack, and the operations that read them."""

    path: Path
    operations: list[Operation]

    @property
    def files(self) -> list[Path]:
        """All files, in the order of their paths."""
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def random_paths(self) -> list[str]:
        """The paths that the last operation reads."""
        return [read.path for run in self.operations[-1].runs for read in run.reads]

    def content(self, read: Read) -> bytes:
        """Return the bytes that a read must give."""
        with (self.path / read.path).open("rb") as file:
            file.seek(read.offset)
            return file.read(-1 if read.length is None else read.length)


def records(path: Path) -> Tree:
    """Write 20,000 JSON documents of some 2 KB, 200 in each directory."""
    draw = _Draw(seed=1)
    for number in range(20_000):
        _write(path / f"d{number // 200:03}/r{number:05}.json", draw.record(number))
    return _tree_of_small_files(path, "d050")


def source(path: Path) -> Tree:
    """Copy the modules of Python's standard library."""
    standard_library_tree(path)
    for file in [file for file in path.rglob("*") if file.is_file() and file.suffix != ".py"]:
        file.unlink()
    folders = {folder: _files(folder) for folder in (path, *path.rglob("*")) if folder.is_dir()}
    most = max(folders, key=lambda folder: (len(folders[folder]), str(folder)))
    return _tree_of_small_files(path, str(most.relative_to(path)))


def long_files(path: Path) -> Tree:
    """Write a table of 64 MiB as text, and 2,000 JSON documents."""
    draw = _Draw(seed=2)
    size = 64 << 20
    _write(path / "table.csv", draw.table(size))
    for number in range(2_000):
        _write(path / f"records/r{number:05}.json", draw.record(number))
    steps = [size * (2 * each + 1) // (2 * _SAMPLES) for each in range(_SAMPLES)]
    ranges = [Run([Read("table.csv", offset + 12_345, _RANGE_BYTES)]) for offset in steps]
    return Tree(
        path,
        [
            Operation("64 KiB of a long file", ranges, is_timed=True),
            Operation("64 MiB, all of it", [Run([Read("table.csv")])], is_timed=True),
            Operation("one small file", [Run([Read("records/r01000.json")])]),
        ],
    )


def pictures(path: Path) -> Tree:
    """Write 300 files of 20 to 380 KB of noise, 50 in each directory."""
    random = Random(3)
    for number in range(300):
        content = random.randbytes(random.randint(20_000, 380_000))
        _write(path / f"d{number // 50:02}/p{number:03}.jpg", content)
    paths = [str(file.relative_to(path)) for file in sorted(path.rglob("*.jpg"))]
    drawn = Random(4).sample(paths, 50)
    return Tree(
        path,
        [
            Operation("one file", [Run([Read(each)]) for each in drawn[:_SAMPLES]], is_timed=True),
            Operation("50 of one directory", [Run([Read(each) for each in paths[150:200]])]),
            Operation("50 at random", [Run([Read(each) for each in drawn])]),
        ],
    )


TREES: dict[str, Callable[[Path], Tree]] = {
    "records": records,
    "source": source,
    "long": long_files,
    "pictures": pictures,
}


def _tree_of_small_files(path: Path, directory: str) -> Tree:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    small = [str(file.relative_to(path)) for file in files if file.stat().st_size in _SMALL_FILES]
    drawn = Random(4).sample(small, _RANDOM_FILES)
    one = drawn[:_SAMPLES]
    neighbours = [
        (each, after)
        for each, after in pairwise(small)
        if each in one and Path(each).parent == Path(after).parent
    ]
    listed = [str(file.relative_to(path)) for file in _files(path / directory)]
    return Tree(
        path,
        [
            Operation("one file", [Run([Read(each)]) for each in one], is_timed=True),
            Operation(
                "the next of its directory",
                [Run([Read(after)], before=(Read(each),)) for each, after in neighbours],
            ),
            Operation(
                "200 of one directory",
                [Run([Read(each) for each in listed[:_FILES_OF_A_DIRECTORY]])],
            ),
            Operation("100 at random", [Run([Read(each) for each in drawn])]),
        ],
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    mtime = _MTIME + len(content) * 7919 % 50_000_000
    os.utime(path, (mtime, mtime))


class _Draw:
    """Text as programs write it: words by Zipf's law, numbers, fields that repeat."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        lengths = [self._random.randint(2, 9) for _ in range(8_000)]
        self._vocabulary = ["".join(self._random.choices(letters, k=length)) for length in lengths]
        self._weights = list(accumulate(1 / rank for rank in range(1, 8_001)))

    def record(self, number: int) -> bytes:
        """Return a document with some 1.5 KB of prose, and fields."""
        random = self._random
        document = {
            "id": f"{random.getrandbits(128):032x}",
            "number": number,
            "created": f"2024-{random.randint(1, 12):02}-{random.randint(1, 28):02}T00:00:00Z",
            "title": self._words(6),
            "tags": self._words(4).split(),
            "position": [round(random.uniform(-180, 180), 6) for _ in range(2)],
            "scores": {name: random.random() for name in ("quality", "length", "rank")},
            "text": self._words(max(20, round(random.gauss(260, 80)))),
        }
        return json.dumps(document, indent=1).encode()

    def table(self, size: int) -> bytes:
        """Return lines of a measurement's log, of `size` bytes."""
        text = "".join(self._lines(size))
        return text.encode()[:size]

    def _lines(self, size: int) -> Iterator[str]:
        random, time = self._random, _MTIME
        written = 0
        while written < size:
            time += int(10 * random.random())
            values = ",".join(f"{20 * random.random():.3f}" for _ in range(6))
            line = f"{time},sensor-{int(400 * random.random()):03},{values},ok\n"
            written += len(line)
            yield line

    def _words(self, count: int) -> str:
        return " ".join(self._random.choices(self._vocabulary, cum_weights=self._weights, k=count))
