"""The walk through the members of an image that are to be extracted."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from s3archivefs.errors import (
    CorruptImageError,
    LimitExceededError,
    SquashfsError,
    leads_nowhere,
)
from s3archivefs.extraction.filters import Member, names_of
from s3archivefs.inode import FileKind
from s3archivefs.names import decode
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator

    from s3archivefs.extraction.folders import Folder
    from s3archivefs.extraction.manner import Manner
    from s3archivefs.extraction.selection import State
    from s3archivefs.inode import Stat
    from s3archivefs.limits import Limits

__all__ = ["Found", "Source", "Visitor", "Walk"]

T = TypeVar("T")

_DIRECTORY, _SYMLINK = FileKind.DIRECTORY, FileKind.SYMLINK
_PERMISSIONS = 0o7777
_new = tuple.__new__  # takes half the time of Member()


class Source(Protocol):
    """The image; `SquashFS` is one."""

    @property
    def limits(self) -> Limits:
        """Limits on what the image may cost."""

    def stat(self, path: str, *, follow_symlinks: bool = True) -> Stat:
        """Return the attributes of a path."""

    def realpath(self, path: str, *, strict: bool) -> str:
        """Return the path without symlinks and `..`."""

    def target_of_node(self, reference: int) -> bytes:
        """Return the target of a symlink, by its inode."""

    def xattr_pairs_of_node(self, reference: int) -> dict[bytes, bytes]:
        """Return the extended attributes of an inode."""

    def stats_in_node(
        self, directory: int, *, on_error: Callable[[str, SquashfsError, Stat | None], object]
    ) -> Iterator[tuple[str, Stat]]:
        """Yield the names in a directory, by its inode, with their attributes.

        `on_error` gets what is sound of a directory's: all but its owner and group.
        """

    def read_pieces(
        self, files: Iterable[tuple[T, Stat]], *, workers: int | None, is_all: bool
    ) -> Generator[tuple[T, Iterable[bytes | memoryview]], None, None]:
        """Yield each file's mark and the pieces of its content, in disk order."""


class Found(NamedTuple):
    """What the walk finds under a name."""

    member: Member
    folder: Folder
    """The directory of the target that it is to be in."""
    name: str
    stat: Stat


class Visitor(Protocol):
    """Who extracts what the walk finds."""

    def enter(self, found: Found, *, is_asked_for: bool) -> Folder | None:
        """Return the target's directory for one of the image; None leaves it out.

        One that is only on the way to what is asked for is made when something is in it.
        """

    def enter_root(self, member: Member, reference: int) -> None:
        """Note that the image's root is extracted, as the target itself."""

    def begin(self, folder: Folder) -> None:
        """Note that the walk is to enter the directory."""

    def end(self, folder: Folder) -> None:
        """Note that the walk leaves it."""

    def fault(self, path: str, error: SquashfsError | OSError) -> None:
        """Raise an error, or report it and return, to go on."""


class _Asked(NamedTuple):
    """A path that is asked for."""

    names: tuple[str, ...]
    is_followed: bool
    """Whether its last name is a symlink that stands for a directory."""


class _Step(NamedTuple):
    """A directory of the image on the walk."""

    prefix: str
    """Its path, with a slash at the end."""
    below: str
    """What the names of its members begin with."""
    depth: int
    """Number of names in its path."""
    reference: int
    folder: Folder
    state: State


