"""Waiting until threads wait for a load in flight."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from s3archivefs import SingleFlight

__all__ = ["wait_for_joined"]

K = TypeVar("K")
V = TypeVar("V")


def wait_for_joined(flights: SingleFlight[K, V], key: K, count: int = 1) -> None:
    """Return once so many threads have joined the flight of a key."""
    deadline = time.monotonic() + 60
    while (flight := flights.get(key)) is None or flight.joined < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)
