"""The threads that work beside readers, and the bytes that this work may hold."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda import accounting
from s3archivefs_lambda.cache.store_quota import StoreQuota

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AHEAD_THREADS", "Background"]

AHEAD_THREADS = 12
"""Threads, each with one request ahead of a reader; s3transfer has 10, object_store 10."""


class Background:
    """A pool of threads for work that may hold `max_bytes` in all. Thread-safe."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self.held = 0
        """Bytes that are held at the moment."""
        self.store_quota = StoreQuota(clock)
        """How much of files read in sequence may be stored."""
        self._pool: ThreadPoolExecutor | None = None
        self._running = 0  # calls
        self._submitted = 0  # calls that have not ended
        # Reentrant: a garbage collection amid a change may close a reader, which frees bytes.
        self._lock = Lock()
        self._ended = threading.Condition(self._lock)
        renew_after_fork(self, Background._renew)

    # ---- Bytes -----------------------------------------------------------------------------------

    def allowance(self, own: int) -> int:
        """Return how many bytes a reader that holds `own` may hold in all.

        That is two thirds of what others leave free: newcomers get some, and active readers
        converge to equal shares. A reader that is alone may hold four fifths of all.
        """
        left = self._max_bytes - self.held + own
        return left * 4 // 5 if left == self._max_bytes else left * 2 // 3

    def reserve(self, size: int) -> bool:
        """Reserve `size` bytes; return False if there is no room."""
        with self._lock:
            if self.held + size > self._max_bytes:
                return False
            self.held += size
            return True

    def free(self, size: int) -> None:
        """Give back reserved bytes."""
        with self._lock:
            self.held -= size

    # ---- Threads ---------------------------------------------------------------------------------

    def start(self, size: int, function: Callable[..., object], *arguments: Any) -> bool:  # noqa: ANN401 -- the function's
        """Call `function` in another thread, with `size` bytes reserved until it returns.

        It must not raise. Return False if it will not be called: there is no memory at all, no room
        for the bytes, or no thread to be had.
        """
        if not self._max_bytes or not self.reserve(size):
            return False

        def run() -> None:
            try:
                function(*arguments)
            finally:
                self.free(size)

        if self.submit(run):
            return True
        self.free(size)
        return False

    def submit(self, function: Callable[..., object], *arguments: Any) -> bool:  # noqa: ANN401 -- likewise
        """Call `function` as `start` does, without reserving bytes."""
        begun: Future[None] = Future()

        def run() -> None:
            if not begun.set_running_or_notify_cancel():
                return
            with self._lock:
                self._running += 1
            try:
                function(*arguments)
            finally:
                with self._lock:
                    self._running -= 1
                    self._end()

        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AHEAD_THREADS, "s3archivefs-ahead")
            pool = self._pool
            self._submitted += 1
        try:
            pool.submit(accounting.with_current_request(run))
        except RuntimeError:  # no thread can be had: there are too many, or the process ends
            if begun.cancel():  # else a thread that was there has found it in the queue
                with self._lock:
                    self._end()
                return False
        return True

    def _end(self) -> None:
        self._submitted -= 1
        if not self._submitted:
            self._ended.notify_all()

    def wait_idle(self) -> None:
        """Wait until background work has ended."""
        with self._lock:
            self._ended.wait_for(lambda: not self._submitted)

    @property
    def is_busy(self) -> bool:
        """Whether all threads have work, so that new work may wait for long."""
        return self._running >= AHEAD_THREADS

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self.held = self._running = self._submitted = 0
        self._pool = None
        self._lock = Lock()
        self._ended = threading.Condition(self._lock)
