"""Calls in parallel, until all are done, one fails, or a signal comes."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["run_parallel", "run_within"]

T = TypeVar("T")
R = TypeVar("R")

_END_SECONDS = 2
"""Seconds within which each thread must end after a failure."""
_LOOK_SECONDS = 1
"""Seconds between two looks for a signal."""


def run_parallel(
    do: Callable[[T, Event], R],
    items: Sequence[T],
    *,
    threads: int,
    end_seconds: float = _END_SECONDS,
) -> list[tuple[T, R]]:
    """Call `do(item, stop)` for each item; return items and results as they finish.

    Raises what a call raises, or the interruption of this thread. Then no further call begins, and
    those in flight find `stop` set. A call that goes on for `end_seconds` more is not waited for.
    """
    todo: SimpleQueue[T] = SimpleQueue()
    for item in items:
        todo.put(item)
    ended: SimpleQueue[tuple[T, R] | BaseException] = SimpleQueue()
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            try:
                item = todo.get_nowait()
            except Empty:
                return
            try:
                ended.put((item, do(item, stop)))
            except BaseException as error:  # noqa: BLE001 -- the calling thread raises it
                stop.set()
                ended.put(error)

    # Daemons: a request that waits for its answer cannot be ended, and the process must end all the
    # same.
    workers = [Thread(target=work, daemon=True) for _ in range(min(threads, len(items)))]
    done: list[tuple[T, R]] = []
    try:
        for worker in workers:
            worker.start()
        while len(done) < len(items):
            outcome = _next(ended)
            if isinstance(outcome, BaseException):
                raise outcome
            done.append(outcome)
    finally:
        stop.set()
        for worker in workers:
            if worker.is_alive():  # an interruption may come before a thread starts
                worker.join(end_seconds)
    return done


def run_within(seconds: float, do: Callable[[], object]) -> bool:
    """Call `do` in another thread, and return whether it returned within so many seconds.

    Raises what it raises, or the interruption of this thread. A call that goes on is left alone.
    """
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        error = None
        try:
            do()
        except BaseException as raised:  # noqa: BLE001 -- the calling thread raises it
            error = raised
        ended.put(error)

    Thread(target=work, daemon=True).start()
    try:
        error = ended.get(timeout=seconds)
    except Empty:
        return False
    if error is not None:
        raise error
    return True


def _next(ended: SimpleQueue[T]) -> T:
    """Return the next item, looking for signals each second.

    Python handles a signal that comes just before a wait begins only after that wait.
    """
    while True:
        with suppress(Empty):
            return ended.get(timeout=_LOOK_SECONDS)
