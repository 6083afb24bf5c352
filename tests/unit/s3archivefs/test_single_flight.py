from __future__ import annotations

import errno
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest

from s3archivefs import SingleFlight, locks, single_flight
from tests.support.processes.forked import Gate, amid, in_child
from tests.support.processes.interrupted import interrupted_at
from tests.support.processes.joined import wait_for_joined

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import Flight

Flights = SingleFlight[str, int]


# ---- One value -----------------------------------------------------------------------------------


def same(one: BaseException | None, other: BaseException | None) -> bool:
    return (type(one), str(one)) == (type(other), str(other))


def outcomes_of_waiting(first: BaseException | int) -> list[Future[int]]:
    """What two threads get that wait for a load; each would load 7 itself."""
    flights = Flights()
    others: list[Future[int]] = []
    with ThreadPoolExecutor(2) as pool:

        def load() -> int:
            others.extend(pool.submit(flights.do, "a", lambda: 7) for _ in range(2))
            wait_for_joined(flights, "a", 2)
            if isinstance(first, int):
                return first
            raise first

        if isinstance(first, int):
            assert flights.do("a", load) == first
        else:
            with pytest.raises(type(first)) as raised:
                flights.do("a", load)
            assert same(raised.value, first)
    assert len(flights) == 0
    return others


def test_a_caller_that_joins_a_load_gets_its_value() -> None:
    assert [other.result() for other in outcomes_of_waiting(1)] == [1, 1]


def test_an_exception_is_that_of_all_who_wait() -> None:
    error = OSError(errno.EIO, "no", "file")
    assert all(same(other.exception(), error) for other in outcomes_of_waiting(error))


def test_the_exception_is_each_ones_own() -> None:
    error = ZeroDivisionError("by", 0)
    error.__cause__ = OSError("no")
    error.add_note("known")
    first, other = (each.exception() for each in outcomes_of_waiting(error))
    assert first is not None
    assert other is not None
    first.add_note("first's")
    assert (first.args, first.__cause__) == (error.args, error.__cause__)
    assert (error.__notes__, other.__notes__) == (["known"], ["known"])
    assert [*traceback.walk_tb(first.__traceback__)][-1][0].f_code.co_name == "load"


