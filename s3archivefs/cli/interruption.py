"""Signals that end a command as Ctrl-C does, with what that cleans up."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["interrupt_at_signals"]

_NAMES = ("SIGTERM", "SIGHUP")
"""What ends a process politely; Windows has no SIGHUP."""


def interrupt_at_signals() -> None:
    """Let SIGTERM, and a terminal that is closed, raise KeyboardInterrupt.

    What is ignored stays so: nohup ignores SIGHUP.
    """
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # A terminal sends it, and the shell in it once more: that must not end the cleaning up.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
