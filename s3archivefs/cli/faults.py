"""Faults on the way: lines on standard error, and one exit code."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from s3archivefs.cli.exit_codes import OK, exit_code
from s3archivefs.cli.output import shown
from s3archivefs.errors import SquashfsError

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
    def reported(self) -> Iterator[None]:
        """Report the fault that ends the block, and go on behind it."""
        try:
            yield
        except BrokenPipeError:
            raise
        except EXPECTED as error:
            self.report(error)

    def until_fault(self, items: Iterator[T]) -> Iterator[T]:
        """Yield items up to a fault, which is reported."""
        with self.reported():
            yield from items

    def guarded(self, ask: Callable[[T], R]) -> Callable[[T], R | None]:
        """Return the function, made to report a fault and return None."""

        def guarded(subject: T) -> R | None:
            try:
                return ask(subject)
            except EXPECTED as error:
                self.report(error)
                return None

        return guarded

    def report(self, error: Exception, where: bytes | None = None) -> None:
        """Write a fault to standard error, of a path or of the image."""
        sys.stdout.flush()  # so that a terminal shows both in their order
        complain(line_of(error, where or self._image))
        self.code = max(self.code, exit_code(error))


def complain(line: str) -> None:
    """Write one line to standard error, with the command's name before it."""
    print(f"s3archivefs: {line}", file=sys.stderr)


def line_of(error: Exception, place: str | bytes | None) -> str:
    """Return an error as one line, with the path that it names, else the place."""
    if isinstance(error, SquashfsError):
        place = error.image or place
    what, where = str(error).replace("\n", " "), place
    if isinstance(error, OSError) and error.strerror:
        what, where = error.strerror, error.filename or place
    elif isinstance(place, str) and _names(what, place):
        return what
    if where is None:
        return what
    return f"{shown(os.fspath(where), sys.stderr)}: {what}"


def _names(what: str, place: str) -> bool:
    """Return whether a message names a place, which may be short."""
    return what.startswith(f"{place}: ") or ("://" in place and place in what)
