"""Pages of keys over all that is mapped, in the byte order of whole keys.

A page is found by seeking: it reads nothing before the place where it begins, and looks only at the
mappings that it comes to. So it costs what it returns. If it would return too little, as an
archive can be made to hold a million directories without a file, it ends early, as S3's pages may,
and says where the next one begins.
"""

from __future__ import annotations

from enum import Enum, auto
from heapq import heapify, heappop, heappush, heappushpop
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.bucket.archive_walk import ArchiveWalk
from s3archivefs_lambda.bucket.walk import Item, Span, Work
from s3archivefs_lambda.s3api.key_space import end_of, is_below

if TYPE_CHECKING:
    from s3archivefs_lambda.bucket.walk import Sources, Walk

__all__ = ["PAGE_STEPS", "Page", "page_of"]

PAGE_STEPS = 50_000
"""Steps after which a page ends early.

An entry that yields nothing is one, as is a name looked up for a link; a directory entered is ten,
an archive opened 200. In all some 150 ms of work, ten times that of a full page: 50 steps for each
key, where an ordinary tree takes one or two.
"""
_PAGE_BYTES = 1 << 20
"""Bytes of keys on a page: a thousand of S3's longest. An archive may have far longer ones."""

_BETWEEN_NAMES = (b"", b"/")
"""Delimiters that no name has.

So of files side by side, all keys have one behind a prefix, or none has.
"""


class Page(NamedTuple):
    """Objects and common prefixes, in order."""

    items: list[Item]
    """A common prefix is an Item of a key alone."""
    continues_at: bytes | None
    """Where the next page begins; None on the last. Every key below it has been dealt with."""


def page_of(
    sources: Sources,
    prefix: bytes,
    delimiter: bytes,
    floor: bytes,
    *,
    max_items: int,
    steps: int = PAGE_STEPS,
) -> Page:
    """Return a page of the objects and common prefixes under `prefix`, from `floor` on.

    An archive of which only a common prefix is seen is not opened. A page with fewer than
    `max_items`, even one with none, may have others behind it; each one advances, whatever `steps`
    is.
    """
    items: list[Item] = []
    size = 0
    behind = floor = max(prefix, floor)
    end = end_of(prefix)
    if end is not None and floor >= end:
        return Page(items, None)
    keys = _Merge(sources, Span(floor, end), Work(steps))
    while (head := keys.next()) is not None:
        if head.state is _State.PAUSED:
            return Page(items, head.key)
        cut = head.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            found = [Item(head.key[: cut + len(delimiter)])]
        elif head.state in _BEGINNINGS:
            keys.enter(head)
            continue
        else:
            found = [head.item]
            if delimiter in _BETWEEN_NAMES:
                found += keys.following(max(0, max_items - len(items) - 1))
        for item in found:
            size += len(item.key)
            if len(items) == max_items or (items and size > _PAGE_BYTES):
                return Page(items, behind)
            items.append(item)
            behind = item.key + b"\0"
        if cut >= 0:
            end_of_group = end_of(found[0].key)
            if end_of_group is None:
                break
            behind = end_of_group
            keys.seek(behind)
    return Page(items, None)


class _State(Enum):
    """What is known of the lowest key that a source may have next."""

    OBJECT = auto()
    """An object has this key."""
    PAUSED = auto()
    """The page ends here: this key is not examined yet."""
    PENDING = auto()
    """A placeholder: the source is read once all lower keys are out."""
    MAPPING = auto()
    """It is the virtual prefix of a mapping that is not entered yet."""
    ARCHIVE = auto()
    """It is the virtual prefix of an archive that a source found among its objects."""


_BEGINNINGS = {_State.MAPPING, _State.ARCHIVE}


class _Head(NamedTuple):
    """The lowest key of one source, in the merge."""

    key: bytes
    virtual: bytes
    state: _State
    item: Item


class _Merge:
    """Merges the keys of all sources into one order.

    At any time it holds the sources around its place, one within another, and the source that
    follows, of which it knows the virtual prefix alone.
    """

    def __init__(self, sources: Sources, span: Span, work: Work) -> None:
        self._sources = sources
        self._span = span
        self._work = work
        self._walks: dict[bytes, Walk] = {}  # by virtual prefix
        self._heads: list[_Head] = []
        self._last: bytes | None = None  # virtual prefix of the source of the last object
        for virtual in sources.around(span.floor):
            if virtual < span.floor:
                self._add(virtual, sources.walk(virtual, span, work))
        self._await_mapping(span.floor)

    def next(self) -> _Head | None:
        """Return the next object, mapping or pause; None at the end."""
        head = None
        if self._last is not None:
            head = self._next_of(self._last)
            self._last = None
        while True:
            if head is not None:
                head = heappushpop(self._heads, head)
            elif self._heads:
                head = heappop(self._heads)
            else:
                return None
            if head.state is not _State.PENDING:
                break
            head = self._next_of(head.virtual)
        if head.state is _State.OBJECT:
            self._last = head.virtual  # not read on yet: the caller may `seek` first
        elif head.state is _State.MAPPING:
            self._await_mapping(head.key + b"\0")
        elif head.state is _State.ARCHIVE:
            self._push(self._walks[head.virtual].floor, head.virtual, _State.PENDING)
        return head

    def following(self, most: int) -> list[Item]:
        """Return objects that come next, beside the one that `next` returned (see `Walk`)."""
        if self._last is None:
            return []
        end = self._heads[0].key if self._heads else None
        return self._walks[self._last].following(end, most)

    def enter(self, head: _Head) -> None:
        """Go through the mapping or archive that `next` returned."""
        virtual, source = head.key, head.item.source
        if source is None:
            walk = self._sources.walk(virtual, self._span, self._work)
        else:
            walk = ArchiveWalk(self._sources, source, virtual, self._span, self._work)
        self._add(virtual, walk)

    def seek(self, floor: bytes) -> None:
        """Pass over all keys below `floor`."""
        behind = [head for head in self._heads if head.key < floor]
        self._heads = [head for head in self._heads if head.key >= floor]
        heapify(self._heads)
        for head in behind:
            if head.state is _State.MAPPING:
                self._await_mapping(floor)
            else:
                self._pass_over(head.virtual, floor)
        if self._last is not None:
            self._pass_over(self._last, floor)
            self._last = None

    def _add(self, virtual: bytes, walk: Walk) -> None:
        self._walks[virtual] = walk
        self._push(walk.floor, virtual, _State.PENDING)

    def _await_mapping(self, floor: bytes) -> None:
        virtual = self._sources.first(floor)
        if virtual is not None:
            self._push(virtual, virtual, _State.MAPPING)

    def _pass_over(self, virtual: bytes, floor: bytes) -> None:
        if is_below(virtual, floor):
            del self._walks[virtual]
            return
        walk = self._walks[virtual]
        walk.seek(floor)
        self._push(walk.floor, virtual, _State.PENDING)

    def _next_of(self, virtual: bytes) -> _Head | None:
        item = self._walks[virtual].next()
        if item is None:
            del self._walks[virtual]
            return None
        if item.stat is not None:
            state = _State.OBJECT
        else:
            state = _State.PAUSED if item.source is None else _State.ARCHIVE
        return _Head(item.key, virtual, state, item)

    def _push(self, key: bytes, virtual: bytes, state: _State) -> None:
        if self._span.end is None or key < self._span.end:
            heappush(self._heads, _Head(key, virtual, state, Item(key)))
