"""What is known of archives, whether or not they are open: a few hundred bytes for each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Hashable

    from s3archivefs_lambda.config.location import Location

__all__ = ["Known", "KnownArchives"]

_MOST = 50_000
"""Of some 600 bytes each: 30 MB where so many archives are in use."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of one archive."""

    version: Hashable
    """Its opener's record of it."""
    checked: float
    """When the store was last asked for it, by the clock of `Archives`."""
    is_sound: bool = True
    """False where it turned out to be replaced, or what is cached of it to be wrong."""


class KnownArchives:
    """What is known of at most `most` archives, the least recently used forgotten first.
    Thread-safe.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: OrderedDict[Location, Known] = OrderedDict()
        self._lock = threading.Lock()
        renew_after_fork(self, KnownArchives._renew)

    def get(self, location: Location) -> Known | None:
        """What is known of the archive there, if anything is."""
        with self._lock:
            known = self._known.get(location)
            if known is not None:
                self._known.move_to_end(location)
            return known

    def replace(self, location: Location, before: Known | None, now: Known | None) -> bool:
        """Let `now` take the place of `before`; False where that is no longer what is known."""
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
        self._lock = threading.Lock()
