"""What programs do with a mounted tree."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.reader.source_tree import SOURCE

__all__ = ["LARGE_BYTES", "REMOTE_WORKS", "WORKS", "Work", "forget_pages"]

LARGE_BYTES = 200 << 20
"""Bytes of the file that is read from its beginning to its end."""
_READS, _REMOTE_READS = 2_000, 100
"""Reads of 4 KiB at random places of random files."""
_READ_BYTES = 4096
_SECONDS_MAX = 180.0


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work."""

    title: str
    do: Callable[[Path, int], object]
    """Does it in a directory where so many files are."""
    is_cold: bool = True
    """Whether the kernel's caches are emptied before."""
    reads: int = 0
    """Reads that it does, if it is told as reads a second."""
    goals: tuple[tuple[str, float, str], ...] = ()
    """Of each the other contender, how many times its time is allowed, and a text."""

    def seconds(self, point: Path, files: int) -> float | None:
        """Return what it takes; None for more than three minutes."""
        if self.is_cold:
            forget_pages()
        start = time.perf_counter()
        try:
            self.do(point, files)
        except subprocess.TimeoutExpired:
            return None
        return time.perf_counter() - start


def forget_pages() -> None:
    """Empty the kernel's caches of files and names; that takes root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")


def _shell(command: str) -> Callable[[Path, int], object]:
    def do(point: Path, _: int) -> object:
        return subprocess.run(
            ["sh", "-c", command],
            cwd=point,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=_SECONDS_MAX,
        )

    return do


def _random_reads(reads: int) -> Callable[[Path, int], object]:
    def do(point: Path, files: int) -> None:
        random = Random(1)
        long = [each for each in SOURCE.files(files) if each.size > _READ_BYTES]
        deadline = time.monotonic() + _SECONDS_MAX
        for _ in range(reads):
            file = random.choice(long)
            descriptor = os.open(point / file.path, os.O_RDONLY)
            os.pread(descriptor, _READ_BYTES, random.randrange(file.size - _READ_BYTES))
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("reads", _SECONDS_MAX)

    return do


WORKS: dict[str, tuple[Work, ...]] = {
    "source": (
        Work("`find`", _shell("find .")),
        Work(
            "`find` with sizes, once listed",
            _shell("find . -printf %s"),
            is_cold=False,
            goals=(("squashfuse_ll", 1, "≤ squashfuse_ll"),),
        ),
        Work("`tar c`", _shell("tar c . | cat"), goals=(("kernel", 2, "≤ 2 x kernel"),)),
        Work("`tar c`, again", _shell("tar c . | cat"), is_cold=False),
        Work(
            "random 4 KiB",
            _random_reads(_READS),
            reads=_READS,
            goals=(("squashfuse_ll", 2, "≤ 2 x squashfuse_ll's time"),),
        ),
    ),
    "million": (
        Work("`ls -R` of a million", _shell("ls -R")),
        Work("`find` with sizes of a million", _shell("find . -printf %s")),
    ),
    "large": (Work("200 MB in sequence", _shell("dd if=large.bin bs=1M status=none | cat")),),
}
"""Pieces of work by what is mounted, in their order."""
REMOTE_WORKS: dict[str, tuple[Work, ...]] = {
    "source": WORKS["source"][:-1],
    # In a mount of its own, which has read nothing yet.
    "random": (Work("random 4 KiB", _random_reads(_REMOTE_READS), reads=_REMOTE_READS),),
    "million": WORKS["million"],
    "large": WORKS["large"],
}
"""The same of images in S3."""
