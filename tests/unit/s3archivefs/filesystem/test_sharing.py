"""Open images that filesystems of a process share, as long as they are the current version."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from s3archivefs import BytesDevice, Limits, NotSquashfsError
from s3archivefs.filesystem.sharing import shared_image
from s3archivefs.filesystem.targets import Opened
from tests.support.processes.forked import amid, in_child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes.forked import Gate


class Placed:
    """A target whose version a test changes."""

    def __init__(self, content: bytes, key: object, trusted_seconds: float = 0.0) -> None:
        self.key = key
        self.trusted_seconds = trusted_seconds
        self.content = content
        self.current = "first"
        self.asked = 0
        self.opened = 0
        self.closed = 0
        self.gate: Gate | None = None

    def version(self) -> str:
        self.asked += 1
        return self.current

    def open(self) -> Opened:
        self.opened += 1
        if self.gate is not None:
            self.gate.wait()
        return Opened(BytesDevice(self.content), self.current, self._close)

    def _close(self) -> None:
        self.closed += 1


@pytest.fixture
def placed(image: Path, request: pytest.FixtureRequest) -> Placed:
    return Placed(image.read_bytes(), request.node.name)


def test_one_image_is_shared_while_its_version_is_the_current_one(placed: Placed) -> None:
    first = shared_image(placed, 0, None)
    assert shared_image(placed, 0, None) is first
    assert (placed.opened, placed.asked) == (1, 1)
    placed.current = "second"
    second = shared_image(placed, 0, None)
    assert second is not first
    assert (first.version, second.version) == ("first", "second")
    assert shared_image(placed, 0, None) is second


def test_a_version_is_not_asked_for_as_long_as_it_is_trusted(placed: Placed) -> None:
    placed.trusted_seconds = 1000
    first = shared_image(placed, 0, None)
    placed.current = "second"
    assert shared_image(placed, 0, None) is first
    assert placed.asked == 0


def test_a_version_is_asked_for_if_the_caller_doubts_it(placed: Placed) -> None:
    placed.trusted_seconds = 1000
    first = shared_image(placed, 0, None)
    assert shared_image(placed, 0, None, asks=True) is first
    placed.current = "second"
    second = shared_image(placed, 0, None, asks=True)
    assert (first.version, second.version) == ("first", "second")
    assert shared_image(placed, 0, None) is second


def test_another_offset_or_limit_is_another_image(placed: Placed) -> None:
    first = shared_image(placed, 0, None)
    assert shared_image(placed, 0, Limits(walk_depth=3)) is not first
    assert shared_image(placed, 0, Limits(walk_depth=3)).image.limits.walk_depth == 3
    with pytest.raises(NotSquashfsError):
        shared_image(placed, 1, None)


def test_what_nobody_else_can_name_is_not_shared(placed: Placed) -> None:
    placed.key = None
    assert shared_image(placed, 0, None) is not shared_image(placed, 0, None)


def test_an_image_closes_with_what_was_opened_for_it_when_nobody_refers_to_it(
    placed: Placed,
) -> None:
    shared = shared_image(placed, 0, None)
    image = shared.image
    gc.disable()  # no cycle keeps it
    try:
        del shared
        assert image.closed
        assert placed.closed == 1
    finally:
        gc.enable()


def test_what_was_opened_for_no_image_is_closed(placed: Placed) -> None:
    placed.content = b"no image" * 100
    with pytest.raises(NotSquashfsError):
        shared_image(placed, 0, None)
    assert placed.closed == 1


def test_threads_that_come_at_once_open_one_image(placed: Placed) -> None:
    together = threading.Barrier(8)

    def share(_: int) -> object:
        together.wait(60)
        return shared_image(placed, 0, None)

    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(share, range(8))}) == 1
    assert placed.opened == 1


def test_a_child_forked_amid_an_opening_opens_the_image_itself(placed: Placed) -> None:
    def open_slowly(gate: Gate) -> None:
        placed.gate = gate
        shared_image(placed, 0, None)

    def open_in_child() -> str:
        placed.gate = None
        return shared_image(placed, 0, None).version

    with amid(open_slowly):
        assert in_child(open_in_child) == "first"
