"""What is done beside readers: the bytes that it may hold, and its threads."""

from __future__ import annotations

import threading

import pytest

from s3archivefs_lambda.cache.background import AHEAD_THREADS, Background


def may_start(background: Background, size: int) -> bool:
    """Whether there is room for so many bytes; takes none of it."""
    done = background.start(size, lambda: None)
    background.wait_idle()
    return done


# ---- Bytes ---------------------------------------------------------------------------------------


def test_no_more_is_held_than_may_be() -> None:
    background = Background(75)
    go_on, ended = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        assert go_on.wait(30)
        ended.release()

    assert background.start(50, work)
    assert background.start(25, work)
    assert not background.start(1, work)
    assert not background.reserve(1)
    go_on.set()
    assert ended.acquire(timeout=30)
    assert ended.acquire(timeout=30)


def test_what_fails_makes_room_too() -> None:
    background = Background(75)

    def fail() -> None:
        raise ValueError

    assert background.start(75, fail)
    background.wait_idle()
    for _ in range(3):
        assert may_start(background, 75)


def test_nothing_is_done_beside_readers_without_memory() -> None:
    assert not Background(0).start(1, lambda: None)
    assert not Background(0).start(0, lambda: None)


def test_a_reader_may_hold_two_thirds_of_what_others_leave() -> None:
    background = Background(90)
    assert background.reserve(60)
    assert background.allowance(0) == 20
    background.free(30)
    assert background.allowance(0) == 40
    assert background.reserve(30)
    assert background.allowance(30) == 40


def test_a_reader_alone_may_hold_four_fifths() -> None:
    background = Background(90)
    assert background.allowance(0) == 72
    assert background.reserve(60)
    assert background.allowance(60) == 72
    assert background.reserve(1)
    assert background.allowance(60) < 60


def test_many_readers_come_to_hold_equal_shares() -> None:
    background = Background(65_000)
    held = dict.fromkeys(range(32), 0)
    for _ in range(200):
        for reader in held:
            taken = held[reader] // 4  # what it has read
            background.free(taken)
            held[reader] -= taken
            more = max(0, background.allowance(held[reader]) - held[reader])
            assert background.reserve(more)
            held[reader] += more
    assert max(held.values()) < 1.5 * min(held.values())
    assert sum(held.values()) <= 65_000


# ---- Threads -------------------------------------------------------------------------------------


def test_as_much_as_there_are_threads_is_done_at_once() -> None:
    background = Background(1000)
    together = threading.Barrier(AHEAD_THREADS)
    broken = threading.Event()
    met = threading.Semaphore(0)

    def work() -> None:
        try:
            together.wait(30)
            met.release()
        except threading.BrokenBarrierError:
            broken.set()

    for _ in range(AHEAD_THREADS):
        assert not background.is_busy
        assert background.start(1, work)
    for _ in range(AHEAD_THREADS):
        assert met.acquire(timeout=30)
    assert not broken.is_set()


def test_what_is_refused_for_want_of_a_thread_is_not_done_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    background = Background(75)
    go_on, done = threading.Event(), []

    def wait() -> None:
        assert go_on.wait(30)

    def cannot_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert background.start(10, wait)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        assert not background.start(10, lambda: done.append("refused"))
    go_on.set()
    background.wait_idle()  # once all in its queue is done
    assert may_start(background, 75)
    assert done == []
