"""A directory's entries in the order of S3's keys.

A listing in an archive sorts names. S3 sorts whole keys, where a directory is its name with a `/`
behind it. So a directory waits until all those names are through which its own begins and which
sort before the slash:

    the listing has   a (a directory that holds x), a-b, a0
    the keys are      a-b, a/x, a0                              for `-` < `/` < `0`

and a listing that starts at `a-b` has to find the directory `a`, which stands before that.
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
    """A directory's entries as (name, entry), a directory's name with `/` behind it, sorted by
    that.

    Left out is what lies below `start`: names, and directories of which no member's path can reach
    it. `count` is called for each seek.
    """
    first, slash, _ = start.partition(b"/")
    entries = scan(first)
    if slash and (entry := next(entries, None)) is not None:
        if entry.name == first and _is_dir(entry):
            # The lowest there can be. On the way down to a start, nothing else is looked for.
            yield first + b"/", entry
        else:
            entries = chain([entry], entries)
    waiting = sorted(_directories_above(scan, first, count))
    for entry in entries:
        while waiting and waiting[0][0] < entry.name:
            yield heappop(waiting)
        if _is_dir(entry):
            name = entry.name + b"/"
            if name >= start or start.startswith(name):
                heappush(waiting, (name, entry))
        elif entry.name >= start:
            yield entry.name, entry
    while waiting:
        yield heappop(waiting)


def _directories_above(
    scan: Scan, first: bytes, count: Callable[[], object]
) -> Iterator[tuple[bytes, DirEntry[bytes]]]:
    """The directories whose names are below `first`, and whose keys are above it: each is named as
    `first` begins.
    """
    reached = b""  # the lowest name from the last one looked for on: none lies between
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
