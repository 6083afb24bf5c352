"""A tar stream of any length that nobody stores: noise, which no compressor makes shorter.

The contents follow from their numbers, and their SHA-256s are kept as the stream is read.
"""

from __future__ import annotations

import hashlib
from random import Random
from tarfile import PAX_FORMAT, TarInfo
from typing import TYPE_CHECKING

from tests.support.images.tar_stream import MTIME

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["StreamedTar"]

_BLOCK = 512
_MIB = 1 << 20
_NOISE = memoryview(Random(20).randbytes(16 * _MIB))
_APART = 65_537
"""Bytes between the starts of two files in the noise: more than a small one has."""
_SMALL = 1000
_ROUND = (*range(2_000, 62_000, 60), *[_MIB + 77] * 28, 40 * _MIB)
"""Sizes of files, which come again and again: 1,000 small ones, and two thirds in larger ones."""
assert len(_ROUND) == _SMALL + 29


class StreamedTar:
    """Yields pieces of a tar stream of files with `total` bytes and, at most, 40 MiB more.

    The first file has a twentieth of all bytes.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self.sums: dict[str, str] = {}
        """SHA-256s of what was read so far, by path."""
        self.content_bytes = 0
        """Bytes of content that were read so far."""

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield from self._file("first", 0, self._total // 20)
        number = 0
        while self.content_bytes < self._total:
            size = _ROUND[number % len(_ROUND)]
            number += 1
            yield from self._file(f"d{number // _SMALL:04}/f{number:07}", number, size)
        yield bytes(2 * _BLOCK)

    def _file(self, path: str, number: int, size: int) -> Iterator[bytes | memoryview]:
        info = TarInfo(path)
        info.size, info.mtime = size, MTIME
        yield info.tobuf(PAX_FORMAT)
        digest = hashlib.sha256()
        start = number * _APART % (len(_NOISE) - _MIB)
        for position in range(0, size, _MIB):
            tag = b"%016d" % (number << 24 | position >> 20)  # no two MiB are alike
            piece = _NOISE[start : start + min(_MIB, size - position) - len(tag)]
            digest.update(tag)
            digest.update(piece)
            yield tag
            yield piece
        yield bytes(-size % _BLOCK)
        self.sums[path] = digest.hexdigest()
        self.content_bytes += size
