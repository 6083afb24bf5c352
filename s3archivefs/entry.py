"""`DirEntry`: what a directory says of one of its names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol

from s3archivefs.errors import leads_nowhere
from s3archivefs.inode import FileKind
from s3archivefs.names import AnyPath

if TYPE_CHECKING:
    from s3archivefs.directory import Entry
    from s3archivefs.inode import Stat

__all__ = ["DirEntry", "Tree"]


class Tree(Protocol):
    """What an entry asks of the image that it belongs to."""

    def stat(self, path: str | bytes) -> Stat:
        """The attributes of a path, symlinks followed."""

    def stat_of_entry(self, entry: Entry) -> Stat:
        """The attributes of the entry itself."""


_KINDS: dict[int, FileKind] = {
    kind.value: kind for kind in FileKind
}  # half of FileKind(type)'s time


class DirEntry(Generic[AnyPath]):
    """One entry of a directory, as `os.DirEntry`: what it says without asking costs no reading.

    Format: "Directory Table".
    """

    __slots__ = ("_entry", "_image", "name", "path")

    def __init__(self, image: Tree, entry: Entry, name: AnyPath, path: AnyPath) -> None:
        self._image = image
        self._entry = entry
        self.name: AnyPath = name
        self.path: AnyPath = path
        """The directory's path as it was given, `/` and the name."""

    @property
    def kind(self) -> FileKind:
        """What the entry itself is; a symlink is a symlink."""
        return _KINDS[self._entry.type]

    @property
    def inode_number(self) -> int:
        """The number of its inode."""
        return self._entry.inode_number

    def is_symlink(self) -> bool:
        """Whether it is a symlink."""
        return self.kind is FileKind.SYMLINK

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a directory, or a symlink to one."""
        return self._kind(follow_symlinks) is FileKind.DIRECTORY

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a regular file, or a symlink to one."""
        return self._kind(follow_symlinks) is FileKind.FILE

    def stat(self, *, follow_symlinks: bool = True) -> Stat:
        """Its attributes, or those of what a symlink leads to.

        Raises FileNotFoundError or OSError (ELOOP) where a symlink leads nowhere.
        """
        if follow_symlinks and self.is_symlink():
            return self._image.stat(self.path)
        return self._image.stat_of_entry(self._entry)

    def _kind(self, follow_symlinks: bool) -> FileKind | None:  # noqa: FBT001 -- passed on from the keyword
        if not follow_symlinks or not self.is_symlink():
            return self.kind
        try:
            return self.stat().kind
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return None  # neither

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"
