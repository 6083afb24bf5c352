"""Work in other threads: in order where it must be, each archive apart.

Each archive has threads of its own, so that one whose store does not answer holds no other. What
stands in a lane is done one at a time, in order, and takes no thread while it waits for its turn.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs.locks import Lock
from s3archivefs.parallel import Workers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_LANE", "Lanes"]

NO_LANE = 0
"""The lane of work that waits for no other."""


class Lanes:
    """Threads, up to `count` for each archive, started when there is work.

    Where none can start, as at a limit of processes, the caller's thread does the work.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._workers: dict[int, Workers] = {}
        self._lock = Lock()
        self._queues: dict[int, deque[Callable[[], object]]] = {}
        """What waits behind work that is being done, by lane.

        An idle lane has no queue.
        """

    def start(self, archive: int, lane: int, do: Callable[[], object]) -> None:
        """Have work done, behind what stands in its lane. One thread starts work."""
        workers = self._workers.get(archive)
        if workers is None:
            workers = self._workers[archive] = Workers(self._count, f"{self._name}-{archive}")
        if lane == NO_LANE:
            if not workers.hand_over(do):
                do()
            return
        with self._lock:
            queue = self._queues.get(lane)
            if queue is not None:
                queue.append(do)
                return
            self._queues[lane] = deque()
        if not workers.hand_over(partial(self._do, workers, lane, do)):
            self._do(workers, lane, do)

    def _do(self, workers: Workers, lane: int, do: Callable[[], object]) -> None:
        """Do work, and have done what waits behind it."""
        following: Callable[[], object] | None = do
        while following is not None:
            try:
                following()
            finally:
                following = self._following(lane)
                # Other lanes have their turn first.
                if following and workers.hand_over(partial(self._do, workers, lane, following)):
                    following = None

    def _following(self, lane: int) -> Callable[[], object] | None:
        """Return what waits next in a lane, which ends where nothing does."""
        with self._lock:
            queue = self._queues[lane]
            if queue:
                return queue.popleft()
            del self._queues[lane]
            return None
