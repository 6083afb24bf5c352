"""What a mount answers where an operation fails, and what it tells of it."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from s3archivefs.errors import SquashfsError
from s3archivefs.mount.branches import StaleNodeError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Faults", "unfailing"]

_ANSWERS = frozenset({
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ENODATA),
    *(errno.ERANGE, errno.ENOSYS, errno.ENAMETOOLONG),
})  # fmt: skip
"""Error numbers that are answers to what was asked, and no faults."""
_TO_DO = ": mount it again to see the new one, or with -o on_change=follow"
_QUIET_SECONDS = 60.0  # in which the same line is not told again
_LINES_MAX = 256  # that are remembered


def unfailing(report: Callable[[str], object]) -> Callable[[str], object]:
    """Return the function, made to drop lines that it cannot tell."""

    def told(line: str) -> None:
        with suppress(Exception):  # a mount outlives whom it tells
            report(line)

    return told


class Faults:
    """The error number of each failure.

    `report` is called with a line for each that is a fault. A program may read damaged bytes again
    and again: the same line is told once a minute.
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
        self._told: dict[str, float] = {}
        """Lines, and when they were told, the oldest first."""

    def number(self, error: Exception, where: str) -> int:
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
        self._tell(what if where in what else f"{where}: {what}")
        return errno.ESTALE if number == errno.ESTALE else errno.EIO

    def _tell(self, line: str) -> None:
        now = self._clock()
        told = self._told.pop(line, None)
        if told is None or now - told >= _QUIET_SECONDS:
            told = now
            self._report(line)
        self._told[line] = told
        while len(self._told) > _LINES_MAX:
            self._told.pop(next(iter(self._told)), None)
