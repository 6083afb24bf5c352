"""Images of very many small files, by mksquashfs's `sqfstar`: a million in half a minute."""

from __future__ import annotations

import subprocess
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

from tests.support.images.tar_stream import MTIME, tar_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PER_DIRECTORY = 1000


def path_of(number: int) -> str:
    """The path of a file, counted from 0 in the order of paths."""
    return f"d{number // PER_DIRECTORY:04}/f{number:07}.txt"


def content_of(number: int) -> bytes:
    """Its content: 40 to 2,000 bytes that compress by half."""
    digest = blake2b(b"%d" % number).hexdigest()
    return (digest * 16).encode()[: 40 + int(digest[:4], 16) % 1961]


def short_content_of(number: int) -> bytes:
    """The same, at most 40 bytes."""
    return content_of(number)[: 8 + number % 33]


def noise_of(number: int) -> bytes:
    """400 bytes that do not compress."""
    return Random(number).randbytes(400)


def tar_of_many(count: int, content: Callable[[int], bytes]) -> Iterator[bytes]:
    """A tar stream of so many files, a thousand in each directory."""

    def files(first: int) -> Iterator[tuple[str, bytes, int]]:
        for number in range(first, min(first + PER_DIRECTORY, count)):
            yield path_of(number), content(number), MTIME + 7919 * number % 50_000_000

    return tar_stream(
        (path_of(first).partition("/")[0], files(first)) for first in range(0, count, PER_DIRECTORY)
    )


def pack_many(image: Path, count: int, *, short: bool = False) -> None:
    """An image of them."""
    # It compares each file with all others of its size, unless told that there are no two alike.
    command = ["sqfstar", "-quiet", "-no-progress", "-comp", "zstd", "-no-duplicates", str(image)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as packer:
        assert packer.stdin is not None
        for piece in tar_of_many(count, short_content_of if short else content_of):
            packer.stdin.write(piece)
    assert packer.returncode == 0
