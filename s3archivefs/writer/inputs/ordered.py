"""Members of sources with some files first, in an order that reading wants.

Sources are asked several times: first which of these files they have.
"""

from __future__ import annotations

import io
from collections import Counter
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from s3archivefs.errors import PackingError
from s3archivefs.inode import FileKind
from s3archivefs.names import decode
from s3archivefs.printed import printed, unprinted
from s3archivefs.writer.entries import Entry, HardLink
from s3archivefs.writer.inputs.arranged import below

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence

    from s3archivefs.writer.entries import Member

__all__ = ["WINDOW", "FilesFirst", "OrderableSource", "in_order", "order_of"]

WINDOW = 64 << 20
"""Bytes of contents held in memory, of archives that are read from start to end."""


class OrderableSource(NamedTuple):
    """Members that can be asked for again."""

    members: Iterable[Member]
    """Has a method `files_first` where it knows a better way than reading all again."""
    top: bytes = b""
    """The directory that they go below; empty for the root."""
    lasts: bool = True
    """Whether contents can still be opened once later members have come."""


class FilesFirst(Protocol):
    """The members of a source, of which files of given paths come first."""

    @property
    def files(self) -> Mapping[bytes, bytes]:
        """The path of a file's entry, by each given path that names the file."""

    @property
    def counts(self) -> Mapping[bytes, int]:
        """How many members have each given path; 0 is left out."""

    def first(self) -> Generator[Entry, None, None]:
        """Yield the entries of `files`, each once, in the order of the given paths."""

    def rest(self, without: Container[bytes]) -> Iterator[Member]:
        """Yield all members but those of some paths that came first."""


def order_of(file: str) -> list[bytes]:
    """Return the paths that a file names, one a line, as commands print them."""
    with open(file, "rb") as lines:  # noqa: PTH123 -- pathlib takes 10 ms to import
        return [unprinted(decode(line.rstrip(b"\n"))).strip(b"/") for line in lines if line.strip()]


def in_order(sources: Sequence[OrderableSource], first: Iterable[bytes]) -> Iterator[Member]:
    """Yield the files of these paths first, in this order, then all else.

    A path that several members have comes again with all else, so that the last of them counts.
    Raises PackingError for a path that is no file of the sources.
    """
    given = dict.fromkeys(first)
    wanted, parted = _parted(sources, [*given])
    for path in given:
        if not any(path in each.files for each in parted):
            raise PackingError(f"{printed(path)}: is to come first, and is no file of the sources")
    counts: Counter[bytes] = Counter()
    for each in parted:
        counts.update(each.counts)
    came: list[set[bytes]] = [set() for _ in parted]
    with ExitStack() as opened:
        entries = [opened.enter_context(closing(each.first())) for each in parted]
        for path in wanted:
            for number, each in enumerate(parted):
                file = each.files.get(path)
                if file is not None and file not in came[number]:
                    came[number].add(file)
                    yield next(entries[number])
        for each_first in entries:
            next(each_first, None)  # it may have something to do after its last one
    for paths, each in zip(came, parted, strict=True):
        yield from each.rest({path for path in paths if counts[path] == 1})


def _parted(
    sources: Sequence[OrderableSource], wanted: list[bytes]
) -> tuple[list[bytes], list[FilesFirst]]:
    """Return what comes first of each source, and the paths that were asked for.

    These have those of files of which a link was given.
    """
    while True:
        parted = [_files_first(source, wanted) for source in sources]
        linked = dict.fromkeys(path for each in parted for path in each.files.values())
        if linked.keys() <= {*wanted}:
            return wanted, parted
        wanted = [*dict.fromkeys((*wanted, *linked))]


def _files_first(source: OrderableSource, wanted: Sequence[bytes]) -> FilesFirst:
    start = source.top + b"/" if source.top else b""
    own = [path.removeprefix(start) for path in wanted if path.startswith(start)]
    method = getattr(source.members, "files_first", None)
    if method is not None:
        found = cast("FilesFirst", method(own))
    else:
        found = _AskedAgain(source.members, own, lasts=source.lasts)
    return _Below(found, source.top) if source.top else found


