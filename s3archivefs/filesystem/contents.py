"""The part of the filesystem that reads contents, many at once where many are wanted."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.local import LocalFileSystem

from s3archivefs.errors import leads_nowhere
from s3archivefs.file import check_limit
from s3archivefs.filesystem.ranges import Wanted, read_ranges, span
from s3archivefs.inode import FileKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from fsspec.callbacks import Callback

    from s3archivefs.errors import SquashfsError
    from s3archivefs.filesystem.opened_file import ArchiveFile
    from s3archivefs.image import SquashFS
    from s3archivefs.inode import Stat

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["Contents"]

_SMALL_BYTES = 4 << 20
"""Bytes of a file that is copied in a batch; `read_many` batches no larger ones."""


class Contents(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """The part of the filesystem that reads contents and copies files."""

    @property
    def image(self) -> SquashFS:
        """The open image."""
        raise NotImplementedError

    def cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        **_: Any,  # noqa: ANN401 -- fsspec's
    ) -> bytes:
        """Return the content of a file, or the slice [start, end) of it.

        Raises LimitExceededError for more than Limits.read_all_bytes, unless `end` counts them.
        """
        path = "/" + self._strip_protocol(path)
        if start in {None, 0} and end is None:
            return self.image.read_bytes(path)
        with self.image.open(path) as file:
            first, stop = span(start, end, file.size, self.image.limits.read_all_bytes)
            file.seek(first)
            return file.read(stop - first)

    def read_block(
        self, fn: str, offset: int, length: int | None, delimiter: bytes | None = None
    ) -> bytes:
        """Return `length` bytes of a file from `offset`, or all behind it, as fsspec does.

        With a delimiter, they begin and end behind the next one. Raises LimitExceededError where
        that is not among so many bytes as Limits.read_all_bytes, or all are more.
        """
        most = self.image.limits.read_all_bytes
        with self.open(fn) as file:
            start = offset
            end = file.size if length is None else min(offset + length, file.size)
            if delimiter:
                start, end = (_behind_next(delimiter, file, at, most) for at in (start, end))
            if length is None:
                check_limit(end - start, most)
            file.seek(start)
            block: bytes = file.read(end - start)
            return block

    def cat(
        self,
        path: AnyPath | Sequence[AnyPath],
        recursive: bool = False,  # noqa: FBT001, FBT002 -- fsspec's
        on_error: str = "raise",
        **kwargs: Any,  # noqa: ANN401 -- likewise
    ) -> Any:  # noqa: ANN401 -- bytes, or bytes by path
        """Return the content of one file, or the contents of several, by path.

        Several are read in the order of the disk, as `SquashFS.read_many` reads them. Of paths that
        a pattern or `recursive` adds, only regular files count.
        """
        start: int | None = kwargs.pop("start", None)
        end: int | None = kwargs.pop("end", None)
        given = [path] if isinstance(path, str | os.PathLike) else [*path]
        own = [self._strip_protocol(each) for each in given]
        names = self.expand_path(given, recursive=recursive, **kwargs)
        is_one = isinstance(path, str | os.PathLike) and names == own
        if is_one and not (recursive and self.isdir(own[0])):  # an empty directory adds no name
            return self.cat_file(own[0], start, end)
        asked = {*own} if not recursive else set()
        names = [name for name in names if name in asked or self.isfile(name)]
        if start is None and end is None:
            contents = self._contents(names, on_error)
        else:
            pieces = self.cat_ranges(names, start, end, on_error="return")
            contents = dict(zip(names, pieces, strict=True))
        for name in names if on_error != "return" else ():
            if isinstance(error := contents.get(name), Exception):
                if on_error == "raise":
                    raise error
                del contents[name]
        return {name: contents[name] for name in names if name in contents}

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,  # noqa: ANN401 -- int, None, or a list of them
        ends: Any,  # noqa: ANN401 -- likewise
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,  # noqa: ANN401 -- fsspec's
    ) -> list[Any]:
        """Return the bytes [start, end) of each path, or the error that reading it raised.

        Ranges of one file that lie within `max_gap` bytes of each other, by default those of a
        block, are read at once; whole files as `cat` reads them. Unless `on_error` is `return`, the
        first error is raised.
        """
        if not isinstance(paths, list):
            raise TypeError("paths is no list")
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("paths, starts and ends differ in length")
        names = [*map(self._strip_protocol, paths)]
        found: list[bytes | Exception] = [b""] * len(paths)
        whole: dict[str, list[int]] = defaultdict(list)
        parts: dict[str, list[Wanted]] = defaultdict(list)
        for index, (name, start, end) in enumerate(zip(names, starts, ends, strict=True)):
            if start in {None, 0} and end is None:
                whole[name].append(index)
            else:
                parts[name].append(Wanted(index, start, end))
        for name, content in self._contents(whole, "return").items():
            for index in whole[name]:
                found[index] = content
        gap = self.image.superblock.block_size if max_gap is None else max_gap
        for index, piece in read_ranges(self.image, parts, gap):
            found[index] = piece
        if on_error != "return":
            for piece in found:
                if isinstance(piece, Exception):
                    raise piece
        return found

    def get(
        self,
        rpath: str | list[str],
        lpath: str | list[str],
        recursive: bool = False,  # noqa: FBT001, FBT002 -- fsspec's
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **kwargs: Any,  # noqa: ANN401 -- likewise
    ) -> None:
        """Copy files, or trees if `recursive`, to local paths, by fsspec's rules.

        Small files are read in the order of the disk, as `SquashFS.read_many` reads them. Symlinks
        are followed; one that leads to a directory, within a tree, becomes an empty directory. What
        has no content is left out of a tree.
        """
        plan = _Plan(self)
        plan.get(rpath, lpath, recursive=recursive, maxdepth=maxdepth, **kwargs)
        callback.set_size(len(plan.copies))
        local = LocalFileSystem(auto_mkdir=True)
        small: dict[str, list[str]] = defaultdict(list)
        for source, target in plan.copies:
            stat = self._stat_to_copy(source, is_found=recursive)
            if stat is None:
                callback.relative_update()
            elif not isinstance(target, str) or stat.size > _SMALL_BYTES:
                with callback.branched(source, target) as child:
                    self.get_file(source, target, callback=child)
                callback.relative_update()
            elif stat.kind is FileKind.DIRECTORY:
                local.makedirs(target, exist_ok=True)
                callback.relative_update()
            else:
                small[source].append(target)
        for name, content in self.image.read_many("/" + each for each in small):
            for target in small[name[1:]]:
                with callback.branched(name[1:], target) as child:
                    child.set_size(len(content))
                    local.pipe_file(target, content)
                    child.relative_update(len(content))
                callback.relative_update()

    def _stat_to_copy(self, name: str, *, is_found: bool) -> Stat | None:
        """Return the attributes of what is to be copied.

        Return None for what a search found that has no content: a symlink that leads nowhere, a
        device, fifo or socket.
        """
        try:
            stat = self.image.stat("/" + name)
        except OSError as error:
            if is_found and leads_nowhere(error) and self.lexists(name):
                return None
            raise
        has_content = stat.kind in {FileKind.FILE, FileKind.DIRECTORY}
        return None if is_found and not has_content else stat

    def _contents(self, names: Iterable[str], on_error: str) -> dict[str, bytes | Exception]:
        """Return the contents of files by name, read in the order of the disk."""
        found: dict[str, bytes | Exception] = {}

        def report(path: str, error: SquashfsError | OSError) -> None:
            if on_error == "return":
                found[path[1:]] = error

        reading = self.image.read_many(
            ("/" + name for name in names), on_error=None if on_error == "raise" else report
        )
        for path, content in reading:
            found[path[1:]] = content
        return found


def _behind_next(delimiter: bytes, file: ArchiveFile, start: int, most: int) -> int:
    """Return where a file goes on behind the next delimiter, or ends.

    Its start is behind one. Raises LimitExceededError where none is among so many bytes.
    """
    if start == 0:
        return start
    file.seek(start)
    searched = b""
    while piece := file.read(file.blocksize):
        searched = searched[-len(delimiter) :] + piece
        at = searched.find(delimiter)
        if at >= 0:
            return file.tell() - len(searched) + at + len(delimiter)
        check_limit(file.tell() - start, most)
    return file.tell()


class _Plan(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Finds out, by fsspec's own rules, which files a `get` copies where; copies none."""

    cachable = False

    def __init__(self, fs: AbstractFileSystem) -> None:
        super().__init__()
        self.copies: list[tuple[str, Any]] = []
        """The files to copy, each with where to."""
        self._fs = fs
        self.isdir = fs.isdir

    def expand_path(self, path: Any, *arguments: Any, **options: Any) -> list[str]:  # noqa: ANN401 -- fsspec's
        """Return the paths with a leading slash, without which a top name has no parent."""
        return ["/" + name for name in self._fs.expand_path(path, *arguments, **options)]

    def get_file(self, rpath: str, lpath: Any, **_: Any) -> None:  # noqa: ANN401 -- fsspec's
        """Remember a copy to make."""
        self.copies.append((self._fs._strip_protocol(rpath), lpath))  # noqa: SLF001 -- fsspec's hook
