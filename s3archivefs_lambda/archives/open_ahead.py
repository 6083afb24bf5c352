"""Threads that open archives ahead of their use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["OPEN_AHEAD_THREADS", "OpenAhead"]

T = TypeVar("T")

OPEN_AHEAD_THREADS = 16
"""Threads in a process, however many requests there are.

With 20 ms for a request to S3 they open 800 archives a second, more than one CPU can.
"""


class OpenAhead:
    """The threads, started on demand. Thread-safe."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        renew_after_fork(self, OpenAhead._renew)

    def begin(self, call: Callable[[], T]) -> Callable[[], T]:
        """Queue `call` for a thread; return a function that waits for its result.

        That function makes the call itself if no thread has begun it, rather than wait for calls of
        other requests.
        """
        try:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(OPEN_AHEAD_THREADS, "s3archivefs-open")
            begun = self._pool.submit(call)
        except RuntimeError:  # no thread can start: there are too many, or the process ends
            return call
        return lambda: _finish(begun, call)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._pool = None


def _finish(begun: Future[T], call: Callable[[], T]) -> T:
    return call() if begun.cancel() else begun.result()
