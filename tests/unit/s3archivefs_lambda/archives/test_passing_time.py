"""The clock of archives: it goes on while the process stands still."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.archives.passing_time import PassingTime

SECONDS = st.floats(0, 1e6)


class Clocks:
    """A machine's two clocks."""

    def __init__(self) -> None:
        self.running = 5.0
        self.of_day = 1.8e9
        self.passing = PassingTime(lambda: self.running, lambda: self.of_day)

    def run(self, seconds: float) -> None:
        self.running += seconds
        self.of_day += seconds

    def freeze(self, seconds: float) -> None:
        self.of_day += seconds


@given(steps=st.lists(st.tuples(st.booleans(), SECONDS)))
def test_time_passes_while_the_process_runs_and_while_it_is_frozen(
    steps: list[tuple[bool, float]],
) -> None:
    clocks = Clocks()
    began = clocks.passing()
    for is_frozen, seconds in steps:
        (clocks.freeze if is_frozen else clocks.run)(seconds)
    passed = sum(seconds for _, seconds in steps)
    assert abs(clocks.passing() - began - passed) < 1e-3


@given(sets=st.lists(st.tuples(st.floats(-1e6, 1e6), SECONDS), max_size=8))
def test_a_clock_that_is_set_back_holds_up_nothing(sets: list[tuple[float, float]]) -> None:
    clocks = Clocks()
    before = clocks.passing()
    for change, seconds in sets:
        clocks.of_day += change
        clocks.run(seconds)
        now = clocks.passing()
        assert now - before > seconds - 1e-3
        before = now


def test_many_short_freezes_add_up() -> None:
    clocks = Clocks()
    began = clocks.passing()
    for _ in range(100):
        clocks.run(0.05)
        clocks.freeze(0.95)
        clocks.passing()
    assert abs(clocks.passing() - began - 100) < 1e-3


def test_a_thread_that_looked_before_a_freeze_does_not_turn_the_time_back() -> None:
    clocks = Clocks()
    looked, goes_on = threading.Event(), threading.Event()

    def of_day() -> float:
        seen = clocks.of_day
        if threading.current_thread().name == "slow":
            looked.set()
            goes_on.wait()
        return seen

    passing = PassingTime(lambda: clocks.running, of_day)
    slow = threading.Thread(target=passing, name="slow")
    slow.start()
    looked.wait()
    clocks.freeze(3600)
    frozen_until = passing()
    goes_on.set()
    slow.join()
    clocks.freeze(-3600)
    assert passing() >= frozen_until
