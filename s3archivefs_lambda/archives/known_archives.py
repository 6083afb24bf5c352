"""The known versions of archives, open or not: a few hundred bytes each."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Hashable

    from s3archivefs_lambda.config.location import Location

__all__ = ["KNOWN_MAX", "Known", "KnownArchives"]

KNOWN_MAX = 50_000
"""Archives, at some 600 bytes each: 30 MB if so many are in use."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The known version of one archive."""

    version: Hashable
    """The opener's record of the version."""
    confirmed_at: float
    """The time when the store last confirmed the version, by the clock of `Archives`."""
    is_sound: bool = True
    """False once the archive is found replaced, or its cached bytes damaged."""


class KnownArchives:
    """The known versions of at most `most` archives. Thread-safe.

    The least recently used is forgotten first.
    """

    def __init__(self, most: int = KNOWN_MAX) -> None:
        self._most = most
        self._known: OrderedDict[Location, Known] = OrderedDict()
        self._lock = Lock()
        renew_after_fork(self, KnownArchives._renew)

    def get(self, location: Location) -> Known | None:
        """Return the known version of the archive at a location, or None."""
        with self._lock:
            known = self._known.get(location)
            if known is not None:
                self._known.move_to_end(location)
            return known

    def peek(self, location: Location) -> Known | None:
        """Return the same, without counting it as used."""
        with self._lock:
            return self._known.get(location)

    def replace(self, location: Location, before: Known | None, now: Known | None) -> bool:
        """Replace `before` by `now`; return False if `before` is no longer the entry."""
        with self._lock:
            if self._known.get(location) is not before:
                return False
            if now is None:
                self._known.pop(location, None)
            else:
                self._known[location] = now
                self._known.move_to_end(location)
                if len(self._known) > self._most:
                    self._known.popitem(last=False)
            return True

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = Lock()