class TwoPartsError(Exception):
    """One that only its own class can make anew."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


class MarkedError(Exception):
    """One whose copy says something else."""

    def __init__(self, what: str) -> None:
        super().__init__(f"<{what}>")


@pytest.mark.parametrize("error", [TwoPartsError("a", "b"), MarkedError("a")])
def test_an_exception_that_has_no_copy_is_raised_as_it_is(error: Exception) -> None:
    assert [each.exception() for each in outcomes_of_waiting(error)] == [error, error]


def test_where_the_thread_is_interrupted_those_who_wait_try_again() -> None:
    assert [other.result() for other in outcomes_of_waiting(KeyboardInterrupt())] == [7, 7]


def test_keys_are_told_apart() -> None:
    flights = Flights()
    assert flights.do("a", lambda: flights.do("b", lambda: 2) + 1) == 3


def test_a_caller_after_a_load_has_ended_begins_another() -> None:
    flights = Flights()
    assert [flights.do("a", lambda value=value: value) for value in (1, 2)] == [1, 2]  # type: ignore[misc]  # the lambda's default binds the value
    with pytest.raises(ZeroDivisionError):
        flights.do("a", lambda: 1 // 0)
    assert flights.do("a", lambda: 3) == 3


def test_none_is_a_value_like_any_other() -> None:
    flights: SingleFlight[str, int | None] = SingleFlight()
    loads = iter([None, 1])
    assert flights.do("a", lambda: next(loads)) is None
    flight, _ = flights.join("a")
    flight.land(None)
    assert (flight.result(), flight.has_failed, flight.was_interrupted) == (None, False, False)


def test_another_may_begin_before_those_who_waited_have_the_result() -> None:
    """Whoever gets a result and asks once more must not be given the same load again."""
    flights = Flights()
    flight, _ = flights.join("a")
    with ThreadPoolExecutor(1) as pool:

        def wait_and_ask() -> bool:
            flight.wait()
            return flights.join("a")[1]

        asking = pool.submit(wait_and_ask)
        flights.fly("a", flight, lambda: 1)
        assert asking.result(60)


def test_a_flight_may_be_flown_by_another_thread() -> None:
    flights = Flights()
    flight, is_mine = flights.join("a")
    assert is_mine
    assert not flight.wait(0)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(flights.fly, "a", flight, lambda: 1 // 0).result()  # raises nothing
    assert flight.wait()
    with pytest.raises(ZeroDivisionError):
        flight.result()


# ---- Many values with one read -------------------------------------------------------------------


def test_claimed_keys_are_those_that_nobody_had_claimed() -> None:
    flights = Flights()
    mine, others = flights.claim("ab")
    assert (list(mine), list(others)) == (["a", "b"], [])
    more, joined = flights.claim("bc")
    assert (list(more), joined) == (["c"], {"b": mine["b"]})
    assert [flight.joined for flight in mine.values()] == [0, 1]


def test_a_value_that_has_landed_is_found_until_its_flight_is_released() -> None:
    flights = Flights()
    mine, _ = flights.claim("a")
    mine["a"].land(1)
    _, others = flights.claim("a")
    assert others["a"].result() == 1
    flights.release(mine)
    assert list(flights.claim("a")[0]) == ["a"]


def test_released_flights_end_with_the_error_or_let_those_who_wait_try() -> None:
    flights = Flights()
    error = OSError("no")
    mine, _ = flights.claim("abc")
    mine["a"].land(1)
    flights.release({key: mine[key] for key in "ab"}, error)
    flights.release(mine)
    assert (mine["a"].value, mine["b"].error, mine["b"].was_interrupted) == (1, error, False)
    assert mine["c"].was_interrupted
    assert [flight.has_failed for flight in mine.values()] == [False, True, True]
    assert len(flights) == 0


def test_a_reserved_flight_is_loaded_by_the_first_thread_that_begins_it() -> None:
    flights = Flights()
    flights.claim("a")
    reserved = flights.reserve("ab")
    assert list(reserved) == ["b"]
    _, others = flights.claim("b")
    assert flights.begin(others) == reserved
    assert flights.begin(reserved) == {}


def test_a_flight_that_nobody_holds_stays_while_a_thread_loads_it_or_waits_for_it() -> None:
    flights = Flights()
    reserved = flights.reserve("abcd")
    flights.claim("a")
    begun = flights.begin({key: reserved[key] for key in "bd"})
    begun["d"].land(1)
    assert all(flight.is_wanted for flight in reserved.values())
    assert flights.unhold(reserved) == {"d": reserved["d"]}
    assert [key for key in "abcd" if flights.get(key)] == ["a", "b", "d"]
    assert [flight.is_wanted for flight in reserved.values()] == [True, False, False, False]


def test_a_flight_in_progress_that_nobody_holds_can_be_retaken() -> None:
    flights = Flights()
    reserved = flights.reserve("abc")
    flights.begin(reserved)["b"].land(1)
    assert flights.retake("abcd") == {}
    flights.unhold({key: reserved[key] for key in "ab"})
    assert flights.retake("abcd") == {"a": reserved["a"]}
    assert reserved["a"].is_wanted


# ---- Interruptions -------------------------------------------------------------------------------

MODULES = single_flight, locks


def test_an_interruption_anywhere_leaves_no_flight_and_nobody_waiting() -> None:
    def load(flights: Flights, pool: ThreadPoolExecutor, others: list[Future[int]]) -> int:
        others.append(pool.submit(flights.do, "a", lambda: 2))
        wait_for_joined(flights, "a")
        return 1

    with ThreadPoolExecutor(1) as pool:
        for event in count(1):
            flights, others = Flights(), list[Future[int]]()
            act = partial(flights.do, "a", partial(load, flights, pool, others))
            was_interrupted = interrupted_at(event, act, *MODULES)
            assert [other.result(60) for other in others] in ([], [1], [2])
            assert len(flights) == 0
            if not was_interrupted:
                break
    assert event > 15


@pytest.mark.parametrize(
    "change",
    [
        lambda flights, _: flights.join("b"),
        lambda flights, _: flights.claim("abc"),
        lambda flights, _: flights.reserve("abc"),
        lambda flights, reserved: flights.begin(reserved),
    ],
    ids=["join", "claim", "reserve", "begin"],
)
def test_what_is_interrupted_amid_a_change_leaves_no_flight_that_nobody_flies(
    change: Callable[[Flights, dict[str, Flight[int]]], object],
) -> None:
    for event in count(1):
        flights = Flights()
        reserved = flights.reserve("a")
        if not interrupted_at(event, partial(change, flights, reserved), *MODULES):
            break
        assert [key for key in "bc" if flights.get(key)] == []
        assert reserved["a"].is_over or flights.begin(reserved) == reserved
    assert event > 3


# ---- Forks ---------------------------------------------------------------------------------------


def test_a_child_loads_what_a_thread_of_its_parent_was_loading() -> None:
    flights = Flights()

    def load_slowly(gate: Gate) -> None:
        def load() -> int:
            gate.wait()
            return 1

        flights.do("a", load)

    with amid(load_slowly):
        assert in_child(lambda: (flights.do("a", lambda: 2), len(flights))) == (2, 0)


def test_a_child_uses_flights_that_a_thread_of_its_parent_had_locked() -> None:
    flights = Flights()

    def hold(gate: Gate) -> None:
        with flights._lock:
            gate.wait()

    with amid(hold):
        assert in_child(lambda: flights.do("a", lambda: 2)) == 2


def test_a_load_that_forks_ends_in_the_child_too() -> None:
    flights = Flights()

    def load() -> int:
        return in_child(lambda: flights.do("a", lambda: 2)) + 1

    assert flights.do("a", load) == 3
