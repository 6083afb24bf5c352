"""One call for all threads that want its result at the same time."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from s3archivefs_lambda.cache.single_flight import SingleFlight


def test_who_joins_a_call_under_way_gets_its_result() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    mine, is_mine = flights.join("a")
    other, is_others = flights.join("a")
    assert (is_mine, is_others) == (True, False)
    assert other is mine
    flights.fly("a", mine, lambda: 1)
    assert other.result() == 1


def test_keys_are_told_apart() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    assert flights.join("a")[1]
    assert flights.join("b")[1]


def test_who_comes_when_a_call_has_ended_begins_another() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    first, _ = flights.join("a")
    flights.fly("a", first, lambda: 1)
    second, is_mine = flights.join("a")
    assert is_mine
    assert second is not first


def test_an_exception_is_that_of_all_who_wait_and_another_call_may_begin() -> None:
    flights: SingleFlight[str, int] = SingleFlight()
    flight, _ = flights.join("a")
    flights.fly("a", flight, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        flight.result()
    assert flights.join("a")[1]


def test_where_the_thread_is_interrupted_those_who_wait_may_try_themselves() -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    flights: SingleFlight[str, int] = SingleFlight()
    flight, _ = flights.join("a")
    with pytest.raises(KeyboardInterrupt):
        flights.fly("a", flight, interrupted)
    with pytest.raises(CancelledError):
        flight.result()
    assert flights.join("a")[1]


def test_another_may_begin_before_those_who_waited_have_the_result() -> None:
    """Whoever gets a result and asks once more must not be given the same call again."""
    flights: SingleFlight[str, int] = SingleFlight()
    flight, _ = flights.join("a")
    begun: list[bool] = []
    flight.add_done_callback(lambda _: begun.append(flights.join("a")[1]))
    flights.fly("a", flight, lambda: 1)
    assert begun == [True]
