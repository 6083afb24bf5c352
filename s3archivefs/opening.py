"""The part of an image that opens files, closes them, and goes to other processes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, Self, overload
from weakref import ref

from s3archivefs.content import Content
from s3archivefs.errors import FormatError
from s3archivefs.file import check_limit, open_content
from s3archivefs.forks import renew_after_fork
from s3archivefs.format import ABSENT_32
from s3archivefs.names import as_plain
from s3archivefs.reopening import reopen
from s3archivefs.text import as_text, is_text

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeAlias

    from s3archivefs.content_place import ContentPlace
    from s3archivefs.data import DataReader
    from s3archivefs.file import SquashFile
    from s3archivefs.inode import Inode, InodeTable
    from s3archivefs.limits import Limits
    from s3archivefs.names import EitherPath
    from s3archivefs.reopening import Origin

    Found: TypeAlias = tuple[Inode, InodeTable, DataReader]

__all__ = ["FileOpener"]


class FileOpener:
    """The part of `SquashFS` that opens its files, closes them, and can be pickled."""

    _close: Callable[[], object]

    def __init__(self, limits: Limits) -> None:
        self.closed = False
        self._limits = limits
        self._files: set[ref[SquashFile]] = set()
        renew_after_fork(self, FileOpener._renew_files)

    @property
    def limits(self) -> Limits:
        """Limits on what the image may cost, as `open` was given them."""
        return self._limits

    @property
    def origin(self) -> Origin:
        """Source and identity of the image: the content of its pickle."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[object, ...]:
        """Open the image in another process: by its path or URL, or with its device.

        Raises TypeError where the device cannot be pickled.
        """
        self.origin.check_pickles()
        return reopen, (type(self), self.origin)

    def __copy__(self) -> Self:
        return reopen(type(self), self.origin)

    def _content_of(self, path: str | bytes) -> Found:
        """Return the inode of the regular file that a path leads to, and its readers."""
        raise NotImplementedError

    def _content_place(self, path: str | bytes) -> tuple[ContentPlace, DataReader] | None:
        """Return where a file's content lies, and its reader; None where `_content_of` judges."""
        raise NotImplementedError

    def _distrust(self) -> bool:
        """Discard metadata that may be damaged; return whether another read may differ."""
        raise NotImplementedError

    def _content(self, path: str | bytes, found: Found) -> Content:
        return Content(*found, lambda: self._content_of(path) if self._distrust() else None)

    @overload
    def open(
        self, path: EitherPath, mode: Literal["rb", "br"] = "rb", buffering: int = -1
    ) -> SquashFile: ...
    @overload
    def open(
        self,
        path: EitherPath,
        mode: Literal["r", "rt", "tr"],
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    @overload
    def open(
        self,
        path: EitherPath,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> SquashFile | io.TextIOWrapper: ...
    def open(  # noqa: PLR0917 -- as the built-in open
        self,
        path: EitherPath,
        mode: str = "rb",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> SquashFile | io.TextIOWrapper:
        """Open a regular file for reading bytes (`rb`) or text (`r`), following symlinks.

        Text is UTF-8, unless `encoding` says otherwise. The file chooses its own buffer, whatever
        `buffering` says. Raises IsADirectoryError for a directory, OSError (ENXIO) for a device,
        fifo or socket, whose content no image holds, io.UnsupportedOperation for modes that write,
        ValueError for other unknown modes.

        Format: "File Inodes".
        """
        text = is_text(mode, buffering, encoding=encoding, errors=errors, newline=newline)
        path = as_plain(path)
        content = self._content(path, self._content_of(path))
        file = open_content(content, path, self._limits, self)
        self._files.add(ref(file, self._files.discard))
        if self.closed:  # by another thread, which may have missed this file
            file.close()
        return as_text(file, encoding, errors, newline) if text else file

    def read_bytes(self, path: EitherPath) -> bytes:
        """Return the whole content of a regular file, at most Limits.read_all_bytes.

        Raises what `open` raises.

        Format: "Data and Fragment Blocks".
        """
        path = as_plain(path)
        if (found := self._content_place(path)) is not None:
            place, data = found
            check_limit(place.size, self._limits.read_all_bytes)
            if place.fragment_index != ABSENT_32 and place.size < data.block_size:
                try:  # as below, in a fifth of the time
                    return data.fragment(place.fragment_index, place.fragment_offset, place.size)
                except FormatError:
                    if not self._distrust():
                        raise
        content = self._content(path, self._content_of(path))
        check_limit(content.size, self._limits.read_all_bytes)
        return content.read()

    def close(self) -> None:
        """Close the open files of the image, and what was opened for it.

        A file or device that the caller opened stays open.
        """
        self.closed = True
        with ExitStack() as ends:  # which closes the rest where one fails
            ends.callback(self._close)
            for file in self._open_files():
                ends.callback(file.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the image is closed")

    def _renew_files(self) -> None:  # pragma: no cover -- in forked processes
        for file in self._open_files():
            file.renew_after_fork()

    def _open_files(self) -> list[SquashFile]:
        return [file for reference in self._files.copy() if (file := reference()) is not None]
