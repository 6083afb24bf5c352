"""The part of an image that lists its directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from s3archivefs.entry import Scanned
from s3archivefs.errors import FormatError, LimitExceededError
from s3archivefs.healing import Healing, retried
from s3archivefs.names import AnyPath, as_plain, decode_all_as, encode
from s3archivefs.opening import FileOpener
from s3archivefs.walking import entries, names_and_stats, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from s3archivefs.directory import Counter, Directory
    from s3archivefs.entry import DirEntry, Tree
    from s3archivefs.errors import SquashfsError
    from s3archivefs.inode import Stat
    from s3archivefs.names import PathLike
    from s3archivefs.resolution import Place
    from s3archivefs.runs import Entry, Run

__all__ = ["Browser"]

T = TypeVar("T")


class Browser(Healing, FileOpener):
    """The part of `SquashFS` that lists its directories, for callers and for entries."""

    @retried
    def listdir(self, path: PathLike[AnyPath]) -> list[AnyPath]:
        """Return the names in a directory, in byte order.

        Raises LimitExceededError past Limits.entries; `scandir` has no such bound.

        Format: "Directory Table".
        """
        names: list[AnyPath] = []
        path = as_plain(path)
        most = self._limits.entries
        self._check_open()
        for listing in self._resolver.directory(path).directory.listings():
            names += decode_all_as(path, listing.names())
            if len(names) > most:
                raise LimitExceededError("entries", most + 1, most)
        return names

    def scandir(
        self, path: PathLike[AnyPath], *, start: PathLike[AnyPath] | None = None
    ) -> Scanned[DirEntry[AnyPath]]:
        """Return the entries of a directory in byte order, reading as they are consumed.

        With `start`, from the first name that is not below it, found by the directory's index. As
        with `os.scandir`, `with` may close what is returned.

        Format: "Directory Table", "Directory Index".
        """
        path = as_plain(path)
        first = b"" if start is None else encode(start)
        return Scanned(self._while_open(entries(self._tree, self._place(path), path, first)))

    def scandir_stats(
        self,
        path: PathLike[AnyPath],
        *,
        start: PathLike[AnyPath] | None = None,
        on_error: Callable[[AnyPath, SquashfsError], object] | None = None,
    ) -> Scanned[tuple[AnyPath, Stat]]:
        """Return the names in a directory with their attributes, in byte order, from `start` on.

        It is `scandir` and `stat(follow_symlinks=False)` of each entry, in half the time. With
        `on_error`, that is called with the name of an entry whose attributes cannot be read, and
        the error, and the others follow.

        Format: "Directory Table", "Inode Table".
        """
        path = as_plain(path)
        first = b"" if start is None else encode(start)
        tell = None if on_error is None else lambda name, error, _: on_error(name, error)
        return self._stats_in(self._place(path).directory, path, first, tell)

    def walk(
        self, top: PathLike[AnyPath], *, symlinks_as_files: bool = False, topdown: bool = True
    ) -> Iterator[tuple[AnyPath, list[AnyPath], list[AnyPath]]]:
        """Yield the directories from `top` down, as `os.walk`.

        Each comes with the names of its directories, and of all else; if not `topdown`, behind all
        below it. The walk enters no directory that the caller removes from that list, and no
        symlink, which is in it too, unless `symlinks_as_files`. Raises CorruptImageError where a
        directory is in the tree twice, as one that contains itself is, LimitExceededError past
        Limits.walk_depth. Takes 100 bytes of memory for each directory met or still to enter; if
        not `topdown`, the names in those on the way down too.

        Format: "Directory Table".
        """
        top = as_plain(top)
        start = self._place(top)
        steps = walk(
            self._tree, self._readers, start, top, symlinks_as_files, topdown, self._limits
        )
        yield from self._while_open(zip(steps))

    # ---- for the entries that it returns ---------------------------------------------------------

    def stats_of_run(self, run: Run) -> Sequence[Stat | None]:
        """Return the attributes of many entries, with None for what `stat_of_entry` reads.

        Format: "Directory Table", "Inode Table".
        """
        return self._readers.stats.of_run(run)

    def stat_of_entry(self, entry: Entry) -> Stat:
        """Return the attributes of a directory's entry, for `DirEntry.stat`."""
        self._check_open()
        return self._readers.stats.of_entry(entry) or self._judged_stat(entry)

    @retried
    def _judged_stat(self, entry: Entry) -> Stat:
        return self._readers.inodes.stat(self._readers.entry_inode(entry))

    @retried
    def stat_behind(self, link: Entry, within: Place, path: str | bytes, count: Counter) -> Stat:
        """Return the attributes of what a symlink leads to, for `DirEntry.stat`.

        Format: "Symbolic Links".
        """
        self._check_open()
        return self._readers.inodes.stat(self._resolver.inode_behind(link, within, path, count))

    def scandir_at(
        self, entry: Entry, within: Place, path: AnyPath, start: AnyPath | None
    ) -> Scanned[DirEntry[AnyPath]]:
        """Return the entries of a directory by its entry, for `DirEntry.scandir`.

        Format: "Directory Table".
        """
        place = self._place_of(entry, within, path)
        first = b"" if start is None else encode(start)
        return Scanned(self._while_open(entries(self._tree, place, path, first)))

    # ---- for both --------------------------------------------------------------------------------

    def _stats_in(
        self,
        directory: Directory,
        path: AnyPath,
        start: bytes,
        on_error: Callable[[AnyPath, SquashfsError, Entry], object] | None,
    ) -> Scanned[tuple[AnyPath, Stat]]:
        found = names_and_stats(self._tree, self._readers, directory, path, start, on_error)
        return Scanned(self._while_open(found))

    @property
    def _tree(self) -> Tree:
        return cast("Tree", self)  # as which entries and walks know a SquashFS

    def _while_open(self, batches: Iterator[Iterable[T]]) -> Generator[T, None, None]:
        try:
            for batch in batches:
                for item in batch:
                    yield item
                    if self.closed:
                        self._check_open()
        except FormatError:
            self._distrust()  # the next call may find it sound
            raise

    @retried
    def _place(self, path: str | bytes) -> Place:
        self._check_open()
        return self._resolver.directory(path)

    @retried
    def _place_of(self, entry: Entry, within: Place, path: str | bytes) -> Place:
        self._check_open()
        return self._resolver.directory_at(entry, within, path)
