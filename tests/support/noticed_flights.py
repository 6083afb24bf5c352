"""Loads under way that tell when a thread begins to wait for another's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

__all__ = ["notice_waiting"]


class _NoticedEvent(threading.Event):
    def __init__(self, waiting: threading.Event) -> None:
        super().__init__()
        self._waiting = waiting

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self._waiting.set()
        return super().wait(timeout)


def notice_waiting(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, kind: str = "_Flight"
) -> threading.Event:
    """Set as soon as a thread waits for one of the module's flights (of a class with `done`)."""
    waiting = threading.Event()
    make = getattr(module, kind)

    def noticed() -> object:
        flight = make()
        flight.done = _NoticedEvent(waiting)
        return flight

    monkeypatch.setattr(module, kind, noticed)
    return waiting
