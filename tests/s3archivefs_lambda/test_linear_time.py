"""Text from outside costs time in proportion to its length, whatever it says.

Time is that of the processor which the calling thread has had, so a busy machine changes nothing.
What is linear takes milliseconds at the largest size; what is not passes the bound long before.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.s3_protocol import S3Error, parse_range

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 64 << 10
"""Characters; as much as a whole head may have."""
SIZES = [LARGEST >> halvings for halvings in reversed(range(10))]
SECONDS = 0.5


@pytest.mark.parametrize("unit", ["bytes=", " ", "bytes= -", "bytes=0", "bytes=-", "bytes=0- ", ""])
@pytest.mark.parametrize("text", [" - x", " ", "0", "-", "=", "0 -", "bytes="])
def test_a_range_header(unit: str, text: str) -> None:
    for size in SIZES:
        for repeated in (text * (size // len(text)), "".join(letter * size for letter in text)):
            assert seconds_of(lambda header: parse_range(header, 10), unit + repeated) < SECONDS


def seconds_of(call: Callable[[str], object], text: str) -> float:
    """Seconds of processor time that one call takes."""
    start = time.thread_time()
    with suppress(S3Error):
        call(text)
    return time.thread_time() - start
