"""Members of other inputs, chosen, or moved below a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
    again. Where they do not `repeat`, such a link raises PackingError. A link to an excluded link
    refers to what that one did.
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
        links = _Links()
        orphans: dict[bytes, _Meant] = {}
        for number, member in enumerate(self._members):
            path = member.path
            meant = links.meant(number, member)
            is_directory = isinstance(member, Entry) and member.kind is FileKind.DIRECTORY
            is_lost = isinstance(member, HardLink) and (
                member.existing in orphans or not self._takes_file(member.existing)
            )
            orphans.pop(path, None)
            if not self._exclusion.takes(path, is_directory=is_directory):
                continue
            if not is_lost:
                yield member
            elif self._takes_file(meant.path) and not links.is_replaced(meant):
                yield HardLink(path, meant.path)
            else:
                self._require_again(path, meant)
                orphans[path] = meant
        if orphans:
            yield from self._adopted(orphans)

    def _takes_file(self, path: bytes) -> bool:
        return self._exclusion.takes(path, is_directory=False)

    def _require_again(self, link: bytes, meant: _Meant) -> None:
        if not self._repeats:
            raise PackingError(
                f"{printed(link)}: a hard link to {printed(meant.path)}, which --exclude"
                " leaves out; leave out both, or give a file, which can be read twice"
            )

    def _adopted(self, orphans: dict[bytes, _Meant]) -> Iterator[Member]:
        """Yield the files behind links, by their names. Links to nothing stay as they are."""
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
            yield HardLink(path, orphans[path].path)


class _Meant(NamedTuple):
    """The file behind a hard link."""

    number: int
    """That of a member: what the path was last before it counts."""
    path: bytes


class _Links:
    """Follows hard links, which may refer to others, as their members come."""

    def __init__(self) -> None:
        self._meant: dict[bytes, _Meant] = {}
        self._replaced: dict[bytes, int] = {}

    def meant(self, number: int, member: Member) -> _Meant:
        """Note the member of that number, and return the file behind it."""
        path, found, is_same = member.path, _Meant(number, member.path), False
        if isinstance(member, HardLink):
            existing = member.existing
            found = self._meant[path] = self._meant.get(existing, _Meant(number, existing))
            self._replaced.setdefault(found.path, -1)
            is_same = path == found.path and not self.is_replaced(found)
        else:
            self._meant.pop(path, None)
        if path in self._replaced and not is_same:
            self._replaced[path] = number
        return found

    def is_replaced(self, meant: _Meant) -> bool:
        """Return whether another member took the place of the file behind a link."""
        return self._replaced[meant.path] > meant.number


def below(members: Iterable[Member], directory: bytes) -> Iterator[Member]:
    """Yield the members with their paths below a directory, which the root becomes."""
    for member in members:
        path = directory + b"/" + member.path if member.path else directory
        if isinstance(member, HardLink):
            yield HardLink(path, directory + b"/" + member.existing)
        else:
            yield member._replace(path=path)
