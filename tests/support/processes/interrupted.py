"""Interrupting a call where Python could handle a signal, at each such place in turn."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

__all__ = ["interrupted_at"]


def interrupted_at(event: int, act: Callable[[], object], *modules: ModuleType) -> bool:
    """Whether `act` was interrupted at a call that the modules make or answer, by its number.

    Signals are handled where a function begins, or one in C has returned.
    """
    files = {module.__file__ for module in modules}
    left = event

    def profile(frame: FrameType, kind: str, _argument: object) -> None:
        nonlocal left
        frames = [frame, frame.f_back] if kind == "call" else [frame]
        if kind in {"call", "c_return"} and any(
            each and each.f_code.co_filename in files for each in frames
        ):
            left -= 1
            if left == 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False
