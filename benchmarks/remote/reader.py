"""The interface of a contender, and the process that measures one.

    python -m benchmarks.remote.reader < TASK

TASK is JSON: `reader` (MODULE:CLASS), `target` (the fields of `Target`), and `steps`, each a list
of calls, [METHOD, ARGUMENT, ...]. For each step, standard output tells its start and end, on the
clock of time.monotonic(), which all processes share, and the answer of its last call.

This module imports only the standard library, as peers run in an environment of their own.
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
"""Bytes of one read of a long file, through a file interface."""
_SAMPLE_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The archive to read. Credentials and endpoint come from the standard AWS variables."""

    bucket: str
    image: str
    """The image's key."""
    zip_url: str
    """Presigned URL of the same tree as a zip."""
    directory: str
    """An empty directory, for caches and downloads."""


class Reader(ABC):
    """A way to read an archive. Paths are relative.

    Making one imports modules and makes clients, but sends no request.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    def open(self) -> None:  # noqa: B027 -- not all need it
        """Make the archive ready. Call this first."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return the content of a file."""

    @abstractmethod
    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """Return a range of a file."""

    @abstractmethod
    def list(self, path: str) -> list[tuple[str, int]]:
        """Return name and size of each file of a directory that holds only files."""

    @abstractmethod
    def stream(self, path: str) -> Iterator[bytes | memoryview]:
        """Yield the content of a long file, in order."""

    def close(self) -> None:  # noqa: B027 -- likewise
        """End the programs that the reader has started."""


def _read_many(reader: Reader, paths: list[str]) -> bytes:
    return b"".join([reader.read(path) for path in paths])


def _repeat(reader: Reader, path: str, count: int) -> list[float]:
    """Return the seconds of each of `count` reads."""
    clock = time.perf_counter
    times = [clock()]
    for _ in range(count):
        reader.read(path)
        times.append(clock())
    return [after - before for before, after in pairwise(times)]


def _stream(reader: Reader, path: str) -> list[tuple[int, str]]:
    """Return offset and first bytes of each piece, and at last the size with none."""
    samples, place = [], 0
    for piece in reader.stream(path):
        samples.append((place, piece[:_SAMPLE_BYTES]))
        place += len(piece)
    return [(at, sample.hex()) for at, sample in [*samples, (place, b"")]]


def range_header(offset: int, length: int) -> str:
    """Return the value of the HTTP header Range for these bytes."""
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
    with redirect_stdout(io.StringIO()):  # ratarmount prints its progress there
        done = _run(json.load(sys.stdin))
    json.dump(done, sys.stdout)
