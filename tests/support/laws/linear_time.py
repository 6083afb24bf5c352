"""Texts that an attacker would send, and what reading one costs.

A cost is the processor time that the calling thread has had, and is held against that of a plain
loop over as many characters, so neither a busy machine nor a slow one changes the outcome. What is
linear takes a few of those loops; what is not takes hundreds at the largest size, or at an earlier
one.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from s3archivefs import SquashfsError
from s3archivefs_lambda.s3api.messages import S3Error

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1 << 10, 4 << 10, 16 << 10, 64 << 10)
"""Characters; the last are as many as a whole head may have."""
_LOOPS = 200
"""A plain loop over a text takes so many times less than reading it may take."""
_NOISE_SECONDS = 0.02
"""A collection of garbage falls to whoever is running."""


def texts(words: tuple[str, ...]) -> st.SearchStrategy[Callable[[int], str]]:
    """Texts by their size: a few words again and again, between others."""
    few = st.lists(st.sampled_from(words), max_size=3).map("".join)
    some = st.lists(st.sampled_from(words), min_size=1, max_size=2).map("".join)

    def text(
        before: str, first: str, between: str, second: str, after: str
    ) -> Callable[[int], str]:
        def of(size: int) -> str:
            repeated = (word * (size // 2 // len(word)) for word in (first, second))
            return before + between.join(repeated) + after

        return of

    return st.builds(text, few, some, few, some, few)


def costs_linear_time(read: Callable[[str], object], text: str) -> bool:
    """Whether reading the text takes no longer than what is linear may.

    The least time of three calls counts, lest one was disturbed.
    """
    enough = _allowance(len(text))
    return any(_seconds_of(read, text) < enough for _ in range(3))


def _seconds_of(read: Callable[[str], object], text: str) -> float:
    """Seconds of processor time that one call takes, whatever comes of it."""
    start = time.thread_time()
    with suppress(S3Error, SquashfsError, OSError, ValueError):
        read(text)
    return time.thread_time() - start


@cache
def _allowance(size: int) -> float:
    """Seconds that a text of `size` characters may cost."""
    return _NOISE_SECONDS + _LOOPS * min(_seconds_of(_loop, "a" * size) for _ in range(5))


def _loop(text: str) -> int:
    count = 0
    for letter in text:
        count += letter == "x"
    return count
