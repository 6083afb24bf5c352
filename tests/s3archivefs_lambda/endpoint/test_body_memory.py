from __future__ import annotations

from s3archivefs_lambda.endpoint.body_memory import HOLD_SECONDS, BodyMemory
from tests.support.http_site import Clock


class Asked:
    """A memory of ten bytes, and who got some."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.memory: BodyMemory[str] = BodyMemory(self.clock, size=10)
        self.granted: list[str] = []

    def ask(self, name: str, size: int) -> None:
        self.memory.let_hold(name, size, lambda: self.granted.append(name))


def test_who_fits_in_is_let_in_at_once_and_who_does_not_waits_in_turn() -> None:
    asked = Asked()
    for name, size in (("a", 6), ("b", 4), ("c", 5), ("d", 1)):
        asked.ask(name, size)
    assert asked.granted == ["a", "b"]
    asked.memory.release("b")
    assert asked.granted == ["a", "b"]  # d fits, but c was first
    asked.memory.release("a")
    assert asked.granted == ["a", "b", "c", "d"]


def test_what_was_asked_for_makes_room_for_what_it_became() -> None:
    asked = Asked()
    asked.ask("a", 10)
    asked.ask("b", 7)
    asked.memory.hold("a", 3)
    assert asked.granted == ["a", "b"]


def test_who_asks_again_gives_back_what_it_holds() -> None:
    asked = Asked()
    asked.ask("a", 8)
    asked.memory.hold("a", 8)
    asked.ask("a", 8)
    assert asked.granted == ["a", "a"]


def test_who_leaves_is_not_waited_for() -> None:
    asked = Asked()
    asked.ask("a", 10)
    asked.ask("b", 10)
    asked.ask("c", 10)
    asked.memory.release("b")
    asked.memory.release("a")
    assert asked.granted == ["a", "c"]


def test_more_than_there_is_takes_all_of_it() -> None:
    asked = Asked()
    asked.ask("a", 1000)
    assert asked.granted == ["a"]


def test_who_holds_for_long_is_overdue_where_others_wait() -> None:
    asked = Asked()
    for name in ("slow", "quick"):
        asked.ask(name, 5)
        asked.memory.hold(name, 5)
        asked.clock.now += HOLD_SECONDS / 2
    asked.clock.now += 1
    short = [asked.memory.is_short]
    asked.ask("late", 1)
    short.append(asked.memory.is_short)
    assert short == [False, True]
    assert asked.memory.overdue() == ["slow"]


def test_who_holds_for_long_is_overdue_where_first_pieces_took_more_than_there_is() -> None:
    asked = Asked()
    asked.memory.hold("a", 8)
    asked.memory.hold("b", 8)
    assert asked.memory.is_short
    assert asked.memory.overdue() == []
    asked.clock.now += HOLD_SECONDS
    assert asked.memory.overdue() == ["a", "b"]


def test_what_is_being_made_is_never_overdue() -> None:
    asked = Asked()
    asked.ask("a", 10)
    asked.ask("b", 10)
    asked.clock.now += 10 * HOLD_SECONDS
    assert asked.memory.overdue() == []
