"""Which lane may have another thread, so that slow ones keep only their share busy.

Archives share the threads of their store. Stores share all threads, and those on other machines
leave some to local files. The last threads of a share are for those that have none of it: however
many are slow, another one goes on.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.messages import Lane

__all__ = ["KEPT_THREADS", "LOCAL_THREADS", "STORE_THREADS", "THREADS", "ThreadShares"]

THREADS = 32
"""Requests that run in parallel; mostly they wait, for S3 or a disk."""
LOCAL_THREADS = THREADS // 4
"""Threads that never wait for another machine."""
STORE_THREADS = THREADS // 2
"""Threads of one store at most."""
KEPT_THREADS = THREADS // 8
"""The last threads of a share, kept for archives or stores that have none."""


class ThreadShares:
    """Counts the threads that are taken, by lane."""

    def __init__(
        self,
        threads: int = THREADS,
        *,
        local: int = LOCAL_THREADS,
        store: int = STORE_THREADS,
        kept: int = KEPT_THREADS,
    ) -> None:
        self.threads = threads
        self._all = _Share(threads, kept)
        self._remote = _Share(threads - local, kept)
        self._stores: dict[str, _Share] = {}  # those that have threads
        self._store_size = store
        self._kept = kept

    @property
    def are_idle(self) -> bool:
        """Whether no thread is taken."""
        return not self._stores

    def may_run(self, lane: Lane) -> bool:
        """Return whether the lane may have another thread."""
        store = self._stores.get(lane.store)
        return (
            self._all.has_place(lane.store)
            and (lane.is_local or self._remote.has_place(lane.store))
            and (store is None or store.has_place(lane.name))
        )

    def take(self, lane: Lane) -> None:
        """Note that the lane has one more thread."""
        if lane.store not in self._stores:
            self._stores[lane.store] = _Share(self._store_size, self._kept)
        self._stores[lane.store].take(lane.name)
        self._all.take(lane.store)
        if not lane.is_local:
            self._remote.take(lane.store)

    def give_back(self, lane: Lane) -> None:
        """Note that the lane has one thread less."""
        store = self._stores[lane.store]
        store.give_back(lane.name)
        if store.is_whole:
            del self._stores[lane.store]
        self._all.give_back(lane.store)
        if not lane.is_local:
            self._remote.give_back(lane.store)


class _Share:
    """Threads that several share, each known by its name."""

    def __init__(self, size: int, kept: int) -> None:
        self._left = size
        self._kept = kept
        self._taken: Counter[str] = Counter()

    @property
    def is_whole(self) -> bool:
        return not self._taken

    def has_place(self, name: str) -> bool:
        return self._left > (self._kept if name in self._taken else 0)

    def take(self, name: str) -> None:
        self._left -= 1
        self._taken[name] += 1

    def give_back(self, name: str) -> None:
        self._left += 1
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]
