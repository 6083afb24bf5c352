"""Threads that get archives ready for requests that will come to them soon."""

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
"""In the whole process, however many requests there are. At 20 ms a request to S3 they open 800
archives a second, which is more than a processor does.
"""


class OpenAhead:
    """The threads, started as they are needed. Thread-safe."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        renew_after_fork(self, OpenAhead._renew)

    def begin(self, call: Callable[[], T]) -> Callable[[], T]:
        """Have `call` made; returns what waits for its result, and makes it itself where none of
        the threads has come to it yet: who waits must not wait for what others have begun.
        """
        try:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(OPEN_AHEAD_THREADS, "s3archivefs-open")
            begun = self._pool.submit(call)
        except RuntimeError:  # no thread can be had: there are too many, or the process ends
            return call
        return lambda: _finish(begun, call)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._pool = None


def _finish(begun: Future[T], call: Callable[[], T]) -> T:
    return call() if begun.cancel() else begun.result()
