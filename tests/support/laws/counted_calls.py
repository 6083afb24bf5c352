"""Work in a unit that does not depend on the machine: calls, of Python's functions and of C's."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def calls_of(do: Callable[[], object]) -> int:
    """How many calls `do` makes in this thread; none of what a garbage collection would call."""
    count = 0

    def profile(_frame: object, event: str, _argument: Any) -> None:  # noqa: ANN401 -- as CPython has it
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(profile)
    try:
        do()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count
