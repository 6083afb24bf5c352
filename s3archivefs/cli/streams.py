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

    What was not flushed is dropped at the end, and so is what goes to a closed standard error.
    """
    before = sys.stdout, sys.stderr
    if cast("TextIO | None", sys.stderr) is None:
        sys.stderr = io.TextIOWrapper(io.BytesIO())
    wrapped = _wrapped(sys.stdout)
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


def _wrapped(stream: TextIO | None) -> tuple[TextIO, _Output] | None:
    """Return a stream to the same descriptor; None for a stream that has none."""
    if stream is None:
        output = _Output(None)
        return io.TextIOWrapper(io.BufferedWriter(output), "utf-8"), output
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # unbuffered where Python was told so
    if not isinstance(raw, io.FileIO):
        return None
    stream.flush()
    output = _Output(raw)
    wrapped = io.TextIOWrapper(
        cast("io.BufferedWriter", output) if raw is buffer else io.BufferedWriter(output),
        stream.encoding,
        stream.errors,
        line_buffering=stream.isatty(),
        write_through=raw is buffer,
    )
    return wrapped, output


class _Output(io.RawIOBase):
    """The descriptor of another stream, if there is one."""

    def __init__(self, raw: io.FileIO | None) -> None:
        self._raw = raw
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
        if self.is_dropped:
            return memoryview(data).nbytes
        if self._raw is None:
            raise OutputError(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        try:
            return self._raw.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from error
