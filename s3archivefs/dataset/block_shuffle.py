"""`BlockShuffle`: batches in an order that is random, and yet reads each block once."""

from __future__ import annotations

from array import array
from collections import deque
from random import Random
from typing import TYPE_CHECKING, Any

from s3archivefs.dataset.archive_dataset import ArchiveDataset
from s3archivefs.dataset.batch import Batch
from s3archivefs.dataset.disk_order import runs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BlockShuffle"]

_RUN_BYTES = 2 << 20
_WINDOW_BYTES = 64 << 20


class BlockShuffle:
    """A shuffle of a dataset in batches, for `DataLoader(dataset, batch_sampler=...)`.

    Files that lie next to each other in the image share blocks, which are fetched and decoded as a
    whole. So members that lie together, until they have `run_bytes` of content, are a run, which is
    read with one request. Runs come in random order, and fill a pool of `window_bytes` of content,
    from which each batch is drawn at random. A larger pool is a better shuffle, and takes as much
    memory in each worker. Shorter runs are one too, and more requests.

    An epoch has each member once. Its order depends on `seed` and epoch alone, see `set_epoch`.
    It is divided among `world_size` processes, of which this is number `rank`, and within each
    among the `workers` of its DataLoader, its `num_workers`: those take batches in turn, and each
    has runs and a pool of its own. All processes must be given the same arguments but `rank`. They
    have as many members each, but for one a worker. With `drop_last` they have as many batches,
    and none is short: a few members are left out of each epoch.

    Raises ValueError where a number is out of its range, and TypeError for another dataset, be it
    made of an ArchiveDataset. A DataLoader with another number of workers raises ValueError.
    """

    def __init__(
        self,
        dataset: ArchiveDataset[Any],
        batch_size: int,
        *,
        run_bytes: int = _RUN_BYTES,
        window_bytes: int = _WINDOW_BYTES,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        workers: int = 1,
        drop_last: bool = False,
    ) -> None:
        if not isinstance(dataset, ArchiveDataset):
            raise TypeError(f"a BlockShuffle is of an ArchiveDataset, not {type(dataset).__name__}")
        workers = max(workers, 1)  # num_workers=0: the process itself
        if min(batch_size, run_bytes, window_bytes, world_size) < 1:
            names = "batch_size, run_bytes, window_bytes and world_size"
            raise ValueError(f"{names} must be at least 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank}: it must be one of 0 to {world_size - 1}")
        # The dataset's own may be mapped from a file, which no pickle takes along.
        self._sizes = array("Q", memoryview(dataset.members.sizes).tobytes())
        self._order, self._ends = runs_of(dataset.members, run_bytes)
        self.batch_size = batch_size
        """Members of a batch; the last ones may have fewer."""
        self.drop_last = drop_last
        """Whether batches with fewer are left out."""
        self._run_bytes = run_bytes
        self._window_bytes = window_bytes
        self._seed = seed
        self._shares = range(rank * workers, (rank + 1) * workers)
        self._share_count = world_size * workers
        self._epoch = self._done = 0

    def set_epoch(self, epoch: int, done: int = 0) -> None:
        """Choose the epoch whose order the next iteration has: call it before each one.

        The first `done` batches of it are left out, to go on with an epoch that was interrupted;
        nothing is read for them. Raises ValueError if it is negative.
        """
        if done < 0:
            raise ValueError(f"done is {done}: it must be at least 0")
        self._epoch, self._done = epoch, done

    def __len__(self) -> int:
        """Return the number of batches, without those left out."""
        count = sum(-(-len(self._bounds(share)) // self.batch_size) for share in self._shares)
        return max(0, count - self._done)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch, lists of indices; those of each worker in turn."""
        name = f"{self._seed} {self._epoch}"
        runs = array("Q", range(len(self._ends)))
        Random(name).shuffle(runs)  # noqa: S311 -- an order, not a secret
        turns: deque[tuple[Iterator[Batch], set[int] | None]] = deque(
            (self._batches(runs, self._bounds(share), Random(f"{name} {share}")), set())  # noqa: S311 -- likewise
            for share in self._shares
        )
        left_out = self._done
        while turns:
            # What batches that are left out would have read ahead, and was not drawn since; None
            # once the worker has begun.
            batches, owed = turns.popleft()
            batch = next(batches, None)
            if batch is None:
                continue
            if left_out and owed is not None:
                left_out -= 1
                owed.update(batch.ahead)
                owed.difference_update(batch)
            else:
                yield batch if owed is None else batch.begun_with(owed)
                owed = None
            turns.append((batches, owed))

    def _bounds(self, share: int) -> range:
        """Return which members a share has, counted in the order of an epoch's runs."""
        count = len(self._order)
        start, end = (count * each // self._share_count for each in (share, share + 1))
        if self.drop_last:
            most = count // self._share_count
            end = start + most - most % self.batch_size
        return range(start, end)

    def _batches(self, runs: array[int], bounds: range, random: Random) -> Iterator[Batch]:
        """Yield the batches of a share, drawn from a pool of runs."""
        parts = self._parts(runs, bounds)
        pool: list[int] = []
        weight = 0
        while True:
            ahead = array("I")
            while weight < self._window_bytes or len(pool) < self.batch_size:
                part = next(parts, None)
                if part is None:
                    break
                pool += part
                weight += sum(map(self._sizes.__getitem__, part))
                ahead.extend(each for each in part if self._sizes[each] < self._run_bytes)
            if not pool:
                return
            drawn = [_drawn(pool, random) for _ in range(min(self.batch_size, len(pool)))]
            weight -= sum(map(self._sizes.__getitem__, drawn))
            yield Batch(drawn, ahead, left=len(pool), workers=len(self._shares))

    def _parts(self, runs: array[int], bounds: range) -> Iterator[array[int]]:
        """Yield what lies within bounds of each run, in an epoch's order of runs."""
        at = 0
        for run in runs:
            first, end = self._ends[run - 1] if run else 0, self._ends[run]
            start = first + max(bounds.start - at, 0)
            stop = min(end, first + bounds.stop - at)
            at += end - first
            if start < stop:
                yield self._order[start:stop]


def _drawn(pool: list[int], random: Random) -> int:
    """Take a member out of a pool."""
    at = random.randrange(len(pool))
    pool[at], pool[-1] = pool[-1], pool[at]
    return pool.pop()
