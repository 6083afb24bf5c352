"""Members of other inputs, chosen, or moved below a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.errors import PackingError
from s3archivefs.extraction.selection import Selection
from s3archivefs.inode import FileKind
from s3archivefs.names import decode
from s3archivefs.printed import printed
from s3archivefs.writer.entries import Entry, HardLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from s3archivefs.extraction.selection import State
    from s3archivefs.writer.entries import Member
    from s3archivefs.writer.inputs.sizes import Takes

__all__ = ["Chosen", "Exclusion", "below"]


class Exclusion:
    """Tells which paths patterns leave, as those of extraction do; asked in any order."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._selection = Selection((), patterns)
        self._above: tuple[bytes, State | None] = b"", self._selection.start

    @property
    def is_none(self) -> bool:
        """Whether all paths are left."""
        return self._selection.is_all

    @property
    def taken(self) -> Takes | None:
        """The method `takes`; None where it takes all."""
        return None if self.is_none else self.takes

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


class Chosen:
    """Yields the members that are not excluded.

    A hard link to one that is takes its place, and comes last: for these, the members are asked
    again. Where they do not `repeat`, such a link raises PackingError.
    """

    def __init__(
        self, members: Iterable[Member], exclusion: Exclusion, *, repeats: bool = True
    ) -> None:
        self._members = members
        self._exclusion = exclusion
        self._repeats = repeats

    def __iter__(self) -> Iterator[Member]:
        if self._exclusion.is_none:
            yield from self._members
            return
        orphans: dict[bytes, tuple[int, bytes]] = {}
        for number, member in enumerate(self._members):
            path = member.path
            is_directory = isinstance(member, Entry) and member.kind is FileKind.DIRECTORY
            if not self._exclusion.takes(path, is_directory=is_directory):
                continue
            if isinstance(member, HardLink):
                orphan = orphans.get(member.existing, (number, member.existing))
                if not self._exclusion.takes(orphan[1], is_directory=False):
                    self._require_again(member)
                    orphans[path] = orphan
                    continue
            orphans.pop(path, None)
            yield member
        if orphans:
            yield from self._adopted(orphans)

    def _require_again(self, link: HardLink) -> None:
        if not self._repeats:
            raise PackingError(
                f"{printed(link.path)}: a hard link to {printed(link.existing)}, which --exclude"
                " leaves out; leave out both, or give a file, which can be read twice"
            )

    def _adopted(self, orphans: dict[bytes, tuple[int, bytes]]) -> Iterator[Member]:
        """Yield what links refer to, by their names.

        `orphans` tells the number of each link among the members, and its excluded path: what that
        path was last before the link counts. Links to what is not found stay as they are.
        """
        links: dict[bytes, list[tuple[int, bytes]]] = {}
        for path, (number, existing) in orphans.items():
            links.setdefault(existing, []).append((number, path))
        missing = dict.fromkeys(orphans)
        for number, member in enumerate(self._members):
            names = [path for link, path in links.get(member.path, ()) if link > number]
            if isinstance(member, HardLink) or member.kind is FileKind.DIRECTORY:
                missing |= dict.fromkeys(names)
                continue
            for name in names:
                missing.pop(name, None)
                yield member._replace(path=name) if name == names[0] else HardLink(name, names[0])
        for path in missing:
            yield HardLink(path, orphans[path][1])


def below(members: Iterable[Member], directory: bytes) -> Iterator[Member]:
    """Yield the members with their paths below a directory, which the root becomes."""
    for member in members:
        path = directory + b"/" + member.path if member.path else directory
        if isinstance(member, HardLink):
            yield HardLink(path, directory + b"/" + member.existing)
        else:
            yield member._replace(path=path)
