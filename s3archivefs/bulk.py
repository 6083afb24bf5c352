"""The part of an image that reads many files at once."""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from s3archivefs.batch_reads import BatchReader
from s3archivefs.content import Content
from s3archivefs.errors import CorruptImageError, FormatError, LimitExceededError, SquashfsError
from s3archivefs.inode import FileKind
from s3archivefs.names import (
    AnyPath,
    EitherPath,
    LinkedPath,
    PathLike,
    as_plain,
    decode_all_as,
    decode_as,
)
from s3archivefs.placing import Placer
from s3archivefs.wanted import LARGE_BYTES, Wanted, weight_of_path, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.data import DataReader
    from s3archivefs.inode import Inode, InodeTable, Stat
    from s3archivefs.readers import Readers
    from s3archivefs.resolution import Place
    from s3archivefs.runs import Entry, Run

    Fault: TypeAlias = SquashfsError | OSError

__all__ = ["BulkReader"]

P = TypeVar("P", bound=EitherPath)
T = TypeVar("T")

_MARK_WEIGHT = 300  # bytes of memory that a mark takes, roughly: names, attributes
_FILE, _DIRECTORY = FileKind.FILE.value, FileKind.DIRECTORY.value


class BulkReader(Placer):
    """The part of `SquashFS` that reads many files at once, in little memory."""

    _readers: Readers

    def _place(self, path: str | bytes) -> Place:
        """Return the directory that a path leads to."""
        raise NotImplementedError

    def stat(self, path: EitherPath, *, follow_symlinks: bool = True) -> Stat:
        """Return the attributes of a path."""
        raise NotImplementedError

    def read_many(
        self,
        paths: Iterable[P],
        *,
        on_error: Callable[[P, Fault], object] | None = None,
    ) -> Iterator[tuple[P, bytes]]:
        """Yield each path with the content of its file, in the order of the disk.

        This is faster than `read_bytes` for each, many times so over a network: blocks that files
        share are decoded once, what is adjacent is read at once, and decoded in parallel. Some
        30,000 paths at a time are put in order. A path given twice is yielded twice. Takes up to
        64 MiB of memory beside the caches, whatever the image says.

        A file that cannot be read raises what `read_bytes` raises, which ends the iterator; with
        `on_error`, that is called with the path and the error, and the others follow.

        Format: "Data and Fragment Blocks".
        """
        self._check_open()
        if isinstance(paths, str | bytes):
            raise TypeError(f"paths is {paths!r}, a single path: give a list of paths")
        return self._contents_of(paths, on_error)

    def walk_files(
        self,
        top: PathLike[AnyPath] = "/",  # type: ignore[assignment]  # str is one of AnyPath
        *,
        on_error: Callable[[AnyPath, Fault], object] | None = None,
    ) -> Iterator[tuple[AnyPath, Stat, io.BufferedIOBase]]:
        """Yield path, attributes and content of each regular file from `top` down.

        The files come in the order of the disk, as `read_many` reads them, and each as an open
        binary file: in memory up to 4 MiB, else one that reads as it is read. It is closed when
        the next is yielded. Symlinks are not followed; a hard link is a file like others.

        Raises what `walk` and `read_bytes` raise; with `on_error`, that is called with the path of
        the file or directory and the error, and the others follow. Takes the memory of `read_many`,
        and 300 bytes for each directory met or still to enter.

        Format: "Directory Table", "Data and Fragment Blocks".
        """
        top = as_plain(top)
        return self._files_below(self._place(top), top, on_error)

    def read_pieces(
        self,
        files: Iterable[tuple[T, Stat]],
        *,
        workers: int | None = None,
        is_all: bool = False,
        among: int = 0,
    ) -> Generator[tuple[T, Iterable[bytes | memoryview]], None, None]:
        """Yield each file's mark and the pieces of its content, in disk order.

        A file is given by its attributes, as this image's `stat` and `scandir_stats` return them,
        and a mark of any type. Files are read as `read_many` reads them, nothing is copied, and
        those too large for memory come piece by piece. Take the pieces before the next file. A file
        that cannot be read raises what `read_bytes` raises, to who takes its pieces. `workers` is
        the number of threads, by default that of processors, or 32 where there is a network.
        `is_all` says that nearly all blocks of the image are wanted: over a network they are
        fetched before it is known which file has them. `among`, if it is not 0, says that these are
        some files of `among` bytes in all, asked for in random order: where they lie apart, a cache
        that cannot hold so many bytes need not keep them.

        Format: "Data and Fragment Blocks".
        """
        self._check_open()
        wanted = (Wanted(mark, self._place_of_content(stat), stat) for mark, stat in files)
        reader: BatchReader[T] = self._batch_reader(workers, is_all=is_all, among=among)
        return self._pieces(wanted, reader, is_all=is_all)

    def read_placed(
        self, files: Iterable[tuple[T, ContentPlace, Sequence[int]]]
    ) -> Generator[tuple[T, Iterable[bytes | memoryview]], None, None]:
        """Yield likewise the pieces of files by places and size words of blocks.

        These are what `content_start` and `block_words` returned, of the same image. Metadata are
        read only for a file that cannot be read so, and for fragment blocks that are not known.

        Format: "Data and Fragment Blocks".
        """
        self._check_open()
        wanted = (Wanted(mark, place, words=words) for mark, place, words in files)
        return self._pieces(wanted, self._batch_reader(None), is_all=False)

    # ---- Contents --------------------------------------------------------------------------------

    def _contents_of(
        self, paths: Iterable[P], on_error: Callable[[P, Fault], object] | None
    ) -> Generator[tuple[P, bytes], None, None]:
        with closing(self._in_disk_order(self._wanted(paths, on_error))) as contents:
            for file, found in contents:
                try:
                    content = self.read_bytes(file.path) if found is None else found
                except (SquashfsError, OSError) as error:
                    _report(file.path, error, on_error)
                    continue
                yield file.path, content
                self._check_open()

    def _files_below(
        self,
        start: Place,
        top: AnyPath,
        on_error: Callable[[AnyPath, Fault], object] | None,
    ) -> Generator[tuple[AnyPath, Stat, io.BufferedIOBase], None, None]:
        files = self._regular_files(start, top, on_error)
        with closing(self._in_disk_order(files)) as contents:
            for wanted, content in contents:
                try:
                    stat = wanted.stat or self.stat(wanted.path)
                    file = self._opened(wanted, content)
                except (SquashfsError, OSError) as error:
                    _report(wanted.path, error, on_error)
                    continue
                with file:
                    yield wanted.path, stat, file
                self._check_open()

    def _pieces(
        self, wanted: Iterable[Wanted[T]], reader: BatchReader[T], *, is_all: bool
    ) -> Generator[tuple[T, Iterable[bytes | memoryview]], None, None]:
        in_windows = windows(
            wanted, self._readers.data.block_size, _weight_of_mark, is_first_whole=is_all
        )
        with closing(reader.pieces(in_windows)) as contents:
            for file, pieces in contents:
                yield file.path, self._pieces_alone(file) if pieces is None else pieces
                self._check_open()

    def _pieces_alone(self, wanted: Wanted[T]) -> Iterator[bytes | memoryview]:
        """Yield the pieces of a file that is in no batch."""
        reference = wanted.stat.reference if wanted.stat else wanted.reference

        def found() -> tuple[Inode, InodeTable, DataReader]:
            readers = self._readers
            return readers.inodes.inode(reference), readers.inodes, readers.data

        def found_again() -> tuple[Inode, InodeTable, DataReader] | None:
            return found() if self._distrust() else None

        with closing(Content(*found(), found_again)) as content:
            content.will_read(0, content.size)
            yield from content.pieces(0, content.size)

    def _opened(self, wanted: Wanted[AnyPath], content: bytes | None) -> io.BufferedIOBase:
        """Return an open file of the content, or one that reads it."""
        if content is None:
            file = self.open(wanted.path)
            if file.size > self._large_bytes:
                return file
            with file:
                content = file.read()
        return io.BytesIO(content)

    @property
    def _large_bytes(self) -> int:
        return min(LARGE_BYTES, self._limits.read_all_bytes)

    def _in_disk_order(
        self, files: Iterator[Wanted[P]]
    ) -> Generator[tuple[Wanted[P], bytes | None], None, None]:
        reader: BatchReader[P] = self._batch_reader()
        return reader.contents(windows(files, self._readers.data.block_size, weight_of_path))

    def _batch_reader(
        self, workers: int | None = None, *, is_all: bool = False, among: int = 0
    ) -> BatchReader[T]:
        inodes, data = self._readers.inodes, self._readers.data
        return BatchReader(inodes, data, self._large_bytes, workers, is_all=is_all, among=among)

    # ---- Files -----------------------------------------------------------------------------------

    def _wanted(
        self, paths: Iterable[P], on_error: Callable[[P, Fault], object] | None
    ) -> Iterator[Wanted[P]]:
        for path in paths:
            try:
                inode, _, _ = self._content_of(as_plain(cast("EitherPath", path)))
            except (SquashfsError, OSError) as error:
                _report(path, error, on_error)
            else:
                yield Wanted(path, inode.content)

    def _regular_files(
        self,
        start: Place,
        top: AnyPath,
        on_error: Callable[[AnyPath, Fault], object] | None,
    ) -> Iterator[Wanted[AnyPath]]:
        """Yield the regular files from a directory down."""
        separator = decode_as(top, b"/")
        first_prefix = top if top.endswith(separator) else top + separator
        seen: set[int] = set()
        todo: list[tuple[LinkedPath | None, Entry | None, int]] = [(None, None, 0)]
        while todo:
            way, entry, depth = todo.pop()
            path = first_prefix + decode_as(top, way.joined()) if way else top
            prefix = path + separator if way else first_prefix
            below: list[tuple[LinkedPath | None, Entry | None, int]] = []
            readers = self._readers
            try:
                inode = readers.entry_inode(entry) if entry else start.directory.inode
                if inode.reference in seen:
                    raise CorruptImageError(
                        f"directory {path!r} is in the tree twice", inode.tail[0]
                    )
                seen.add(inode.reference)
                if depth > self._limits.walk_depth:
                    raise LimitExceededError("walk_depth", depth, self._limits.walk_depth)
                for run in readers.directory(inode).runs():
                    if _FILE in run.types:
                        yield from _wanted_of_run(prefix, run, readers)
                    if _DIRECTORY in run.types:
                        below += (
                            (LinkedPath(way, found.name), found, depth + 1)
                            for found in run.entries()
                            if found.type == _DIRECTORY
                        )
            except (SquashfsError, OSError) as error:
                if isinstance(error, FormatError):
                    self._distrust()  # the next call may find it sound
                _report(path, error, on_error)
            todo += reversed(below)


def _wanted_of_run(prefix: AnyPath, run: Run, readers: Readers) -> Iterator[Wanted[AnyPath]]:
    """Yield the regular files among the entries of a run."""
    names = decode_all_as(prefix, run.names)
    try:
        stats = readers.stats.of_run(run)
    except OSError:  # of the device
        stats = [None] * len(names)
    content_of = readers.stats.content_of
    for index, (name, kind, stat) in enumerate(zip(names, run.types, stats, strict=True)):
        if kind != _FILE:
            continue
        path = prefix + name
        try:
            if stat is not None:
                yield Wanted(path, content_of(stat), stat)
                continue
            inode = readers.entry_inode(run.entry(index))
            yield Wanted(path, inode.content, readers.inodes.stat(inode))
        except (SquashfsError, OSError):
            yield Wanted(path, None)  # to read it by itself says why


def _weight_of_mark(_: object) -> int:
    return _MARK_WEIGHT


def _report(path: P, error: Fault, on_error: Callable[[P, Fault], object] | None) -> None:
    """Raise an error, or hand it to who wants to go on after it."""
    if on_error is None:
        raise error
    on_error(path, error)