class _AskedAgain:
    """Members that are asked again for all else, and for contents that do not last.

    Of such contents, some are read into memory at a time, and a large one where it comes.
    """

    def __init__(self, members: Iterable[Member], wanted: Sequence[bytes], *, lasts: bool) -> None:
        self._members = members
        self._lasts = lasts
        self._entries: dict[bytes, Entry] = {}
        self.counts: Counter[bytes] = Counter()
        links: dict[bytes, bytes] = {}
        names = {*wanted}
        for member in members:
            path = member.path
            links.pop(path, None)
            if isinstance(member, HardLink):
                links[path] = links.get(member.existing, member.existing)
            if path in names:
                self.counts[path] += 1
                self._entries.pop(path, None)
                if isinstance(member, Entry) and member.kind is FileKind.FILE:
                    self._entries[path] = member
        self.files: dict[bytes, bytes] = {}
        for path in wanted:
            file = links.get(path, path)
            if file in self._entries or file not in names:  # then it is asked for next
                self.files[path] = file

    def first(self) -> Generator[Entry, None, None]:
        paths = [*dict.fromkeys(self.files.values())]
        if self._lasts:
            yield from map(self._entries.__getitem__, paths)
            return
        for window in self._windows(paths):
            if len(window) == 1:
                yield from self._met(window)
                continue
            held = {entry.path: _held(entry) for entry in self._met(window)}
            for path in window:
                yield held.pop(path)

    def rest(self, without: Container[bytes]) -> Iterator[Member]:
        return (member for member in self._members if member.path not in without)

    def _windows(self, paths: list[bytes]) -> Iterator[list[bytes]]:
        """Yield the paths in parts whose contents fit into memory, or of one."""
        window: list[bytes] = []
        total = 0
        for path in paths:
            size = self._entries[path].size
            length = WINDOW + 1 if size is None else size  # nobody knows: that one is alone
            if window and total + length > WINDOW:
                yield window
                window, total = [], 0
            window.append(path)
            total += length
        if window:
            yield window

    def _met(self, paths: list[bytes]) -> Iterator[Entry]:
        """Yield the files of these paths as they come; of several, the last."""
        left = {path: self.counts[path] for path in paths}
        for member in self._members:
            path = member.path
            if path not in left:
                continue
            left[path] -= 1
            if left[path]:
                continue
            if not isinstance(member, Entry) or member.kind is not FileKind.FILE:
                break
            del left[path]
            yield member
            if not left:
                return
        raise PackingError(
            f"{printed(min(left))}: changed while it was packed; pack again while nothing writes"
            " to it"
        )


class _Below:
    """What comes first, and all else, below a directory."""

    def __init__(self, found: FilesFirst, top: bytes) -> None:
        self._found = found
        self._top = top
        start = self._start = top + b"/"
        self.files = {start + path: start + file for path, file in found.files.items()}
        self.counts = {start + path: count for path, count in found.counts.items()}

    def first(self) -> Generator[Entry, None, None]:
        with closing(self._found.first()) as entries:
            for entry in entries:
                yield entry._replace(path=self._start + entry.path)

    def rest(self, without: Container[bytes]) -> Iterator[Member]:
        own = {file for file in self._found.files.values() if self._start + file in without}
        return below(self._found.rest(own), self._top)


def _held(entry: Entry) -> Entry:
    """Return a file with its content in memory."""
    if entry.open is None:
        return entry
    left = (entry.size or 0) + 1  # one more than expected shows that there is more
    pieces = []
    with closing(entry.open()) as content:
        while left and (piece := content.read(left)):
            pieces.append(piece)
            left -= len(piece)
    opened = partial(io.BytesIO, b"".join(pieces))
    return entry._replace(open=opened, reopens=True, is_at_hand=True)
