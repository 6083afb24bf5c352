"""Standard output and standard error as the command can rely on them."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

__all__ = ["OutputError", "standard_streams"]


class OutputError(Exception):
    """Standard output cannot be written to: no fault of the image.

    Where its reader went away, that is a BrokenPipeError, as ever.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")


@contextmanager
def standard_streams() -> Iterator[None]:
    """Let writes to standard output raise OutputError meanwhile, also where it is closed.

    What was not flushed is dropped at the end. Where standard error is closed, or cannot be written
    to, what goes there is dropped: no exit code, and no work, hangs on it.
    """
    before = sys.stdout, sys.stderr
    if (errors := _wrapped(sys.stderr, is_output=False)) is not None:
        sys.stderr, _ = errors
    wrapped = _wrapped(sys.stdout, is_output=True)
    if wrapped is not None:
        sys.stdout, output = wrapped
    try:
        yield
    finally:
        if wrapped is not None:
            output.is_dropped = True
            if not sys.stdout.closed:
                sys.stdout.close()
        sys.stdout, sys.stderr = before


def _wrapped(stream: TextIO | None, *, is_output: bool) -> tuple[TextIO, _Output] | None:
    """Return a stream to the same descriptor; None for a stream that has none."""
    if stream is None:
        output = _Output(None, is_output=is_output)
        return io.TextIOWrapper(io.BufferedWriter(output), "utf-8"), output
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # unbuffered where Python was told so
    if not isinstance(raw, io.FileIO):
        return None
    stream.flush()
    output = _Output(raw, is_output=is_output)
    wrapped = io.TextIOWrapper(
        cast("io.BufferedWriter", output) if raw is buffer else io.BufferedWriter(output),
        stream.encoding,
        stream.errors,
        line_buffering=not is_output or stream.isatty(),
        write_through=raw is buffer,
    )
    return wrapped, output


class _Output(io.RawIOBase):
    """The descriptor of another stream, if there is one."""

    def __init__(self, raw: io.FileIO | None, *, is_output: bool) -> None:
        self._raw = raw
        self._is_output = is_output
        self.is_dropped = False
        """Whether what is written goes nowhere from now on."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return super().fileno() if self._raw is None else self._raw.fileno()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._raw is not None and self._raw.isatty()

    def writable(self) -> bool:
        """Return True, as io.BufferedWriter asks."""
        return True

    def write(self, data: ReadableBuffer, /) -> int | None:
        """Write some of the data."""
        try:
            if not self.is_dropped:
                return self._written(data)
        except OSError as error:
            if self._is_output:
                if isinstance(error, BrokenPipeError):
                    raise
                raise OutputError(error) from error
        return memoryview(data).nbytes

    def _written(self, data: ReadableBuffer) -> int | None:
        if self._raw is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._raw.write(data)
