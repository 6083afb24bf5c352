"""The files that are read remotely: many small ones and a long one.

Both are packed as an image and as a zip. They are drawn from a fixed seed, so every run packs the
same bytes: words, which compress to a third, and noise, which does not compress.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random

from tests.support.images.trees import pack

__all__ = ["LONG_FILE", "Packed", "Paths", "make_long_file", "make_small_files"]

LONG_FILE = "file.bin"

_DIRECTORIES = {"flat": 5_000, "many": 250} | {f"src/d{number:03}": 20 for number in range(737)}
"""The number of files in each."""
_BIG_BYTES = 16_000_000
_LONG_COMPRESSED_BYTES = 200_000_000
_LOG_SIZE_MEDIAN, _LOG_SIZE_SIGMA, _SIZE_MAX = 7.6, 1.2, 100_000  # e^7.6 bytes: 2 KB
_BLOCK_BYTES = 128 << 10
_WORDS_BYTES = 8 << 20
"""Words are drawn once; files hold stretches of them."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A tree, and its image and its zip."""

    tree: Path
    image: Path
    zip: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The paths of small files that are read."""

    file: str
    """A file of some 2 KB of words."""
    second_file: str
    """Another such file, in another directory."""
    big_file: str
    directory: str
    """A directory of 20 files."""
    flat_directory: str
    """A directory of 5,000 files."""
    many_files: list[str]
    """200 files of one directory, in its order."""

    def needed(self, tree: Path) -> list[str]:
        """Return the paths of all files that any contender reads or lists."""
        directories = (self.directory, self.flat_directory)
        listed = [file for each in directories for file in (tree / each).iterdir()]
        return [
            *(str(file.relative_to(tree)) for file in listed),
            *(self.file, self.second_file, self.big_file, *self.many_files),
        ]


def make_small_files(directory: Path) -> tuple[Packed, Paths]:
    """Write and pack 20,000 files, 2 KB in the median, and one of 16 MB."""
    draw = _Draw(seed=1)
    tree = directory / "small"
    ordinary: list[str] = []
    for parent, count in _DIRECTORIES.items():
        (tree / parent).mkdir(parents=True)
        for number in range(count):
            size = draw.size()
            is_noise = number % 5 in {1, 3}
            path = f"{parent}/f{number:04}.{'bin' if is_noise else 'txt'}"
            (tree / path).write_bytes(draw.noise(size) if is_noise else draw.words(size))
            if parent.startswith("src") and not is_noise and 1_900 < size < 2_200:
                ordinary.append(path)
    (tree / "big").mkdir()
    (tree / "big/file.bin").write_bytes(draw.blocks(_BIG_BYTES // _BLOCK_BYTES))
    paths = Paths(
        file=ordinary[len(ordinary) // 3],
        second_file=ordinary[len(ordinary) * 2 // 3],
        big_file="big/file.bin",
        directory="src/d400",
        flat_directory="flat",
        many_files=sorted(f"many/{file.name}" for file in (tree / "many").iterdir())[:200],
    )
    return _packed(tree), paths


def make_long_file(directory: Path) -> Packed:
    """Write and pack `LONG_FILE`, which compresses to 200 MB, two thirds of its size."""
    tree = directory / "long"
    tree.mkdir(parents=True)
    blocks = _LONG_COMPRESSED_BYTES // (_BLOCK_BYTES * 2 // 3)
    (tree / LONG_FILE).write_bytes(_Draw(seed=2).blocks(blocks))
    return _packed(tree)


class _Draw:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        lengths = [self._random.randint(2, 9) for _ in range(4_000)]
        vocabulary = ["".join(self._random.choices(letters, k=length)) for length in lengths]
        # Zipf's law.
        weights = list(accumulate(1 / rank for rank in range(1, len(vocabulary) + 1)))
        words = self._random.choices(vocabulary, cum_weights=weights, k=_WORDS_BYTES // 5)
        self._words = " ".join(words).encode()

    def size(self) -> int:
        size = self._random.lognormvariate(_LOG_SIZE_MEDIAN, _LOG_SIZE_SIGMA)
        return min(round(size), _SIZE_MAX)

    def words(self, size: int) -> bytes:
        start = self._random.randrange(len(self._words) - size)
        return self._words[start : start + size]

    def noise(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def blocks(self, count: int) -> bytes:
        """Return blocks that each compress to two thirds."""
        half = _BLOCK_BYTES // 2
        return b"".join(self.noise(half) + self.words(half) for _ in range(count))


def _packed(tree: Path) -> Packed:
    """Pack a tree with the tools' defaults, but the image with zstd."""
    image = pack(tree, tree.with_suffix(".sqfs"), compressor="zstd")
    packed = Packed(tree, image, tree.with_suffix(".zip"))
    with zipfile.ZipFile(packed.zip, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in tree.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(tree))
    return packed
