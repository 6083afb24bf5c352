"""What every line of the log keeps to: it is one line, of bounded length, whatever clients send."""

from __future__ import annotations

import copy
import logging
import traceback
from datetime import UTC, datetime

__all__ = ["LineFilter", "LineFormatter", "bounded", "printable", "utc_time"]

_MESSAGE_CHARACTERS = 4096
_TRACEBACK_CHARACTERS = 16 * 1024
"""The end of it, which says what has happened."""


def bounded(text: str, limit: int) -> str:
    """The text, or its first `limit` characters and how many there are."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """The text on one line: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def utc_time(seconds: float) -> str:
    """A time, seconds since the epoch, in ISO 8601 with milliseconds: 2026-01-02T03:04:05.678Z."""
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LineFilter(logging.Filter):
    """Makes each record one line, whoever formats it; a traceback follows in lines of its own, none
    of which begins as a record does.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; it passes."""
        record.msg = printable(bounded(record.getMessage(), _MESSAGE_CHARACTERS))
        record.args = None
        if record.exc_info:
            text = "".join(traceback.format_exception(*record.exc_info))[-_TRACEBACK_CHARACTERS:]
            lines = text.removesuffix("\n").split("\n")
            record.exc_text = "\n".join("    " + printable(line) for line in lines)
        return True


class LineFormatter(logging.Formatter):
    """The time and the record's line; of the logger `bare`, whose lines are bounded by themselves,
    the message alone.
    """

    def __init__(self, *, bare: str) -> None:
        super().__init__()
        self._bare = bare
        self._filter = LineFilter()

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        if record.name == self._bare:
            return record.getMessage()
        record = copy.copy(record)  # which others may format, too
        self._filter.filter(record)
        return f"{utc_time(record.created)} {super().format(record)}"
