"""Work in lanes: in order in each, and held by no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from s3archivefs.mount.lanes import NO_LANE, Lanes


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What work waits for; it opens at the end of a test that fails."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_work_in_a_lane_is_done_in_order_and_takes_no_thread_while_it_waits(
    gate: threading.Event,
) -> None:
    lanes = Lanes(2, "test-lanes")
    done: list[int] = []
    beside, last = threading.Event(), threading.Event()
    lanes.start(0, 7, gate.wait)
    for number in range(10):
        lanes.start(0, 7, partial(done.append, number))
    lanes.start(0, 7, last.set)
    lanes.start(0, NO_LANE, beside.set)  # by the second of two threads
    assert beside.wait(60)
    assert done == []
    gate.set()
    assert last.wait(60)
    assert done == [*range(10)]


def test_an_archive_that_takes_all_its_threads_leaves_those_of_others(
    gate: threading.Event,
) -> None:
    lanes = Lanes(2, "test-lanes")
    for _ in range(5):
        lanes.start(0, NO_LANE, gate.wait)
    done = threading.Event()
    lanes.start(1, NO_LANE, done.set)
    assert done.wait(60)


def test_a_lane_goes_on_behind_work_that_fails() -> None:
    lanes = Lanes(1, "test-lanes")
    done = threading.Event()

    def fail() -> None:
        raise ValueError("as it must")

    lanes.start(0, 7, fail)
    lanes.start(0, 7, done.set)
    assert done.wait(60)


def refuse(_: threading.Thread) -> None:
    """Start no thread, as at a limit of processes."""
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("lane", [NO_LANE, 7])
def test_work_is_done_once_where_no_thread_can_start(
    lane: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", refuse)
    lanes = Lanes(2, "test-lanes")
    done: list[int] = []
    for number in range(3):
        lanes.start(0, lane, partial(done.append, number))
    assert done == [*range(3)]


def test_a_lane_is_emptied_and_done_once_by_the_only_thread_that_started(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = Lanes(2, "test-lanes")
    count = 2000  # more than calls may stand in each other
    done: list[int] = []
    last = threading.Event()
    lanes.start(0, 7, gate.wait)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for number in range(count):
        lanes.start(0, 7, partial(done.append, number))
    lanes.start(0, 7, last.set)
    gate.set()
    assert last.wait(60)
    assert done == [*range(count)]
