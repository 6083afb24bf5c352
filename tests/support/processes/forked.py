"""What a forked child makes of what it inherits."""

from __future__ import annotations

import os
import pickle
import select
import signal
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Child", "Gate", "amid", "in_child"]

T = TypeVar("T")

_WATCHDOG_SECONDS = 120
"""A last resort: a child that hangs does so for ever, one that does not needs milliseconds."""


class Child:
    """A forked child that does one piece of work."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._results, to_parent = os.pipe()
        with warnings.catch_warnings():
            # From 3.12 on Python warns of any fork where there are threads.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = os.fork()
        if not self._process:  # pragma: no cover -- a process of its own, which nothing measures
            try:
                answer = True, work()
            except BaseException:  # noqa: BLE001 -- told in the parent
                answer = False, traceback.format_exc()
            with os.fdopen(to_parent, "wb") as stream:
                pickle.dump(answer, stream)
            os._exit(0)
        os.close(to_parent)

    def result(self) -> object:
        """What the work returned.

        Raises AssertionError with the child's traceback where it failed, or where it hung.
        """
        try:
            ready, _, _ = select.select([self._results], [], [], _WATCHDOG_SECONDS)
            if not ready:
                os.kill(self._process, signal.SIGKILL)
                raise AssertionError("the child hangs")
            with os.fdopen(self._results, "rb", closefd=False) as stream:
                done, answer = pickle.load(stream)  # noqa: S301 -- our own child's
        finally:
            os.close(self._results)
            os.waitpid(self._process, 0)
        if not done:
            raise AssertionError(f"the child failed: {answer}")
        return answer


def in_child(work: Callable[[], T]) -> T:
    """What `work()` returns in a forked child."""
    return Child(work).result()  # type: ignore[return-value]  # what work returned


class Gate:
    """Holds the threads that come to it until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._opened = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self._opened.wait(60)

    def open(self) -> None:
        self._opened.set()

    def close(self) -> None:
        self._opened.clear()


@contextmanager
def amid(work: Callable[[Gate], object]) -> Iterator[None]:
    """While another thread is at the gate that its work leads to."""
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work, gate)
        try:
            assert gate.reached.wait(60)
            yield
        finally:
            gate.open()
            running.result()
