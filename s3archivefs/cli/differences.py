"""How two trees differ: listings in byte order are merged, and pairs compared."""

from __future__ import annotations

from contextlib import closing, suppress
from operator import attrgetter
from stat import S_IMODE
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from s3archivefs.cli.described import KIND_NAMES, device_numbers
from s3archivefs.cli.faults import EXPECTED
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs.cli.descent import Node
    from s3archivefs.cli.sides import Side
    from s3archivefs.inode import Stat

__all__ = ["Aspects", "Difference", "differences"]

T = TypeVar("T")

_attributes = attrgetter("mode", "uid", "gid", "mtime", "size", "rdev")


class Aspects(NamedTuple):
    """What is compared besides names, kinds, modes, targets, devices and contents."""

    owners: bool
    times: bool
    symlink_modes: bool
    """Not of a directory on disk: Linux has one mode for all symlinks."""
    xattrs: bytes
    """How the names of the extended attributes begin that are compared."""


class Difference(NamedTuple):
    """One difference, with the values on both sides, if it has any."""

    place: bytes
    """Path below the tops, from a slash on; empty for the tops themselves."""
    what: str
    """only_in_first, only_in_second, or the aspect: kind, mode, owner, content and so on."""
    first: object = None
    second: object = None
    xattr: bytes | None = None
    """Name of the extended attribute."""


def differences(
    one: Side, other: Side, aspects: Aspects, compared: Callable[[int, int], object]
) -> Iterator[Difference]:
    """Yield the differences, those of a directory before those below it.

    `compared` is called with paths and bytes of content that are done. Takes memory for some of
    each directory on the way down, and for a piece of a file on each side.
    """
    on_the_way: list[Iterator[tuple[Node[bytes] | None, Node[bytes] | None]]]
    on_the_way = [iter([(one.top, other.top)])]
    while on_the_way:
        depth = len(on_the_way) - 1
        try:
            first, second = next(on_the_way[-1], (None, None))
        except _ReportedError:  # of what follows in this directory, nothing is known
            first = second = None
        if first is not None and second is not None:
            with suppress(_ReportedError):
                yield from _Pair(one, other, first, second).differences(aspects, compared)
            if first.kind is second.kind is FileKind.DIRECTORY:
                listings = _listed(one, first, depth), _listed(other, second, depth)
                on_the_way.append(_merged(*listings))
        elif first is not None:
            yield Difference(_place(one, first), "only_in_first")
        elif second is not None:
            yield Difference(_place(other, second), "only_in_second")
        else:
            on_the_way.pop()


def _listed(side: Side, node: Node[bytes], depth: int) -> Iterator[Node[bytes]]:
    """Yield the entries of a directory; raises _ReportedError where the side has a fault."""
    try:
        yield from side.entries(node, depth)
    except EXPECTED as error:
        side.faults.report(error, _place(side, node))
        raise _ReportedError from error


def _merged(
    first: Iterator[Node[bytes]], second: Iterator[Node[bytes]]
) -> Iterator[tuple[Node[bytes] | None, Node[bytes] | None]]:
    """Yield the nodes of two listings, those of one name together."""
    one, other = next(first, None), next(second, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.name < other.name):
            yield one, None
            one = next(first, None)
        elif one is None or other.name < one.name:
            yield None, other
            other = next(second, None)
        else:
            yield one, other
            one, other = next(first, None), next(second, None)


class _ReportedError(Exception):
    """A side had a fault, which was reported."""


class _Pair(NamedTuple):
    """Two nodes in the same place, on their sides."""

    one: Side
    other: Side
    first: Node[bytes]
    second: Node[bytes]

    def differences(
        self, aspects: Aspects, compared: Callable[[int, int], object]
    ) -> Iterator[Difference]:
        kind = self.first.kind
        if kind is not self.second.kind:
            yield self._found("kind", KIND_NAMES[kind], KIND_NAMES[self.second.kind])
            return
        first, second = self._both(_stat)
        if _attributes(first) != _attributes(second):
            for what, *values in _of_stats(first, second, aspects):
                if values[0] != values[1]:
                    yield self._found(what, *values)
        if kind is FileKind.SYMLINK:
            targets = self._both(lambda side, node: side.target(node))
            if targets[0] != targets[1]:
                yield self._found("target", *targets)
        elif kind is FileKind.FILE and first.size == second.size and not self._has_one_content():
            yield self._found("content")
        if self.one.has_xattrs or self.other.has_xattrs:
            yield from self._of_xattrs(aspects.xattrs)
        compared(1, first.size)

    def _found(self, what: str, first: object = None, second: object = None) -> Difference:
        return Difference(_place(self.one, self.first), what, first, second)

    def _has_one_content(self) -> bool:
        """Compare the contents piece by piece, as far as they are the same."""
        if not _stat(self.one, self.first).size:
            return True
        pieces = self._both(lambda side, node: side.pieces(node))
        with closing(pieces[0]), closing(pieces[1]):
            while True:
                first, second = self._both(lambda side, _: next(pieces[side is self.other], b""))
                if first != second or not first:
                    return first == second

    def _of_xattrs(self, prefix: bytes) -> Iterator[Difference]:
        first, second = self._both(lambda side, node: side.xattrs(node))
        for name in sorted({*first, *second}):
            values = first.get(name), second.get(name)
            if name.startswith(prefix) and values[0] != values[1]:
                yield self._found("xattr", *values)._replace(xattr=name)

    def _both(self, ask: Callable[[Side, Node[bytes]], T]) -> tuple[T, T]:
        """Ask both sides; raises _ReportedError where one has a fault."""
        return _asked(self.one, self.first, ask), _asked(self.other, self.second, ask)


def _asked(side: Side, node: Node[bytes], ask: Callable[[Side, Node[bytes]], T]) -> T:
    try:
        return ask(side, node)
    except EXPECTED as error:
        side.faults.report(error, _place(side, node))
        raise _ReportedError from error


def _stat(_: Side, node: Node[bytes]) -> Stat:
    return node.stat(follow_symlinks=False)


def _place(side: Side, node: Node[bytes]) -> bytes:
    """Return the path of a node below the top of its side."""
    return node.path.removeprefix(side.top.path.rstrip(b"/"))


def _of_stats(first: Stat, second: Stat, aspects: Aspects) -> Iterator[tuple[str, object, object]]:
    """Yield what is to be compared of attributes: what it is, and both values."""
    if aspects.symlink_modes or first.kind is not FileKind.SYMLINK:
        yield "mode", f"{S_IMODE(first.mode):04o}", f"{S_IMODE(second.mode):04o}"
    if aspects.owners:
        yield "owner", f"{first.uid}:{first.gid}", f"{second.uid}:{second.gid}"
    if aspects.times:
        yield "mtime", first.mtime, second.mtime
    if first.kind is FileKind.FILE:
        yield "size", first.size, second.size
    yield "device", _device(first), _device(second)


def _device(stat: Stat) -> str:
    return "{}:{}".format(*device_numbers(stat))
