"""Doing things of one kind in a few threads, until all are done, one fails, or a signal comes."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["run_parallel"]

T = TypeVar("T")
R = TypeVar("R")

_END_SECONDS = 2
_LOOK_SECONDS = 1


def run_parallel(
    do: Callable[[T, Event], R], things: Sequence[T], *, threads: int
) -> list[tuple[T, R]]:
    """What `do(thing, stop)` returns for each of the things, in the order in which they are done.

    Where one raises, or this thread is interrupted, that is raised here; no other is begun then,
    and those under way find `stop` set. Who does not heed it within two seconds is not waited for.
    """
    todo: SimpleQueue[T] = SimpleQueue()
    for thing in things:
        todo.put(thing)
    ended: SimpleQueue[tuple[T, R] | BaseException] = SimpleQueue()
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            try:
                thing = todo.get_nowait()
            except Empty:
                return
            try:
                ended.put((thing, do(thing, stop)))
            except BaseException as error:  # noqa: BLE001 -- raised again by who waits for it
                stop.set()
                ended.put(error)

    # Daemons: a request that waits for an answer cannot be ended, and must not hold up the end of
    # the process.
    workers = [Thread(target=work, daemon=True) for _ in range(min(threads, len(things)))]
    done: list[tuple[T, R]] = []
    try:
        for worker in workers:
            worker.start()
        while len(done) < len(things):
            outcome = _next(ended)
            if isinstance(outcome, BaseException):
                raise outcome
            done.append(outcome)
    finally:
        stop.set()
        for worker in workers:
            if worker.is_alive():  # an interruption may come before it was started
                worker.join(_END_SECONDS)
    return done


def _next(ended: SimpleQueue[T]) -> T:
    """Wait for the next one, a second at a time: a signal that comes just before a wait begins is
    seen only when it is over.
    """
    while True:
        with suppress(Empty):
            return ended.get(timeout=_LOOK_SECONDS)
