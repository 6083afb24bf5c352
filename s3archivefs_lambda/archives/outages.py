"""Which stores cannot be asked at the moment, so that one request at a time finds out when they can
again, and no other waits for it.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3archivefs import renew_after_fork
from s3archivefs_lambda.store.errors import ArchiveThrottledError, ArchiveUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Outages", "is_outage"]

_RETRY_SECONDS = 5.0
"""After a request that failed, until the next is made. It failed after all the client's retries."""


def is_outage(error: BaseException | None) -> bool:
    """Whether the error says nothing of the archive, only that its store cannot be asked."""
    return isinstance(error, (ArchiveUnavailableError, ArchiveThrottledError))


class Outages:
    """The stores, by their names, that do not answer. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asking: Counter[str] = Counter()  # requests under way, by store
        self._retry_at: dict[str, float] = {}  # of those that are out
        self._lock = threading.Lock()
        renew_after_fork(self, Outages._renew)

    def may_ask(self, store: str) -> bool:
        """Whether the store answers, as far as is known; or it is time to try, which the caller has
        to do if this returns True.
        """
        with self._lock:
            retry_at = self._retry_at.get(store)
            if retry_at is None:
                return True
            if self._asking[store] or self._clock() < retry_at:
                return False
            self._retry_at[store] = self._clock() + _RETRY_SECONDS
            return True

    @contextmanager
    def asking(self, store: str) -> Iterator[None]:
        """Have what is raised inside, or not, tell of the store."""
        with self._lock:
            self._asking[store] += 1
        try:
            yield
        except Exception as error:
            self._end(store, is_out=is_outage(error))
            raise
        except BaseException:  # interrupted, which tells nothing
            self._end(store, is_out=None)
            raise
        self._end(store, is_out=False)

    def found_silent(self, store: str) -> None:
        """Take the store to be out for as long as it is being asked."""
        with self._lock:
            if self._asking[store]:  # else it has answered meanwhile
                self._retry_at.setdefault(store, self._clock())

    def _end(self, store: str, *, is_out: bool | None) -> None:
        with self._lock:
            self._asking[store] -= 1
            if not self._asking[store]:
                del self._asking[store]
            if is_out:
                self._retry_at[store] = self._clock() + _RETRY_SECONDS
            elif is_out is False:
                self._retry_at.pop(store, None)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._asking.clear()
        self._lock = threading.Lock()
