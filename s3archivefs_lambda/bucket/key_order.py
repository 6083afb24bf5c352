"""A directory's entries in the order of S3's keys.

An archive lists a directory's names in the order of their bytes. S3 sorts whole keys, in which a
directory is its name with a `/` behind it. So a directory is held back until all names are through
that begin with its own and sort before the slash. For a directory `a`, which holds `x`, and two
files beside it (`-` < `/` < `0`):

    the archive lists       in_key_order
    a   (directory)         holds back `a/`
    a-b (file)              yields `a-b`, which is below `a/`
    a0  (file)              yields `a/`, which is below `a0`; then `a0`

The keys are `a-b`, `a/x`, `a0`. A listing that starts at `a-b` seeks to that name, and has passed
`a`, though `a/x` is still to come: `_directories_above` looks `a` up by itself, as it does every
beginning of the start that a character below `/` follows.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from s3archivefs import FileKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs import DirEntry

__all__ = ["Scan", "in_key_order"]

Scan: TypeAlias = "Callable[[bytes], Iterator[DirEntry[bytes]]]"
"""Lists a directory in the order of its names, from a name on."""

_SLASH = ord("/")
_NAME_MAX = 256
"""Bytes in a name: longer beginnings of a start need no look-up."""


def in_key_order(
    scan: Scan, start: bytes, count: Callable[[], object]
) -> Iterator[tuple[bytes, DirEntry[bytes]]]:
    """Yield a directory's entries as (name, entry), in the order of S3's keys.

    A directory's name has `/` behind it. Names below `start` are left out, and directories in which
    every path is. `count` is called for each seek.
    """
    first, slash, _ = start.partition(b"/")
    entries = scan(first)
    if slash and (entry := next(entries, None)) is not None:
        if entry.name == first and _is_dir(entry):
            # Its keys are the lowest: yield it before looking for others.
            yield first + b"/", entry
        else:
            entries = chain([entry], entries)
    held_back = sorted(_directories_above(scan, first, count))
    for entry in entries:
        while held_back and held_back[0][0] < entry.name:
            yield heappop(held_back)
        if _is_dir(entry):
            name = entry.name + b"/"
            if name >= start or start.startswith(name):
                heappush(held_back, (name, entry))
        elif entry.name >= start:
            yield entry.name, entry
    while held_back:
        yield heappop(held_back)


def _directories_above(
    scan: Scan, first: bytes, count: Callable[[], object]
) -> Iterator[tuple[bytes, DirEntry[bytes]]]:
    """Yield the directories whose names are below `first`, and whose keys are above it.

    Each is named as `first` begins.
    """
    reached = b""  # the name that the last look-up found: none lies between the two
    for length in range(1, min(len(first), _NAME_MAX + 1)):
        name = first[:length]
        if first[length] >= _SLASH or name < reached:
            continue
        count()
        entry = next(scan(name), None)
        if entry is None:
            return
        reached = entry.name
        if reached == name and _is_dir(entry):
            yield name + b"/", entry


def _is_dir(entry: DirEntry[bytes]) -> bool:
    return entry.kind is FileKind.DIRECTORY
