"""The sizes of the files below a directory, before they are read.

A file whose size no other has is no duplicate: it need not be hashed. To look at all files first
takes less than to hash most of their bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["Sizes", "Takes", "sizes_below"]


class Takes(Protocol):
    """Chooses what to pack."""

    def __call__(self, path: bytes, *, is_directory: bool) -> bool:
        """Return whether to take a path."""


class Sizes(NamedTuple):
    """What a walk found, in bytes. An inode with several names counts once."""

    total: int
    repeated: frozenset[int]
    """The sizes that several files have."""


def sizes_below(top: bytes, takes: Takes | None, without: Container[tuple[int, int]]) -> Sizes:
    """Look at the files that `takes` chooses, but inodes to go `without`. Raises OSError."""
    total = 0
    met: set[int] = set()
    repeated: set[int] = set()
    linked: set[tuple[int, int]] = set()
    pending = [(b"", top)]
    while pending:
        above, directory = pending.pop()
        with os.scandir(directory) as entries:
            for entry in entries:
                path = above + b"/" + entry.name if above else entry.name
                is_directory = entry.is_dir(follow_symlinks=False)
                if takes is not None and not takes(path, is_directory=is_directory):
                    continue
                if is_directory:
                    pending.append((path, entry.path))
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    inode = found.st_dev, found.st_ino
                    if inode in without or inode in linked:
                        continue
                    if found.st_nlink > 1:
                        linked.add(inode)
                    size = found.st_size
                    total += size
                    (repeated if size in met else met).add(size)
    return Sizes(total, frozenset(repeated))