class Walk:
    """A walk through paths of an image, and what lies below them."""

    def __init__(self, image: Source, manner: Manner, visitor: Visitor, top: Folder) -> None:
        self._image = image
        self._visitor = visitor
        self._top = top
        self._strip = manner.strip_components
        self._name = manner.name
        self._selection = manner.selection

    def members(self, paths: Iterable[str]) -> Generator[Found, None, None]:
        """Yield what is selected and no directory, each once, after its directory was entered."""
        asked: dict[_Asked, str] = {}
        for path in paths:
            with self._reported(path):
                asked.setdefault(self._asked(path), path)
        for each, path in asked.items():
            way: _Step | Found | None = None
            with self._reported(path):
                if len(asked) == 1 or not self._is_below(each, asked):
                    way = self._way(each)
            if isinstance(way, _Step):
                yield from self._below(way)
            elif way is not None:
                yield way

    @contextmanager
    def _reported(self, path: str) -> Iterator[None]:
        """Report an error of a path that was asked for."""
        try:
            yield
        except (SquashfsError, OSError) as error:
            if isinstance(error, OSError) and leads_nowhere(error):
                error.filename = path  # as it was given
            self._visitor.fault(path, error)

    def _asked(self, path: str) -> _Asked:
        """Return what a path means. A slash at its end asks for a directory, as elsewhere."""
        names = names_of(path)
        if ".." in names:  # which a symlink before it may lead elsewhere
            last = [] if names[-1] == ".." else [names.pop()]
            names = [*names_of(self._image.realpath("/".join(names), strict=True)), *last]
        is_followed = False
        if names and path.rpartition("/")[2] in {"", "."}:
            here = "/".join(names)
            self._image.stat(f"{here}/")
            is_followed = self._image.stat(here, follow_symlinks=False).kind is _SYMLINK
        return _Asked(tuple(names), is_followed)

    def _is_below(self, asked: _Asked, others: Container[_Asked]) -> bool:
        """Return whether a path lies below another, with which it is extracted."""
        names = asked.names
        for length in range(len(names) - 1, -1, -1):
            above = names[:length]
            if _Asked(above, is_followed=True) in others:
                break
            is_real = self._image.stat("/".join(above), follow_symlinks=False).kind is _DIRECTORY
            if not is_real:  # a symlink, behind which a walk from above does not go
                return False
            if _Asked(above, is_followed=False) in others:
                break
        else:
            return False
        self._image.stat("/".join(names), follow_symlinks=False)  # which is to be there
        return True

    def _way(self, asked: _Asked) -> _Step | Found | None:
        """Return the directory or other member that a path leads to, or None."""
        names = asked.names
        root = self._image.stat("/")
        step = _Step("/", "", 0, root.reference, self._top, self._selection.start)
        if self._name is not None:  # of one path alone
            self._strip = max(0, len(names) - 1)
        if not names:
            return self._root(step, root)
        for name in names[:-1]:
            stat = self._image.stat(step.prefix + name)
            deeper = self._entered(step, name, stat, is_asked_for=False)
            if deeper is None:
                return None
            step = deeper
        path = step.prefix + names[-1]
        stat = self._image.stat(path, follow_symlinks=asked.is_followed)
        if stat.kind is _DIRECTORY:
            first = self._entered(step, names[-1], stat, is_asked_for=True, made=self._name)
            return None if first is None else self._begun(first)
        return self._found(step, names[-1], stat, self._name)

    def _root(self, step: _Step, stat: Stat) -> _Step | None:
        """Return the image's root, which is the target itself unless it gets a name."""
        if self._name is None:
            self._visitor.enter_root(_member(step, "", ".", stat), stat.reference)
            return self._begun(step)
        found = Found(_member(step, "", self._name, stat), step.folder, self._name, stat)
        folder = self._visitor.enter(found, is_asked_for=True)
        if folder is None:
            return None
        return self._begun(step._replace(below=f"{self._name}/", folder=folder))

    def _below(self, first: _Step) -> Generator[Found, None, None]:
        seen: set[int] = set()
        most = first.depth + self._image.limits.walk_depth
        todo = [first]
        while todo:
            step = todo.pop()
            below: list[_Step] = []
            try:
                if step.reference in seen:
                    raise CorruptImageError(
                        f"directory {printed(step.prefix)} is in the tree twice"
                    )
                seen.add(step.reference)
                if step.depth > most:
                    raise LimitExceededError("walk_depth", step.depth, most)
                # By its place, which no fault in the directories above hides.
                tell = partial(self._fault_in, step, below)
                for name, stat in self._image.stats_in_node(step.reference, on_error=tell):
                    if stat.kind is _DIRECTORY:
                        deeper = self._entered(step, name, stat, is_asked_for=True)
                        if deeper is not None:
                            below.append(self._begun(deeper))
                    elif (found := self._found(step, name, stat)) is not None:
                        yield found
            except (SquashfsError, OSError) as error:
                self._visitor.fault(step.prefix, error)
            finally:
                self._visitor.end(step.folder)
            todo += reversed(below)

    def _fault_in(
        self, step: _Step, below: list[_Step], name: str, error: SquashfsError, stat: Stat | None
    ) -> None:
        """Report damaged attributes; without them, a directory is still on the walk."""
        self._visitor.fault(step.prefix + name, error)
        if stat is not None:
            deeper = self._entered(step, name, stat, is_asked_for=True, has_ids=False)
            if deeper is not None:
                below.append(self._begun(deeper))

    def _begun(self, step: _Step) -> _Step:
        self._visitor.begin(step.folder)
        return step

    def _found(self, step: _Step, name: str, stat: Stat, made: str | None = None) -> Found | None:
        """Return what is no directory, if selected; `made` is another name for it."""
        if not self._selection.is_all:
            is_taken, _ = self._selection.step(step.state, name, is_directory=False)
            if not is_taken:
                return None
        if step.depth < self._strip:
            return None
        linkname = ""
        if stat.kind is _SYMLINK:
            try:
                linkname = decode(self._image.target_of_node(stat.reference))
            except (SquashfsError, OSError) as error:
                self._visitor.fault(step.prefix + name, error)
                return None
        made = made or name
        return _new(Found, (_member(step, name, made, stat, linkname), step.folder, made, stat))

    def _entered(
        self,
        step: _Step,
        name: str,
        stat: Stat,
        *,
        is_asked_for: bool,
        made: str | None = None,
        has_ids: bool = True,
    ) -> _Step | None:
        """Return the step into a directory, or None where nothing below it is selected."""
        is_taken, state = True, step.state
        if not self._selection.is_all:
            is_taken, below_it = self._selection.step(step.state, name, is_directory=True)
            if below_it is None:
                return None
            state = below_it
        prefix = f"{step.prefix}{name}/"
        if step.depth < self._strip:
            return _Step(prefix, "", step.depth + 1, stat.reference, step.folder, state)
        made = made or name
        member = _member(step, name, made, stat)
        if not has_ids:
            member = member._replace(uid=None, gid=None)
        found = Found(member, step.folder, made, stat)
        folder = self._visitor.enter(found, is_asked_for=is_taken and is_asked_for)
        if folder is None:
            return None
        below = f"{step.below}{made}/"
        return _Step(prefix, below, step.depth + 1, stat.reference, folder, state)


def _member(step: _Step, name: str, made: str, stat: Stat, linkname: str = "") -> Member:
    mode, uid, gid, mtime, size, _, _, kind, _, _ = stat
    path = step.prefix + name
    mode &= _PERMISSIONS
    return _new(Member, (step.below + made, kind, mode, uid, gid, mtime, size, linkname, path))
