"""What an object renews in a forked child, in the order in which it asked for it."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import s3archivefs
from tests.support.processes.forked import in_child
from tests.support.processes.memory import growth

if TYPE_CHECKING:
    import pytest


class Owner:
    def __init__(self, name: str, called: list[str]) -> None:
        self.name = name
        self.called = called
        s3archivefs.renew_after_fork(self, Owner._renew)

    def _renew(self) -> None:
        self.called.append(self.name)
        if self.name == "raises":
            raise ValueError("one renewal fails")


def test_each_owner_that_lives_is_renewed_though_another_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: called.append(str(error.exc_value)))
    owners = [Owner(name, called) for name in ("first", "raises", "last")]
    assert in_child(lambda: called) == ["last", "raises", "first", "one renewal fails"]
    assert called == []
    del owners[1:]
    gc.collect()
    assert in_child(lambda: called) == ["first"]


def test_an_owner_that_is_gone_leaves_nothing_behind() -> None:
    called: list[str] = []

    def make(count: int) -> None:
        for _ in range(count):
            Owner("", called)

    make(9)
    # Twenty bytes an owner: the table of those that live is made anew meanwhile, tens of KiB.
    assert growth(lambda: make(5000)) < 100_000
