"""Worker processes: one listening socket, a process for each processor, a parent that watches them.

Python runs one thread at a time, so one process serves with one processor. Workers are forked from
a parent that has no threads; it only starts, replaces and stops them. All accept from one socket:
so a connection that waits is lost with no worker, and goes to one that has few (`AcceptShares`).
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NoWorkerStartsError", "available_processors", "is_orphan", "run_workers"]

_LOG = logging.getLogger("s3archivefs")

_SETTLED_SECONDS = 10.0
"""Seconds after which a worker that ends has not failed to start."""
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 30.0
"""Seconds until a worker is replaced; doubled each time that one fails to start."""
_MOST_FAILURES = 9
"""Failures to start in a row, of each worker, until all is given up.

They take half a minute.
"""
_LONG = 3600.0  # seconds to sleep where nothing is due
_TOLD = frozenset({signal.SIGTERM, signal.SIGINT})

_parent: int | None = None  # in a worker, the process that watches it


def available_processors(limits: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many processors this process may keep busy, by its affinity and its cgroup."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # pragma: no cover -- not on Linux
        processors = os.cpu_count() or 1
    with suppress(OSError, ValueError):  # "max 100000", or microseconds of so many
        quota, period = map(int, limits.read_text().split())
        processors = min(processors, math.ceil(quota / period))
    return max(1, processors)


def is_orphan() -> bool:
    """Return whether this is a worker whose parent has ended."""
    return _parent is not None and os.getppid() != _parent


class NoWorkerStartsError(Exception):
    """Workers end as soon as they begin, however often."""


class _Worker(NamedTuple):
    place: int
    began: float


class _Workers:
    """The workers that run, and when others are to begin, by their places."""

    def __init__(self, count: int, first_delay: float) -> None:
        self._first_delay = first_delay
        self.running: dict[int, _Worker] = {}  # by process
        self._due = dict.fromkeys(range(count), 0.0)
        self._failures = [0] * count  # in a row

    def start_due(self) -> int | None:
        """Fork the workers that are due; return in each of them its place."""
        for place in [place for place, due in self._due.items() if due <= time.monotonic()]:
            try:
                process = os.fork()
            except OSError as error:  # too many processes, or too little memory, for now
                delay = self._begin_later(place)
                _LOG.error("cannot start a worker: %s; tried again in %.1f s", error, delay)
                continue
            if process == 0:
                return place
            del self._due[place]
            self.running[process] = _Worker(place, time.monotonic())
        return None

    @property
    def wait_seconds(self) -> float:
        """Seconds until one is due."""
        if not self._due:
            return _LONG
        return max(0.0, min(self._due.values()) - time.monotonic())

    def note_ended(self, ended: Callable[[int], object], *, is_stopping: bool) -> None:
        """Note workers that have ended; unless all stop, others are to take their places.

        `ended` is told the place of each.
        """
        for process, (place, began) in list(self.running.items()):
            found, status = os.waitpid(process, os.WNOHANG)
            if not found:
                continue
            del self.running[process]
            ended(place)
            if is_stopping:
                continue
            if time.monotonic() - began >= _SETTLED_SECONDS:
                self._failures[place] = 0
            delay = self._begin_later(place)
            how = _how(os.waitstatus_to_exitcode(status))
            _LOG.error("worker %d %s; another follows in %.1f s", process, how, delay)

    def _begin_later(self, place: int) -> float:
        """Have a worker begin after some seconds, and the next one later; return them."""
        delay = min(self._first_delay * 2.0 ** self._failures[place], _LONGEST_DELAY)
        self._failures[place] += 1
        self._due[place] = time.monotonic() + delay
        return delay

    @property
    def have_failed(self) -> bool:
        """Whether none runs, and each has failed to start again and again."""
        return not self.running and min(self._failures) >= _MOST_FAILURES

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to each."""
        for process in self.running:
            os.kill(process, number)  # until it is waited for, its number is its own


def run_workers(
    count: int,
    *,
    begun: Callable[[], object],
    ended: Callable[[int], object],
    stop: Callable[[], object],
    on_hangup: Callable[[], bool] | None,
    stop_seconds: float,
    first_delay: float = _FIRST_DELAY,
) -> int | None:
    """Keep `count` workers running until SIGTERM or SIGINT; return in each its place.

    Places count from 0, and a worker has that of the one that it replaces. Signals are blocked
    there: one that comes early is to find a server that can answer what has been received.

    The parent calls `begun` once they run, and `ended` with the place of each that has ended. When
    it is told to end, it calls `stop`, passes SIGTERM on, and returns None when all have ended, for
    which they have `stop_seconds`. A second signal kills all at once. At SIGHUP it calls
    `on_hangup`, for workers to come, and passes it on if that returns True; without one, SIGHUP
    ends the parent, and so the workers. Raises NoWorkerStartsError, in the parent, when all have
    failed to start again and again.
    """
    watched = {*_TOLD, signal.SIGCHLD, *([] if on_hangup is None else [signal.SIGHUP])}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it tells nobody how workers end
    parent, workers = os.getpid(), _Workers(count, first_delay)
    if (place := workers.start_due()) is not None:
        return _become_worker(parent, place)
    begun()
    stop_by = math.inf
    while workers.running or stop_by == math.inf:
        left = workers.wait_seconds if stop_by == math.inf else stop_by - time.monotonic()
        told = signal.sigtimedwait(watched, max(0.0, left))
        number = None if told is None else signal.Signals(told.si_signo)
        if number == signal.SIGHUP and on_hangup is not None:
            if on_hangup():
                workers.tell(number)
        elif number in _TOLD and stop_by == math.inf:
            stop()
            stop_by = time.monotonic() + stop_seconds
            workers.tell(signal.SIGTERM)
        elif number in _TOLD or time.monotonic() >= stop_by:
            workers.tell(signal.SIGKILL)
            stop_by = time.monotonic() + _LONG  # SIGCHLD tells when they have ended
            if number in _TOLD and number is not None:
                signal.signal(number, signal.SIG_DFL)
                os.kill(parent, number)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        workers.note_ended(ended, is_stopping=stop_by < math.inf)
        if stop_by == math.inf and workers.have_failed:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise NoWorkerStartsError(
                f"no worker starts: each ended {_MOST_FAILURES} times in a row; see the lines above"
            )
        if stop_by == math.inf and (place := workers.start_due()) is not None:
            return _become_worker(parent, place)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return None


def _become_worker(parent: int, place: int) -> int:
    global _parent  # noqa: PLW0603 -- as a process has one
    _parent = parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all, and the parent passes it on
    return place


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:  # most of the real-time signals
        return f"was killed by signal {-code}"
