"""Lines of the log: each is one line of bounded length, whatever clients send."""

from __future__ import annotations

import copy
import logging
import traceback
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["LineFilter", "LineFormatter", "bounded", "printable", "utc_time"]

_MESSAGE_CHARACTERS = 4096
"""Characters of a message: more than any of ours, and few enough to read."""
_TRACEBACK_CHARACTERS = 16 * 1024
"""Characters of a traceback: its end, which says what has happened."""


def bounded(text: str, limit: int) -> str:
    """Return the text, or its first `limit` characters and how many there are."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def printable(text: str) -> str:
    """Return the text on one line, with what cannot be printed escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def utc_time(seconds: float) -> str:
    """Return a time, seconds since the epoch, as 2026-01-02T03:04:05.678Z (ISO 8601)."""
    whole = int(seconds // 1)
    return f"{_utc_second(whole)}.{int((seconds - whole) * 1000):03}Z"


@lru_cache(maxsize=16)  # many lines are of the same second
def _utc_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineFilter(logging.Filter):
    """Makes each record one line, whoever formats it.

    A traceback follows in lines of its own, each indented, so that none begins as a record does.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record, and let it pass."""
        record.msg = printable(bounded(record.getMessage(), _MESSAGE_CHARACTERS))
        record.args = None
        if record.exc_info:
            text = "".join(traceback.format_exception(*record.exc_info))[-_TRACEBACK_CHARACTERS:]
            lines = text.removesuffix("\n").split("\n")
            record.exc_text = "\n".join("    " + printable(line) for line in lines)
        return True


class LineFormatter(logging.Formatter):
    """Writes the time and the record's line; for the logger `bare`, the message alone.

    That logger's messages are lines of bounded length already.
    """

    def __init__(self, *, bare: str) -> None:
        super().__init__()
        self._bare = bare
        self._filter = LineFilter()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        if record.name == self._bare:
            return record.getMessage()
        record = copy.copy(record)  # other handlers format it, too
        self._filter.filter(record)
        return f"{utc_time(record.created)} {super().format(record)}"
