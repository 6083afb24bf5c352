"""Who is interrupted leaves a lock as it was, and others go on."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from s3archivefs import Lock, locks
from tests.support.processes.interrupted import interrupted_at


def is_free(lock: Lock) -> bool:
    """Whether another thread can take it."""
    with ThreadPoolExecutor(1) as pool:

        def take() -> bool:
            if is_taken := lock.acquire(blocking=False):
                lock.release()
            return is_taken

        return pool.submit(take).result()


def test_one_thread_holds_it_and_may_take_it_again() -> None:
    lock = Lock()
    assert is_free(lock)
    with lock:
        with lock:
            assert not is_free(lock)
        assert not is_free(lock)
    assert is_free(lock)


def test_an_error_within_leaves_it_free() -> None:
    lock = Lock()
    with pytest.raises(ZeroDivisionError), lock:
        1 / 0  # noqa: B018 -- what fails
    assert is_free(lock)


def test_a_condition_stands_on_it() -> None:
    lock = Lock()
    changed = threading.Condition(lock)
    done: list[int] = []

    def do() -> None:
        with lock:
            done.append(1)
            changed.notify_all()

    with ThreadPoolExecutor(1) as pool, lock, lock:
        pool.submit(do)
        assert changed.wait_for(lambda: done, 60)
        assert not is_free(lock)
    assert is_free(lock)


def test_an_interruption_at_any_call_leaves_it_as_it_was() -> None:
    lock = Lock()
    entered: list[int] = []

    def use() -> None:
        with lock:
            entered.append(1)

    for event in count(1):
        with lock:
            was_interrupted = interrupted_at(event, use, locks, sys.modules[__name__])
            assert not is_free(lock)
        assert is_free(lock)
        if not was_interrupted:
            break
    assert event > 2
