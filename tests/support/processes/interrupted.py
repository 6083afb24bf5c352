"""Interrupting a call where Python could handle a signal, at each such place in turn."""

from __future__ import annotations

import sys
from opcode import opmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, ModuleType

__all__ = ["interrupted_at"]

_CODE_UNIT = 2  # bytes of an instruction


def interrupted_at(event: int, act: Callable[[], object], *modules: ModuleType) -> bool:
    """Whether `act` was interrupted at a call that the modules make or answer, by its number.

    Signals are handled where a function begins, or one in C has returned, unless that is the
    `__enter__` of a `with` that Python 3.15 or newer runs.
    """
    files = {module.__file__ for module in modules}
    left = event

    def profile(frame: FrameType, kind: str, _argument: object) -> None:
        nonlocal left
        frames = [frame, frame.f_back] if kind == "call" else [frame]
        if kind not in {"call", "c_return"} or (kind == "c_return" and _enters(frame)):
            return
        if any(each and each.f_code.co_filename in files for each in frames):
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


def _enters(frame: FrameType) -> bool:
    """Whether the frame is about to enter a `with`, amid which no signal is handled."""
    before = frame.f_lasti - _CODE_UNIT
    code = frame.f_code.co_code
    return sys.version_info >= (3, 15) and code[before] == opmap["LOAD_SPECIAL"]
