"""Times as HTTP headers say them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

__all__ = ["http_date", "parse_http_date"]


@lru_cache(maxsize=1024)  # many files of an archive have the same time
def http_date(seconds: float) -> str:
    """Return a time, in seconds since the epoch, in the form of HTTP headers."""
    return format_datetime(datetime.fromtimestamp(int(seconds), UTC), usegmt=True)


def parse_http_date(text: str) -> datetime | None:
    """Return the time, in UTC, that a header's date says, if it is a date.

    A date without a zone is in UTC.
    """
    try:
        time = parsedate_to_datetime(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
