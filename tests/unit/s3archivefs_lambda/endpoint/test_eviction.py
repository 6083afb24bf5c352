from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from s3archivefs_lambda.endpoint.connection import Connection, State
from s3archivefs_lambda.endpoint.eviction import choose_victims


@dataclass
class Waiting:
    """What the choice looks at."""

    name: str
    state: State
    since: float
    client: str = "client"


NOW = 100.0


def chosen(count: int, *waiting: Waiting) -> list[str]:
    victims = choose_victims([cast("Connection", each) for each in waiting], NOW, count)
    return [cast("Waiting", victim).name for victim in victims]


def test_half_heads_go_first_and_of_each_kind_the_oldest() -> None:
    waiting = (
        Waiting("fresh", State.FRESH, 10),
        Waiting("older fresh", State.FRESH, 9),
        Waiting("idle", State.IDLE, 50),
        Waiting("older idle", State.IDLE, 40),
        Waiting("half", State.HEAD, 90),
        Waiting("older half", State.HEAD, 89),
        Waiting("answered for good", State.LINGER, 99),
    )
    order = [
        "answered for good",
        "older half",
        "half",
        "older idle",
        "idle",
        "older fresh",
        "fresh",
    ]
    assert chosen(10, *waiting) == order
    assert chosen(2, *waiting) == order[:2]


def test_connections_that_await_an_answer_or_are_new_stay() -> None:
    waiting = (
        Waiting("reader", State.ANSWER, 0),
        Waiting("gone", State.CLOSED, 0),
        Waiting("new", State.FRESH, NOW - 0.02),
        Waiting("in two packets", State.HEAD, NOW - 0.02),
    )
    assert chosen(10, *waiting) == []


def test_the_client_that_has_most_gives_up_first() -> None:
    few = [Waiting(f"few{number}", State.HEAD, number, "few") for number in range(2)]
    many = [Waiting(f"many{number}", State.IDLE, 50 + number, "many") for number in range(5)]
    assert chosen(3, *few, *many) == ["many0", "many1", "many2"]
    assert sorted(chosen(5, *few, *many)) == ["few0", "many0", "many1", "many2", "many3"]


def test_to_choose_costs_little_however_many_there_are() -> None:
    looked = 0

    class Counting(Waiting):
        def __getattribute__(self, name: str) -> object:
            nonlocal looked
            looked += name == "state"
            return super().__getattribute__(name)

    clients = [Counting(str(n), State.IDLE, n, str(n % 50)) for n in range(1000)]
    assert len(chosen(100, *clients)) == 100
    assert looked == 1000
