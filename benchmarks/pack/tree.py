"""The files of *source* in a directory.

    python -m benchmarks.pack.tree DIRECTORY FILES

A process of its own, since a measured process counts its parent's memory as its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.reader.source_tree import SOURCE

__all__ = ["write"]


def write(directory: Path, files: int) -> None:
    """Write so many files of the tree."""
    for top, within in SOURCE.directories(files):
        (directory / top).mkdir(parents=True, exist_ok=True)
        for file in within:
            (directory / file.path).write_bytes(file.content)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
