"""Threads for requests, and which request gets the next one.

Requests wait in the lane of their archive. Lanes take turns, as far as they may have another thread
(`ThreadShares`).
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict, deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.thread_shares import ThreadShares

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from s3archivefs_lambda.endpoint.messages import Lane

__all__ = ["MAX_WAITING", "Job", "RequestPool", "Waiting"]

_LOG = logging.getLogger("s3archivefs")

MAX_WAITING = 256
"""Requests that wait for a thread; one more is answered with SlowDown."""


class Job:
    """Work for a thread. `done` gets its result or exception, on the event loop."""

    __slots__ = ("done", "lane", "refused", "work")

    def __init__(
        self,
        lane: Lane,
        work: Callable[[], object],
        done: Callable[[object], None],
        refused: Callable[[], None] | None = None,
    ) -> None:
        self.lane = lane
        self.work = work
        self.done = done
        self.refused = refused
        """Called if too many wait. A job without it continues a request, and always waits."""


class RequestPool:
    """Runs jobs in threads. All else happens on the event loop, without locks."""

    def __init__(
        self, shares: ThreadShares | None = None, *, max_waiting: int = MAX_WAITING
    ) -> None:
        self._shares = shares or ThreadShares()
        self._max_waiting = max_waiting
        self._count = 0  # waiting jobs that may be refused
        self._local_first = False
        self._lanes: dict[bool, OrderedDict[Lane, Waiting]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._todo: SimpleQueue[Job | None] = SimpleQueue()
        self._ended: deque[tuple[Job, object]] = deque()
        self._delivery_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads: list[threading.Thread] = []

    # ---- On the event loop -----------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads; before the loop runs, in the thread that starts it."""
        self._loop = loop
        # Made here: after a fork, Python takes for ended what was made before.
        for number in range(self._shares.threads):
            thread = threading.Thread(target=self._work, name=f"s3archivefs-request-{number}")
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """End the threads, once nothing runs or waits; in any thread but theirs."""
        for thread in self._threads:
            if thread.is_alive():
                self._todo.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    @property
    def is_idle(self) -> bool:
        """Whether no job runs or waits."""
        return self._shares.are_idle and not (self._lanes[True] or self._lanes[False])

    @property
    def waiting(self) -> int:
        """How many requests wait that have not begun."""
        return self._count

    def submit(self, job: Job) -> None:
        """Run the job in a thread when it is its lane's turn.

        If too many wait, refuse the newest job in the longest lane of the busiest store.
        """
        lanes = self._lanes[job.lane.is_local]
        lane = lanes.get(job.lane)
        if lane is None:
            lane = lanes[job.lane] = Waiting()
        lane.add(job)
        self._count += job.refused is not None
        self._dispatch()
        if self._count > self._max_waiting:
            last = self._last_of_most()
            self.cancel(last)
            if last.refused is not None:
                last.refused()

    def _last_of_most(self) -> Job:
        every = [each for lanes in self._lanes.values() for each in lanes.items()]
        of_store: Counter[str] = Counter()
        for lane, waiting in every:
            of_store[lane.store] += len(waiting.requests)
        _, longest = max(every, key=lambda each: (of_store[each[0].store], len(each[1].requests)))
        return next(reversed(longest.requests))

    def cancel(self, job: Job) -> bool:
        """Take back a job; return False if a thread has it, or had."""
        lanes = self._lanes[job.lane.is_local]
        lane = lanes.get(job.lane)
        if lane is None or not lane.remove(job):
            return False
        self._count -= job.refused is not None
        if not lane:
            del lanes[job.lane]
        return True

    def _dispatch(self) -> None:
        while (job := self._next()) is not None:
            self._shares.take(job.lane)
            self._todo.put(job)

    def _next(self) -> Job | None:
        """Take the job whose turn it is, if it may run."""
        self._local_first = not self._local_first
        for is_local in (self._local_first, not self._local_first):
            lanes = self._lanes[is_local]
            for lane, waiting in lanes.items():
                if self._shares.may_run(lane):
                    job = waiting.pop()
                    self._count -= job.refused is not None
                    if waiting:
                        lanes.move_to_end(lane)
                    else:
                        del lanes[lane]
                    return job
        return None

    def _deliver(self) -> None:
        self._delivery_scheduled = False  # before the last look: what comes later needs another
        while self._ended:
            job, outcome = self._ended.popleft()
            self._shares.give_back(job.lane)
            try:
                job.done(outcome)
            except Exception:  # noqa: BLE001 -- the other jobs' outcomes are still to be told
                _LOG.exception("http: a fault in what follows a request")
            del job, outcome
        self._dispatch()

    # ---- In the threads --------------------------------------------------------------------------

    def _work(self) -> None:
        assert self._loop is not None  # noqa: S101 -- threads begin in start()
        while (job := self._todo.get()) is not None:
            try:
                outcome = job.work()
            except BaseException as error:  # noqa: BLE001 -- `done` is told
                outcome = error
            self._ended.append((job, outcome))
            del job, outcome  # which may be large, while this thread waits
            if not self._delivery_scheduled:
                self._delivery_scheduled = True
                self._loop.call_soon_threadsafe(self._deliver)


class Waiting:
    """The jobs of one lane.

    Those that continue a request and those that begin one take turns: neither shuts out the other.
    """

    __slots__ = ("_continues_next", "continuations", "requests")

    def __init__(self) -> None:
        self.continuations: OrderedDict[Job, None] = OrderedDict()
        self.requests: OrderedDict[Job, None] = OrderedDict()
        self._continues_next = False

    def __bool__(self) -> bool:
        return bool(self.continuations or self.requests)

    def add(self, job: Job) -> None:
        """Add a job to the end."""
        (self.continuations if job.refused is None else self.requests)[job] = None

    def remove(self, job: Job) -> bool:
        """Take out a job; return whether it was there."""
        found = job in self.continuations or job in self.requests
        self.continuations.pop(job, None)
        self.requests.pop(job, None)
        return found

    def pop(self) -> Job:
        """Take out the next job."""
        self._continues_next = not self._continues_next
        first, other = self.requests, self.continuations
        if self._continues_next:
            first, other = other, first
        return (first or other).popitem(last=False)[0]
