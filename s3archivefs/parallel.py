"""Work in other threads, such as decompression on all processors: the codecs release the GIL.

Who needs the result of work that no thread has begun does it: all threads may be busy with what
waits, directly or not, for that very result. An image within an image makes them so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from s3archivefs.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["Work", "Workers", "keep_spare", "map_parallel", "spare_workers", "start_work"]

T = TypeVar("T")
R = TypeVar("R")


class Work(Generic[R]):
    """Work that another thread may do. To do it twice must do no harm."""

    def __init__(self, do: Callable[[], R]) -> None:
        # A thread may come to it late, and must not keep until then what this refers to.
        self._do: Callable[[], R] | None = do
        self._process = os.getpid()
        self.future: Future[R] | None = None
        """What stands for the work in another thread."""

    def result(self) -> R:
        """Return what the work returns, or raise; do it here if no thread has begun. Ask once."""
        if (future := self._known) is not None and not future.cancel():
            return future.result()
        try:
            return self.do()
        finally:
            self._do = None

    def do(self) -> R:
        """Do the work."""
        assert self._do is not None  # noqa: S101 -- it is neither done here nor cancelled
        return self._do()

    def cancel(self) -> None:
        """Do not begin the work; what has begun goes on."""
        if (future := self._known) is not None and future.cancel():
            self._do = None

    @property
    def _known(self) -> Future[R] | None:
        """The future, unless this is a forked child: it has none of its parent's threads."""
        return self.future if self._process == os.getpid() else None


class Workers:
    """Up to `count` threads, started when there is work; a forked child starts its own."""

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        renew_after_fork(self, Workers._renew)

    def start(self, do: Callable[[], R]) -> Work[R]:
        """Start work in the caller's context, where a device may count its requests."""
        work = Work(do)
        with suppress(RuntimeError):  # no thread can start, as when the interpreter ends
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 -- 12 ms

                self._pool = ThreadPoolExecutor(self.count, self._name)
            work.future = self._pool.submit(copy_context().run, work.do)
        return work

    def hand_over(self, do: Callable[[], object]) -> bool:
        """Have a thread do work that nobody asks for.

        Returns False where no thread can start: the work is left to the caller.
        """
        claims = [do]

        def do_claimed() -> None:
            try:
                claimed = claims.pop()
            except IndexError:  # it was left to the caller, and yet stays in the pool's queue
                return
            claimed()

        if self.start(do_claimed).future is not None:
            return True
        try:
            claims.pop()
        except IndexError:  # a thread that was there has found it in the queue
            return True
        return False

    def end(self) -> None:
        """End the threads when they have done what was started."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._pool = None  # its threads do not exist in the child


_spare: list[Workers] = []
"""Threads for the next reader, which need not start up to 32 of its own."""


def spare_workers(count: int, name: str) -> Workers:
    """Return workers that nobody has, to be given back with `keep_spare`."""
    with suppress(IndexError):
        return _spare.pop()
    return Workers(count, name)


def keep_spare(workers: Workers) -> None:
    """Keep workers for the next that asks, or end them if others are kept."""
    if _spare:
        workers.end()
    else:
        _spare.append(workers)


_decoders = Workers(os.cpu_count() or 1, "s3archivefs-decode")


def map_parallel(decode: Callable[[T], R], run: list[T]) -> Iterator[R]:
    """Decode a run of blocks in parallel, one share per processor, in order.

    A share is handed over whole: handing over each block of 128 KiB by itself would cost half of
    what decoding it does. The caller's thread decodes the first share, block by block.
    """
    workers = os.cpu_count() or 1
    if len(run) == 1 or workers == 1:
        return map(decode, run)
    share = -(-len(run) // workers)
    return _map_shares(decode, [run[first : first + share] for first in range(0, len(run), share)])


def _map_shares(decode: Callable[[T], R], shares: list[list[T]]) -> Iterator[R]:
    others = [start_work(partial(_decoded, decode, share)) for share in shares[1:]]
    try:
        yield from map(decode, shares[0])
        for other in others:
            yield from other.result()
    finally:
        for other in others:
            other.cancel()


def _decoded(decode: Callable[[T], R], share: list[T]) -> list[R]:
    return [*map(decode, share)]


def start_work(do: Callable[[], R]) -> Work[R]:
    """Start work on another processor, if there is one."""
    return _decoders.start(do) if (os.cpu_count() or 1) > 1 else Work(do)
