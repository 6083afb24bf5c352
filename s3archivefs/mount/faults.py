"""What a mount answers where an operation fails, and what it tells of it."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs.errors import SquashfsError
from s3archivefs.mount.branches import StaleNodeError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Faults", "Place", "unfailing"]

_ANSWERS = frozenset({
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ENODATA),
    *(errno.ERANGE, errno.ENOSYS, errno.ENAMETOOLONG),
})  # fmt: skip
"""Error numbers that are answers to what was asked, and no faults."""
_TO_DO = ": mount it again to see the new one, or with -o on_change=follow"
_QUIET_SECONDS = 60.0  # in which the same fault is not told again
_TOLD_MAX = 256  # that are remembered


class Place(NamedTuple):
    """Where a fault lies."""

    archive: str
    """What messages call the archive, or what else there is."""
    detail: str = ""
    """Where it lies in the archive."""

    def __str__(self) -> str:
        return f"{self.archive}: {self.detail}" if self.detail else self.archive


def unfailing(report: Callable[[str], object]) -> Callable[[str], object]:
    """Return the function, made to drop lines that it cannot tell."""

    def told(line: str) -> None:
        with suppress(Exception):  # a mount outlives whom it tells
            report(line)

    return told


class Faults:
    """The error number of each failure.

    `report` is called with a line for each that is a fault. A program may read damaged bytes again
    and again, and any number of files of a store that does not answer: the same damage is told once
    a minute, and so is each other kind of fault of an archive.
    """

    def __init__(
        self,
        report: Callable[[str], object],
        *,
        on_stale: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_stale` is called where an archive was replaced, if that is to be followed."""
        self._report = report
        self._on_stale = on_stale
        self._clock = clock
        self._told: dict[tuple[object, ...], float] = {}
        """What was told, and when, the oldest first."""

    def number(self, error: Exception, where: Place) -> int:
        """Return the error number to answer with; `where` begins the line of a fault."""
        number = error.errno if isinstance(error, OSError) else None
        if number in _ANSWERS or isinstance(error, StaleNodeError):
            return number or errno.EIO
        what = " ".join(str(error).split())
        if not isinstance(error, SquashfsError | OSError):
            what = f"{type(error).__name__}: {what}"  # a bug, or an image that was closed
        if number == errno.ESTALE:
            if self._on_stale is not None:
                self._on_stale()
                return number
            what += _TO_DO
        line = what if str(where) in what else f"{where}: {what}"
        # The lines of what a store refuses differ by the numbers of their requests.
        is_damage = isinstance(error, SquashfsError)
        self._tell((line,) if is_damage else (where.archive, type(error), number), line)
        return errno.ESTALE if number == errno.ESTALE else errno.EIO

    def _tell(self, fault: tuple[object, ...], line: str) -> None:
        now = self._clock()
        told = self._told.pop(fault, None)
        if told is None or now - told >= _QUIET_SECONDS:
            told = now
            self._report(line)
        self._told[fault] = told
        while len(self._told) > _TOLD_MAX:
            self._told.pop(next(iter(self._told)), None)
