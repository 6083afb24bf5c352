"""A child's answer, its error, and its end reach the test that asked for it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.processes.bounded import ADDRESS_SPACE, ChildFailedError, in_child

if TYPE_CHECKING:
    from types import FunctionType


def fail(message: str) -> None:
    raise LookupError(message)


def spin() -> None:
    while True:
        pass


def wait_for_ever() -> None:
    threading.Event().wait()


def take(size: int) -> int:
    return len(bytearray(size))


def end() -> None:
    os.abort()


def leave() -> None:
    os._exit(7)


def test_result_comes_from_another_process() -> None:
    assert in_child(os.getpid) != os.getpid()
    assert in_child(divmod, 17, 5) == (3, 2)


def test_error_of_the_child_is_raised_again() -> None:
    with pytest.raises(LookupError, match="what is wrong"):
        in_child(fail, "what is wrong")


def test_memory_is_bounded() -> None:
    assert in_child(take, 100 << 20) == 100 << 20
    with pytest.raises(MemoryError):
        in_child(take, ADDRESS_SPACE)


def test_processor_time_is_bounded() -> None:
    with pytest.raises(ChildFailedError, match=r"spin died: it takes more than 1 s of processor"):
        in_child(spin, seconds=1)


def test_a_child_that_waits_for_ever_is_ended() -> None:
    with pytest.raises(ChildFailedError, match="wait_for_ever waits for ever"):
        in_child(wait_for_ever, seconds=1, patience=0.2)


@pytest.mark.parametrize(("call", "code"), [(end, "SIGABRT"), (leave, "exit code 7")])
def test_child_that_dies_is_named(call: FunctionType, code: str) -> None:
    with pytest.raises(ChildFailedError, match=f"{call.__name__} died: {code}"):
        in_child(call)
