from __future__ import annotations

import signal
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs_lambda.upload import threads as work_threads
from s3archivefs_lambda.upload.threads import run_parallel, run_within

if TYPE_CHECKING:
    from threading import Event


def test_each_thing_is_done_once() -> None:
    done = run_parallel(lambda thing, _: thing * 2, range(100), threads=4)
    assert sorted(done) == [(thing, thing * 2) for thing in range(100)]


def test_nothing_takes_no_thread() -> None:
    assert run_parallel(lambda thing, _: thing, [], threads=4) == []


def test_as_many_as_there_are_threads_are_done_at_once() -> None:
    together = threading.Barrier(4)
    run_parallel(lambda _, __: together.wait(30), range(8), threads=4)


def test_a_fault_is_raised_and_stops_the_others() -> None:
    begun: list[int] = []
    stopped = threading.Event()

    def do(thing: int, stop: Event) -> None:
        begun.append(thing)
        if thing:
            raise ValueError(thing)
        assert stop.wait(30)
        stopped.set()

    with pytest.raises(ValueError, match="1"):
        run_parallel(do, range(100), threads=2)
    assert stopped.wait(30)
    assert set(begun) == {0, 1}


def test_a_thread_that_ignores_the_end_is_not_waited_for() -> None:
    go_on = threading.Event()

    def do(thing: int, _: Event) -> None:
        if thing:
            raise ValueError(thing)
        assert go_on.wait(30)

    with pytest.raises(ValueError, match="1"):
        run_parallel(do, range(2), threads=2, end_seconds=0)
    go_on.set()


def test_a_signal_that_does_not_interrupt_the_wait_is_seen_within_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one that comes just before the wait, or that another thread takes."""
    waiting, go_on = threading.Event(), threading.Event()

    class Noticed(SimpleQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, FBT001, FBT002 -- as in the base
            waiting.set()
            return super().get(block, timeout)

    def take() -> None:
        assert waiting.wait(30)
        threading.Event().wait(0.1)  # else it may be seen before the wait begins
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    monkeypatch.setattr(work_threads, "SimpleQueue", Noticed)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 -- the signal may come to the first, too
        threading.Thread(target=take).start()
        run_parallel(lambda _, __: go_on.wait(30), [0], threads=1, end_seconds=0)
    go_on.set()


def test_a_call_is_waited_for_so_long() -> None:
    go_on = threading.Event()
    assert not run_within(0, lambda: go_on.wait(30))
    go_on.set()
    assert run_within(30, lambda: go_on.wait(30))


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        run_within(30, fail)
