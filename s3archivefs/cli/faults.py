"""Faults on the way: lines on standard error, and one exit code."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from s3archivefs.cli.exit_codes import OK, exit_code
from s3archivefs.cli.output import shown
from s3archivefs.errors import SquashfsError
from s3archivefs.names import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["EXPECTED", "Faults", "complain", "line_of"]

T = TypeVar("T")
R = TypeVar("R")

EXPECTED = (SquashfsError, OSError, ValueError)
"""What reading raises; ValueError for a URL, an offset or a setting."""


class Faults:
    """The faults of a command that goes on after each, as `ls` and `cat` do."""

    def __init__(self, image: str) -> None:
        self.code = OK
        """The highest exit code of the faults so far."""
        self._image = image

    @contextmanager
    def reported(self, path: str | bytes = "") -> Iterator[None]:
        """Report the fault of a path that ends the block, and go on behind it."""
        try:
            yield
        except BrokenPipeError:
            raise
        except EXPECTED as error:
            self.report(error, path)

    def until_fault(self, items: Iterator[T], path: str | bytes) -> Iterator[T]:
        """Yield items up to a fault of the path, which is reported."""
        with self.reported(path):
            yield from items

    def guarded(
        self, ask: Callable[[T], R], path_of: Callable[[T], str | bytes]
    ) -> Callable[[T], R | None]:
        """Return the function, made to report a subject's fault and return None."""

        def guarded(subject: T) -> R | None:
            try:
                return ask(subject)
            except EXPECTED as error:
                self.report(error, path_of(subject))
                return None

        return guarded

    def report(self, error: Exception, path: str | bytes = "") -> None:
        """Write a fault of a path, or of the image, to standard error."""
        sys.stdout.flush()  # so that a terminal shows both in their order
        complain(line_of(error, self._image, path))
        self.code = max(self.code, exit_code(error))


def complain(line: str) -> None:
    """Write one line to standard error, with the command's name before it."""
    print(f"s3archivefs: {line}", file=sys.stderr)


def line_of(error: Exception, image: str | None, path: str | bytes = "") -> str:
    """Return an error as one line.

    It begins with the path that the error names, else with the image and the path.
    """
    if isinstance(error, SquashfsError) and error.image is not None:
        image, path = error.image, ""  # of another image, in which the path means nothing
    what, where = str(error).replace("\n", " "), None if image is None else _joined(image, path)
    if isinstance(error, OSError) and error.strerror:
        what, where = error.strerror, error.filename or where
    elif image is not None and _names(what, image):
        return what
    if where is None:
        return what
    return f"{shown(os.fspath(where), sys.stderr)}: {what}"


def _joined(image: str, path: str | bytes) -> str:
    """Return the path behind its image, as arguments have it; the root as the image."""
    inside = (path if isinstance(path, str) else decode(path)).strip("/")
    return f"{image.rstrip('/')}/{inside}" if inside else image


def _names(what: str, image: str) -> bool:
    """Return whether a message names an image, whose name may be short."""
    return what.startswith(f"{image}: ") or ("://" in image and image in what)
