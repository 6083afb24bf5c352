"""Members of other inputs, chosen, moved below a directory, or in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.errors import PackingError
from s3archivefs.extraction.selection import Selection
from s3archivefs.inode import FileKind
from s3archivefs.names import decode
from s3archivefs.printed import printed, unprinted
from s3archivefs.writer.entries import Entry, HardLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs.extraction.selection import State
    from s3archivefs.writer.entries import Member

__all__ = ["Exclusion", "below", "chosen", "in_order", "order_of"]


class Exclusion:
    """Tells which paths patterns leave, as those of extraction do; asked in any order."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._selection = Selection((), patterns)
        self._above: tuple[bytes, State | None] = b"", self._selection.start

    @property
    def is_none(self) -> bool:
        """Whether no path is left."""
        return self._selection.is_all

    def takes(self, path: bytes, *, is_directory: bool) -> bool:
        """Return whether a path is left in, with those above it."""
        if self._selection.is_all or not path:
            return True
        above, _, name = path.rpartition(b"/")
        if above != self._above[0]:
            self._above = above, self._state_below(above)
        state = self._above[1]
        if state is None:
            return False
        return self._selection.step(state, decode(name), is_directory=is_directory)[0]

    def _state_below(self, path: bytes) -> State | None:
        state: State | None = self._selection.start
        for name in path.split(b"/") if path else ():
            if state is None:
                return None
            state = self._selection.step(state, decode(name), is_directory=True)[1]
        return state


def chosen(members: Iterable[Member], exclusion: Exclusion) -> Iterator[Member]:
    """Yield the members that are not excluded."""
    for member in members:
        is_directory = isinstance(member, Entry) and member.kind is FileKind.DIRECTORY
        if exclusion.takes(member.path, is_directory=is_directory):
            yield member


def below(members: Iterable[Member], directory: bytes) -> Iterator[Member]:
    """Yield the members with their paths below a directory, which the root becomes."""
    for member in members:
        path = directory + b"/" + member.path if member.path else directory
        if isinstance(member, HardLink):
            yield HardLink(path, directory + b"/" + member.existing)
        else:
            yield member._replace(path=path)


def order_of(file: str) -> list[bytes]:
    """Return the paths that a file names, one a line, as commands print them."""
    with open(file, "rb") as lines:  # noqa: PTH123 -- pathlib takes 10 ms to import
        return [unprinted(decode(line.rstrip(b"\n"))).strip(b"/") for line in lines if line.strip()]


def in_order(members: Iterable[Member], first: list[bytes]) -> Iterator[Member]:
    """Yield the files of these paths first, in this order, then all else.

    `members` are asked twice. Raises PackingError for a path that is no file among them.
    """
    wanted = dict.fromkeys(first)
    found: dict[bytes, Entry] = {}
    for member in members:
        if isinstance(member, Entry) and member.kind is FileKind.FILE and member.path in wanted:
            found[member.path] = member
    for path in wanted:
        if path not in found:
            raise PackingError(f"{printed(path)}: is to come first, and is no file of the sources")
        yield found[path]
    for member in members:
        if member.path not in found:
            yield member
