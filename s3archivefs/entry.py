"""`DirEntry`: one entry of a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from s3archivefs.directory import uncounted
from s3archivefs.errors import leads_nowhere
from s3archivefs.format import InodeType
from s3archivefs.inode import FileKind
from s3archivefs.names import AnyPath

if TYPE_CHECKING:
    import io
    from collections.abc import Generator, Iterator, Sequence
    from typing import Self

    from s3archivefs.directory import Counter
    from s3archivefs.file import SquashFile
    from s3archivefs.inode import Stat
    from s3archivefs.limits import Limits
    from s3archivefs.resolution import Place
    from s3archivefs.runs import Entry, Run

__all__ = ["DirEntry", "Scan", "Scanned", "Tree"]

T = TypeVar("T")


class Tree(Protocol):
    """The image that entries, paths and globs belong to; `SquashFS` is one."""

    @property
    def closed(self) -> bool:
        """Whether the image is closed."""

    @property
    def limits(self) -> Limits:
        """Limits on what the image may cost."""

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
        self, top: str, *, symlinks_as_files: bool, topdown: bool
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield the directories from `top` down, or up to it."""

    # For an entry, whose directory need not be resolved again.

    def stats_of_run(self, run: Run) -> Sequence[Stat | None]:
        """Return the attributes of many entries, or None for those to be read by themselves."""

    def stat_of_entry(self, entry: Entry) -> Stat:
        """Return the attributes of the entry itself."""

    def stat_behind(self, link: Entry, within: Place, path: str | bytes, count: Counter) -> Stat:
        """Return the attributes of what a symlink in a directory leads to."""

    def scandir_at(
        self, entry: Entry, within: Place, path: AnyPath, start: AnyPath | None
    ) -> Scanned[DirEntry[AnyPath]]:
        """Yield the entries of the directory that an entry is, or leads to."""


class Scanned(Generic[T]):
    """What a directory holds, as it is read; `with` closes it, as that of `os.scandir`."""

    __slots__ = ("_found",)

    def __init__(self, found: Generator[T, None, None]) -> None:
        self._found = found

    def __iter__(self) -> Iterator[T]:
        return self._found  # a loop takes no detour

    def __next__(self) -> T:
        return next(self._found)

    def close(self) -> None:
        """End it."""
        self._found.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Scan(Generic[AnyPath]):
    """What the entries of one run of a directory share."""

    __slots__ = ("_asked", "_run", "image", "prefix", "stats", "within")

    def __init__(self, image: Tree, within: Place, prefix: AnyPath, run: Run | None = None) -> None:
        self.image = image
        self.within = within
        """The directory."""
        self.prefix: AnyPath = prefix
        """Path of the directory as it was given, and `/`."""
        self.stats: Sequence[Stat | None] = ()
        """Attributes of the entries, by their places in the run.

        None stands for one that is to be read by itself.
        """
        self._run = run
        self._asked = 0

    def see_stats(self) -> Sequence[Stat | None]:
        """Return `stats`, which are decoded all at once when several are asked for.

        They are none before, and when the run is over.
        """
        self._asked += 1
        if self._run is not None and self._asked >= _ASKED_FOR_ALL:
            self.stats = self.image.stats_of_run(self._run)
        return self.stats

    def end(self) -> None:
        """Free what the run takes, since a caller may keep any of its entries."""
        self._run, self.stats = None, ()


# In Python 3.11 the members of an enum are slow to reach.
_DIRECTORY = int(InodeType.DIRECTORY)
_FILE = int(InodeType.FILE)
_SYMLINK = int(InodeType.SYMLINK)
_ASKED_FOR_ALL = 3  # entries of a run, until the others are decoded with the next
_KINDS: dict[int, FileKind] = {kind.value: kind for kind in FileKind}


class DirEntry(Generic[AnyPath]):
    """One entry of a directory, as `os.DirEntry`; its attributes cost no reading.

    Format: "Directory Table".
    """

    __slots__ = ("_entry", "_index", "_scan", "name")

    def __init__(self, scan: Scan[AnyPath], name: AnyPath, entry: Entry, index: int) -> None:
        self._scan: Scan[AnyPath] = scan
        self._entry = entry
        self._index = index
        self.name: AnyPath = name

    @property
    def path(self) -> AnyPath:
        """Path of the entry: the directory's as it was given, `/` and the name."""
        return self._scan.prefix + self.name

    @property
    def kind(self) -> FileKind:
        """Kind of the entry itself: symlinks are not followed."""
        return _KINDS[self._entry.type]

    @property
    def inode_number(self) -> int:
        """Number of the entry's inode."""
        return self._entry.inode_number

    @property
    def reference(self) -> int:
        """Place of the entry's own inode in the image, as Stat.reference."""
        return self._entry.reference

    def inode(self) -> int:
        """Return `inode_number`, as `os.DirEntry` does."""
        return self._entry.inode_number

    def is_symlink(self) -> bool:
        """Return whether the entry is a symlink."""
        return self._entry.type == _SYMLINK

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the entry is a directory, or a symlink to one."""
        kind = self._entry.type
        return kind == _DIRECTORY or (
            kind == _SYMLINK and follow_symlinks and self._leads_to(FileKind.DIRECTORY)
        )

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether the entry is a regular file, or a symlink to one."""
        kind = self._entry.type
        return kind == _FILE or (
            kind == _SYMLINK and follow_symlinks and self._leads_to(FileKind.FILE)
        )

    def stat(self, *, follow_symlinks: bool = True, count: Counter = uncounted) -> Stat:
        """Return the attributes of the entry, or of what a symlink leads to.

        `count` is called with the work of following a symlink, which a hostile target can make
        large: names looked up, and entries decoded to find them. Raises FileNotFoundError,
        NotADirectoryError or OSError (ELOOP) where a symlink leads nowhere.
        """
        entry, scan = self._entry, self._scan
        if follow_symlinks and entry.type == _SYMLINK:
            return scan.image.stat_behind(entry, scan.within, self.path, count)
        stats = scan.stats or scan.see_stats()
        found = stats[self._index] if stats else None
        if found is None or scan.image.closed:
            return scan.image.stat_of_entry(entry)
        return found

    def scandir(self, *, start: AnyPath | None = None) -> Scanned[DirEntry[AnyPath]]:
        """Return the entries of the directory that the entry is, as `SquashFS.scandir` does.

        This saves a look-up for each directory above. Raises NotADirectoryError for what is no
        directory, FileNotFoundError or OSError (ELOOP) where a symlink leads nowhere.
        """
        scan = self._scan
        return scan.image.scandir_at(self._entry, scan.within, self.path, start)

    def _leads_to(self, kind: FileKind) -> bool:
        """Return whether the symlink leads to a file of that kind."""
        try:
            return self.stat().kind is kind
        except OSError as error:
            if not leads_nowhere(error):
                raise
            return False

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a DirEntry cannot be pickled, like that of os.scandir; pickle its path")

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"
