"""Random look-ups in an image, timed: the loop that all readers share."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from benchmarks.reader.images import MEMBER_PATHS

__all__ = ["LOOKUPS", "MARKS", "timed_lookups"]

MARKS = (40_000, 100_000)
"""Look-ups after which the rate is told."""
LOOKUPS = MARKS[-1]
_BATCH = 500
"""Look-ups between two readings of the clock; to draw their paths is not timed."""
_SECONDS_MAX = 5
"""How long a reader that is far behind goes on."""


def timed_lookups(look_up: Callable[[str], object], kind: str, members: int) -> dict[str, float]:
    """Look up random members of an image; return look-ups a second, up to each mark.

    `rate_N` is the rate over the first N. A reader that ends early has under each mark that it did
    not reach the rate that it had in the end, and under `looked_up` how far it came.
    """
    path = MEMBER_PATHS[kind]
    draw = Random(1)
    clock = time.perf_counter
    done, seconds = 0, 0.0
    rates: dict[str, float] = {}
    while done < LOOKUPS and seconds < _SECONDS_MAX:
        # One at a time where each takes long, so that it ends in time.
        batch = _BATCH if done and seconds / done * _BATCH < 1 else 1
        batch = min(batch, _BATCH - done % _BATCH)
        paths = [path(draw.randrange(members)) for _ in range(batch)]
        start = clock()
        for each in paths:
            look_up(each)
        seconds += clock() - start
        done += batch
        if done in MARKS:
            rates[f"rate_{done}"] = done / seconds
    return {f"rate_{mark}": done / seconds for mark in MARKS} | rates | {"looked_up": done}
