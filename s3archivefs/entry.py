"""`DirEntry`: what a directory says of one of its names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol

from s3archivefs.directory import uncounted
from s3archivefs.errors import leads_nowhere
from s3archivefs.inode import FileKind
from s3archivefs.names import AnyPath

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

    from s3archivefs.directory import Counter, Entry
    from s3archivefs.file import SquashFile
    from s3archivefs.inode import Stat
    from s3archivefs.limits import Limits
    from s3archivefs.resolution import Place

__all__ = ["DirEntry", "Tree"]


class Tree(Protocol):
    """The image as its entries, paths and globs see it; `SquashFS` is one."""

    @property
    def limits(self) -> Limits:
        """What reading the image may cost."""

    def stat(self, path: str, *, follow_symlinks: bool = True) -> Stat:
        """Return the attributes of a path."""

    def readlink(self, path: str) -> str:
        """Return the target of a symlink."""

    def realpath(self, path: str, *, strict: bool) -> str:
        """Return the path without symlinks and `..`."""

    def read_bytes(self, path: str) -> bytes:
        """Return the whole content of a file."""

    def open(  # noqa: PLR0917 -- as the built-in open
        self,
        path: str,
        mode: str,
        buffering: int,
        encoding: str | None,
        errors: str | None,
        newline: str | None,
    ) -> SquashFile | io.TextIOWrapper:
        """Open a regular file."""

    def scandir(self, path: str, *, start: str | None = None) -> Iterator[DirEntry[str]]:
        """Yield the entries of a directory, from the name `start` on."""

    def walk(
        self, top: str, *, symlinks_as_files: bool
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield the directories from `top` down."""

    # What an entry asks, whose directory is known: no path is resolved anew.

    def stat_of_entry(self, entry: Entry) -> Stat:
        """Return the attributes of the entry itself."""

    def stat_behind(self, link: Entry, within: Place, path: str | bytes, count: Counter) -> Stat:
        """Return the attributes of what a symlink in a directory leads to."""

    def scandir_at(
        self, entry: Entry, within: Place, path: AnyPath, start: AnyPath | None
    ) -> Iterator[DirEntry[AnyPath]]:
        """Yield the entries of the directory that an entry of another is, or leads to."""


_KINDS: dict[int, FileKind] = {
    kind.value: kind for kind in FileKind
}  # half of FileKind(type)'s time


class DirEntry(Generic[AnyPath]):
    """One entry of a directory, as `os.DirEntry`: what it says without asking costs no reading.

    Format: "Directory Table".
    """

    __slots__ = ("_entry", "_image", "_prefix", "_within", "name")

    def __init__(
        self, image: Tree, entry: Entry, within: Place, name: AnyPath, prefix: AnyPath
    ) -> None:
        self._image = image
        self._entry = entry
        self._within = within
        self._prefix: AnyPath = prefix
        self.name: AnyPath = name

    @property
    def path(self) -> AnyPath:
        """The directory's path as it was given, `/` and the name."""
        return self._prefix + self.name

    @property
    def kind(self) -> FileKind:
        """What the entry itself is; a symlink is a symlink."""
        return _KINDS[self._entry.type]

    @property
    def inode_number(self) -> int:
        """The number of its inode."""
        return self._entry.inode_number

    @property
    def reference(self) -> int:
        """Where the image keeps its inode, as Stat.reference; of a symlink, its own."""
        return self._entry.reference

    def is_symlink(self) -> bool:
        """Whether it is a symlink."""
        return self.kind is FileKind.SYMLINK

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a directory, or a symlink to one."""
        return self._kind(follow_symlinks) is FileKind.DIRECTORY

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a regular file, or a symlink to one."""
        return self._kind(follow_symlinks) is FileKind.FILE

    def stat(self, *, follow_symlinks: bool = True, count: Counter = uncounted) -> Stat:
        """Its attributes, or those of what a symlink leads to.

        `count` is told of the work on a symlink's way, of which hostile targets make much: names
        looked up, and entries decoded for that. Raises FileNotFoundError, NotADirectoryError or
        OSError (ELOOP) where a symlink leads nowhere.
        """
        if follow_symlinks and self.is_symlink():
            return self._image.stat_behind(self._entry, self._within, self.path, count)
        return self._image.stat_of_entry(self._entry)

    def scandir(self, *, start: AnyPath | None = None) -> Iterator[DirEntry[AnyPath]]:
        """What SquashFS.scandir gives for its path, which is not resolved anew: that would take a
        look-up for each directory above.

        Raises NotADirectoryError where it is none, FileNotFoundError or OSError (ELOOP) where a
        symlink leads nowhere.
        """
        return self._image.scandir_at(self._entry, self._within, self.path, start)

    def _kind(self, follow_symlinks: bool) -> FileKind | None:  # noqa: FBT001 -- passed on from the keyword
        if not follow_symlinks or not self.is_symlink():
            return self.kind
        try:
            return self.stat().kind
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return None  # neither

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a DirEntry goes to no other process, as that of os.scandir; give its path")

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"
