"""What is asked of each way to read an archive in S3, and the process in which one is measured.

    python -m benchmarks.remote.reader < TASK

TASK is JSON: `reader` (MODULE:CLASS), `target` (the fields of `Target`), and `steps`, each a list
of calls, [METHOD, ARGUMENT, ...]. Standard output gets, for each step, when it began and ended on
the clock of time.monotonic(), which all processes share, and what its last call answered.

Only the standard library is imported here: peers run in an environment of their own.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["PIECE_BYTES", "Reader", "Target", "range_header"]

PIECE_BYTES = 1 << 20
"""What a reader with a file interface reads at once of a long file."""
_SAMPLE_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to read; where the store is, and who asks, stand in the standard AWS variables."""

    bucket: str
    image: str
    """Its key."""
    zip_url: str
    """Of the same tree as a zip, presigned."""
    directory: str
    """An empty one, for caches and downloads."""


class Reader(ABC):
    """A way to read an archive. Once made, modules are imported and clients made, but nothing has
    been asked of the store. Paths are relative.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def open(self) -> None:  # noqa: B027 -- not all have something to do
        """Make the archive ready; comes first."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The file's content."""

    @abstractmethod
    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """A part of it."""

    @abstractmethod
    def list(self, path: str) -> list[tuple[str, int]]:
        """Name and size of each file in a directory that holds nothing else."""

    @abstractmethod
    def stream(self, path: str) -> Iterator[bytes]:
        """The content of a long file, in order."""

    def close(self) -> None:  # noqa: B027 -- likewise
        """End what the reader has started."""


def _read_many(reader: Reader, paths: list[str]) -> bytes:
    return b"".join([reader.read(path) for path in paths])


def _repeat(reader: Reader, path: str, count: int) -> list[float]:
    """Seconds that each of `count` reads took."""
    clock = time.perf_counter
    times = [clock()]
    for _ in range(count):
        reader.read(path)
        times.append(clock())
    return [after - before for before, after in pairwise(times)]


def _stream(reader: Reader, path: str) -> list[tuple[int, str]]:
    """The first bytes of each piece and where they stand, and at the end nothing."""
    samples, place = [], 0
    for piece in reader.stream(path):
        samples.append((place, piece[:_SAMPLE_BYTES]))
        place += len(piece)
    return [(at, sample.hex()) for at, sample in [*samples, (place, b"")]]


def range_header(offset: int, length: int) -> str:
    """The HTTP header's value for these bytes."""
    return f"bytes={offset}-{offset + length - 1}"


_HELPERS: dict[str, Callable[..., object]] = {
    "read_many": _read_many,
    "repeat": _repeat,
    "stream": _stream,
}


def _call(reader: Reader, method: str, *arguments: Any) -> Any:  # noqa: ANN401 -- the methods' own
    if method in _HELPERS:
        return _HELPERS[method](reader, *arguments)
    return getattr(reader, method)(*arguments)


def _run(task: dict[str, Any]) -> list[dict[str, Any]]:
    module, _, name = task["reader"].partition(":")
    reader: Reader = getattr(importlib.import_module(module), name)(Target(**task["target"]))
    done = []
    try:
        for calls in task["steps"]:
            start = time.monotonic()
            answer = None
            for method, *arguments in calls:
                answer = _call(reader, method, *arguments)
            end = time.monotonic()
            done.append({"start": start, "end": end, "answer": _comparable(answer)})
    finally:
        reader.close()
    return done


def _comparable(answer: object) -> object:
    if isinstance(answer, bytes):
        return hashlib.sha256(answer).hexdigest()
    return sorted(answer) if isinstance(answer, Sequence) else answer


if __name__ == "__main__":
    with redirect_stdout(io.StringIO()):  # ratarmount tells there what it does
        done = _run(json.load(sys.stdin))
    json.dump(done, sys.stdout)
