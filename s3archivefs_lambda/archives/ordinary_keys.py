"""What is known of keys that look like an archive's, but are none."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OrdinaryKeys"]

_MOST = 10_000
"""Keys, at some 400 bytes each."""


class _Found(NamedTuple):
    until: float
    etag: str | None


class OrdinaryKeys:
    """Keys at which there is no archive, until a time each. Thread-safe.

    The one found longest ago is forgotten first.
    """

    def __init__(self, clock: Callable[[], float], most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._found: OrderedDict[bytes, _Found] = OrderedDict()
        self._lock = Lock()
        renew_after_fork(self, OrdinaryKeys._renew)

    def add(self, key: bytes, seconds: float, etag: str | None = None) -> bool:
        """Note that there is no archive for so long; return whether that is news.

        `etag` is that of the object there, None if it is not known, empty if there is none.
        What was missing before is no news.
        """
        with self._lock:
            before = self._found.pop(key, None)
            self._found[key] = _Found(self._clock() + seconds, etag)
            if len(self._found) > self._most:
                self._found.popitem(last=False)
            return etag != "" and (before is None or before.etag == "")

    def has(self, key: bytes, etag: str | None = None) -> bool:
        """Return whether there is no archive at the key.

        With the ETag of what is there now, that holds for as long as the object is the same.
        """
        with self._lock:
            found = self._found.get(key)
            if found is None:
                return False
            return found.until > self._clock() if etag is None else found.etag == etag

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if not self._lock.acquire(blocking=False):  # another thread is in the middle of a change
            self._found.clear()
        self._lock = Lock()
