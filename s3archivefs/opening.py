"""Opening the files of an image, and the image elsewhere; ending what is open with it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, Self, overload
from weakref import ref

from s3archivefs.file import check_limit, open_content
from s3archivefs.forks import renew_after_fork
from s3archivefs.names import as_plain
from s3archivefs.reopening import reopen
from s3archivefs.text import as_text, is_text

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from types import TracebackType

    from s3archivefs.content import Content
    from s3archivefs.file import SquashFile
    from s3archivefs.limits import Limits
    from s3archivefs.names import EitherPath
    from s3archivefs.reopening import Origin

__all__ = ["FileOpener"]


class FileOpener:
    """The part of `SquashFS` that opens its files, and is opened anew in other processes."""

    _close: Callable[[], object]

    def __init__(self, limits: Limits) -> None:
        self.closed = False
        self._limits = limits
        self._files: set[ref[SquashFile]] = set()
        renew_after_fork(self, FileOpener._renew_files)

    @property
    def limits(self) -> Limits:
        """What the image may cost, as it was opened with."""
        return self._limits

    @property
    def origin(self) -> Origin:
        """Where the image came from, and what was there: what a pickle of it holds."""
        raise NotImplementedError

    def __reduce__(self) -> tuple[object, ...]:
        """Opened anew in another process, by its path or URL, or with its device if that can be
        pickled.
        """
        self.origin.check_pickles()
        return reopen, (type(self), self.origin)

    def __copy__(self) -> Self:
        return reopen(type(self), self.origin)

    def _content(self, path: str | bytes) -> Content:
        """The content of the regular file that a path leads to."""
        raise NotImplementedError

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
        """A regular file, opened for reading bytes (`rb`) or text (`r`, UTF-8 unless said);
        symlinks are followed. Its buffer is chosen by itself, whatever `buffering` says.

        Raises IsADirectoryError, or OSError (ENXIO) for a device, fifo or socket, whose content no
        image holds; ValueError for other modes, io.UnsupportedOperation for those that write.

        Format: "File Inodes".
        """
        text = is_text(mode, buffering, encoding=encoding, errors=errors, newline=newline)
        path = as_plain(path)
        file = open_content(self._content(path), path, self._limits, self)
        self._files.add(ref(file, self._files.discard))
        if self.closed:  # meanwhile, and `close` closes what it finds
            file.close()
        return as_text(file, encoding, errors, newline) if text else file

    def read_bytes(self, path: EitherPath) -> bytes:
        """The whole content of a regular file, at most Limits.read_all_bytes.

        Raises what `open` raises.

        Format: "Data and Fragment Blocks".
        """
        content = self._content(as_plain(path))
        check_limit(content.size, self._limits.read_all_bytes)
        return content.read()

    def close(self) -> None:
        """Close the files in the image that are open, and what was opened for it.

        A file or device that the caller gave stays open.
        """
        self.closed = True
        with ExitStack() as ends:  # which closes each, though another fails
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
