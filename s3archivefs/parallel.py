"""Decompression in parallel, on all processors: the codecs release the GIL."""

from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from s3archivefs.forks import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["map_parallel", "start_work"]

T = TypeVar("T")
R = TypeVar("R")


class _Workers:
    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        renew_after_fork(self, _Workers._renew)

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The pool, made on first use: most programs read small files."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 -- with logging, 12 ms

            workers = os.cpu_count() or 1
            self._pool = ThreadPoolExecutor(workers, thread_name_prefix="s3archivefs-decode")
        return self._pool

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._pool = None  # its threads do not exist in the child


_workers = _Workers()


def map_parallel(decode: Callable[[T], R], run: list[T]) -> Iterator[R]:
    """Decode a run of blocks in parallel, one share per processor, in order.

    A share is handed over whole: handing over each block of 128 KiB by itself would cost half of
    what decoding it does. The caller's thread decodes the first share, block by block.
    """
    workers = os.cpu_count() or 1
    if len(run) == 1 or workers == 1:
        return map(decode, run)
    share = -(-len(run) // workers)
    others = [run[first : first + share] for first in range(share, len(run), share)]
    decoded = _workers.pool.map(lambda part: [*map(decode, part)], others)
    return chain(map(decode, run[:share]), chain.from_iterable(decoded))


def start_work(work: Callable[[], R]) -> Future[R] | None:
    """Start work in another thread; return None on a single processor, which gains nothing.

    The work must not wait for other work that was started, here or by `map_parallel`.
    """
    return _workers.pool.submit(work) if (os.cpu_count() or 1) > 1 else None
