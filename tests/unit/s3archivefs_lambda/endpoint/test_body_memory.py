from __future__ import annotations

from typing import NamedTuple

import pytest

from s3archivefs_lambda.endpoint.body_memory import HOLD_SECONDS, BodyMemory
from tests.support.adapter.http_site import Clock


class Reader(NamedTuple):
    name: str
    address: str


class Asked:
    """A memory, and who got some. Readers are of a client of their own unless it is told."""

    def __init__(self, size: int = 10) -> None:
        self.clock = Clock()
        self.memory: BodyMemory[Reader] = BodyMemory(self.clock, size=size)
        self.granted: list[str] = []

    def ask(self, name: str, size: int, address: str | None = None) -> None:
        reader = Reader(name, address or name)
        self.memory.request(reader, size, lambda: self.granted.append(name))

    def hold(self, name: str, size: int, address: str | None = None) -> None:
        self.memory.hold(Reader(name, address or name), size)

    def release(self, name: str, address: str | None = None) -> None:
        self.memory.release(Reader(name, address or name))

    def overdue(self) -> list[str]:
        return [reader.name for reader in self.memory.overdue()]

    def cut_off_candidates(self) -> list[str]:
        return [reader.name for reader in self.memory.cut_off_candidates()]


def test_a_piece_that_fits_is_granted_at_once_and_others_in_turn() -> None:
    asked = Asked()
    for name, size in (("a", 6), ("b", 4), ("c", 5), ("d", 1)):
        asked.ask(name, size)
    assert asked.granted == ["a", "b"]
    asked.release("b")
    assert asked.granted == ["a", "b"]  # d fits, but c was first
    asked.release("a")
    assert asked.granted == ["a", "b", "c", "d"]


def test_a_piece_shorter_than_its_grant_releases_the_rest() -> None:
    asked = Asked()
    asked.ask("a", 10)
    asked.ask("b", 7)
    asked.hold("a", 3)
    assert asked.granted == ["a", "b"]


def test_a_second_request_releases_the_piece_held() -> None:
    asked = Asked()
    asked.ask("a", 8)
    asked.hold("a", 8)
    asked.ask("a", 8)
    assert asked.granted == ["a", "a"]


def test_a_request_withdrawn_while_it_waits_is_skipped() -> None:
    asked = Asked()
    asked.ask("a", 10)
    asked.ask("b", 10)
    asked.ask("c", 10)
    asked.release("b")
    asked.release("a")
    assert asked.granted == ["a", "c"]


def test_more_than_there_is_takes_all_of_it() -> None:
    asked = Asked()
    asked.ask("a", 1000)
    assert asked.granted == ["a"]


def test_an_answer_that_holds_memory_for_long_is_overdue_while_others_wait() -> None:
    asked = Asked()
    for name in ("slow", "quick"):
        asked.ask(name, 5)
        asked.hold(name, 5)
        asked.clock.now += HOLD_SECONDS / 2
    asked.clock.now += 1
    short = [asked.memory.is_short]
    asked.ask("late", 1)
    short.append(asked.memory.is_short)
    assert short == [False, True]
    assert asked.overdue() == ["slow"]


def test_an_answer_that_holds_memory_for_long_is_overdue_when_first_pieces_exceed_it() -> None:
    asked = Asked()
    asked.hold("a", 8)
    asked.hold("b", 8)
    assert asked.memory.is_short
    assert asked.overdue() == []
    asked.clock.now += HOLD_SECONDS
    assert asked.overdue() == ["a", "b"]


def test_clients_take_turns_however_many_readers_they_have() -> None:
    asked = Asked()
    asked.ask("holder", 10)
    for number in range(3):
        asked.ask(f"many {number}", 2, "many")
    asked.ask("few", 2)
    asked.release("holder")
    assert asked.granted == ["holder", "many 0", "few", "many 1"]


def test_a_client_gets_no_more_than_it_leaves_to_others() -> None:
    asked = Asked(64)
    for client in "abc":
        for number in range(64):
            asked.ask(f"{client}{number}", 1, client)
    shares = [sum(name.startswith(client) for name in asked.granted) for client in "abc"]
    assert shares == [32, 16, 8]


@pytest.mark.parametrize("count", [10, 100, 1000])
@pytest.mark.parametrize("take_first", [False, True], ids=["none", "one"])
def test_a_reader_does_not_wait_for_another_clients_answers(
    count: int, *, take_first: bool
) -> None:
    asked = Asked(256)
    for number in range(count):  # they take one piece, or none, and then no other
        asked.hold(f"silent {number}", 1, "other")
        if take_first:
            asked.ask(f"silent {number}", 4, "other")
    asked.granted.clear()
    asked.hold("reader", 1)
    for _ in range(16):
        asked.ask("reader", 4)
        asked.hold("reader", 4)
    assert asked.granted == ["reader"] * 16
    asked.clock.now += HOLD_SECONDS
    assert "reader" in asked.overdue()
    assert "reader" not in asked.cut_off_candidates()


def test_the_overdue_client_that_holds_most_or_waits_is_cut_off() -> None:
    asked = Asked()
    for name, size, client in (("a1", 3, "a"), ("a2", 2, "a"), ("b", 2, "b"), ("c1", 1, "c")):
        asked.ask(name, size, client)
        asked.hold(name, size, client)
    asked.clock.now += HOLD_SECONDS
    asked.ask("c2", 4, "c")
    assert asked.memory.is_short
    assert asked.overdue() == ["a1", "a2", "b", "c1"]
    assert asked.cut_off_candidates() == ["a1", "a2", "c1"]


def test_what_is_being_made_is_never_overdue() -> None:
    asked = Asked()
    asked.ask("a", 10)
    asked.ask("b", 10)
    asked.clock.now += 10 * HOLD_SECONDS
    assert asked.overdue() == []
