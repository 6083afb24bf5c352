"""Listings of directories, packed many names at a time, a part for each request.

Of names with attributes the kernel makes inodes, which takes it and this process three times what
names alone take: `Form` has what a listing holds, and `callers` chooses it.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from enum import IntEnum
from itertools import accumulate, count, repeat
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.cached_only import NotCachedError
from s3archivefs.errors import SquashfsError
from s3archivefs.inode import FileKind, Stat
from s3archivefs.mount.branches import DIRECTORY, REGULAR, Wanted
from s3archivefs.mount.protocol import (
    DAY_SECONDS,
    NAMES,
    NAMES_AND_ATTRIBUTES,
    NAMES_WITHOUT_ATTRIBUTES,
    sectors,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from struct import Struct

    from s3archivefs.mount.branches import Batch
    from s3archivefs.mount.operations import Operations

__all__ = ["Form", "Listings"]

_FAULTS = (SquashfsError, OSError, NotCachedError)
_STREAMS_MAX = 64  # listings that are read on without a search for the place
_NO_STAT = Stat(0, 0, 0, 0, 0, 0, 0, FileKind.FILE, 0, 0)


class Form(IntEnum):
    """What a listing tells the kernel of each file; it looks up what it misses."""

    ATTRIBUTES = 0
    PROBE = 1
    """Attributes of all files but one, which is looked up if anybody wants them."""
    NAMES = 2
    """Attributes of directories alone, which who walks a tree looks at in any case."""
    PLAIN = 3
    """No attributes, nor room for any: to a kernel that asks for none."""


class _Stream(NamedTuple):
    """A listing between two requests."""

    packed: list[bytes]
    """Entries that the last answer had no room for."""
    place: int
    """The place of the first of them."""
    batches: Iterator[Batch]
    """What comes behind them."""


class Listings:
    """The listings of one tree."""

    def __init__(self, operations: Operations, leave_out: Callable[[int], bool]) -> None:
        """`leave_out` says whether a probe leaves out a file now.

        It is asked with the directory, for each batch that has files.
        """
        self._operations = operations
        self._leave_out = leave_out
        self._streams: dict[tuple[int, int, Form], _Stream] = {}
        """By directory, place and form, those that were read last."""

    def answer(self, directory: int, place: int, room: int, form: Form) -> bytes:
        """Return entries from a place on, as room allows.

        What keeps further ones from being read is raised by the next call, if there are some.
        """
        answer: list[bytes] = []
        try:
            packed, here, batches = self._stream(directory, place, form)
            while True:
                fitting = _fitting(packed, room)
                answer += packed[:fitting]
                place = here + fitting if fitting else place
                if fitting < len(packed):
                    stream = _Stream(packed[fitting:], place, batches)
                    break
                room -= sum(map(len, packed))
                batch = next(batches, None)
                if batch is None:  # as the next request, for the names behind, is to be told
                    stream = _Stream([], place, iter(()))
                    break
                packed, here = self._packed(directory, batch, form), batch.place
        except _FAULTS:
            if not answer:
                raise
        else:
            if answer:
                self._suspend((directory, place, form), stream)
        return b"".join(answer)

    def _stream(self, directory: int, place: int, form: Form) -> _Stream:
        suspended = self._streams.pop((directory, place, form), None)
        if suspended is not None:
            return suspended
        wanted = _WANTED[form]
        return _Stream([], place, self._operations.listed(directory, place, wanted))

    def _packed(self, directory: int, batch: Batch, form: Form) -> list[bytes]:
        if form is Form.PROBE and not (REGULAR in batch.types and self._leave_out(directory)):
            form = Form.ATTRIBUTES
        return _packed(batch, form)

    def _suspend(self, key: tuple[int, int, Form], stream: _Stream) -> None:
        self._streams[key] = stream
        if len(self._streams) > _STREAMS_MAX:
            with suppress(RuntimeError):  # another thread drops one too
                self._streams.pop(next(iter(self._streams)), None)


_WANTED = {
    Form.ATTRIBUTES: Wanted.ALL,
    Form.PROBE: Wanted.ALL,
    Form.NAMES: Wanted.DIRECTORIES,
    Form.PLAIN: Wanted.NONE,
}


def _fitting(packed: list[bytes], room: int) -> int:
    """Return how many entries there is room for."""
    if sum(map(len, packed)) <= room:
        return len(packed)
    return bisect_right([*accumulate(map(len, packed))], room)


def _packed(batch: Batch, form: Form) -> list[bytes]:
    """Return the entries of names."""
    names = batch.names
    lengths = [*map(len, names)]
    named = (batch.inode_numbers, count(batch.place + 1), lengths, batch.types, names)
    if form is Form.PLAIN:
        return _packed_columns(NAMES, lengths, named)
    if batch.stats is None:
        return _packed_columns(NAMES_WITHOUT_ATTRIBUTES, lengths, named)
    nodes = _shown_nodes(batch, form)
    # Of a name without attributes the kernel takes nothing but node 0, which says so.
    stats = [stat or _NO_STAT for stat in batch.stats] if None in batch.stats else batch.stats
    modes, uids, gids, mtimes, sizes, nlinks, _, _, rdevs, _ = zip(*stats, strict=True)
    columns = (
        *(nodes, repeat(DAY_SECONDS), repeat(DAY_SECONDS)),
        *(batch.inode_numbers, sizes, map(sectors, sizes, batch.hole_bytes)),
        *(mtimes, mtimes, mtimes),
        *(modes, nlinks, uids, gids, rdevs),
        *named,
    )
    return _packed_columns(NAMES_AND_ATTRIBUTES, lengths, columns)


def _packed_columns(
    layouts: Sequence[Struct], lengths: Sequence[int], columns: Sequence[Iterable[object]]
) -> list[bytes]:
    """Return entries whose fields stand in columns; layouts go by names' lengths."""
    length = lengths[0]
    if lengths.count(length) == len(lengths):  # as are such as 0001.jpg: it takes two thirds
        return [*map(layouts[length].pack, *columns)]
    rows = zip(lengths, zip(*columns, strict=False), strict=False)
    return [layouts[length].pack(*row) for length, row in rows]


def _shown_nodes(batch: Batch, form: Form) -> Sequence[int]:
    """Return the nodes of files whose attributes are shown, and 0 of all others."""
    nodes = batch.nodes
    if form is Form.NAMES:
        pairs = zip(nodes, batch.types, strict=True)
        nodes = [node if kind == DIRECTORY else 0 for node, kind in pairs]
    elif form is Form.PROBE:
        probe = batch.types.index(REGULAR)
        nodes = [*nodes[:probe], 0, *nodes[probe + 1 :]]
    if batch.stats is not None and None in batch.stats:
        nodes = [node if stat else 0 for node, stat in zip(nodes, batch.stats, strict=True)]
    return nodes
