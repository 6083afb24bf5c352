"""Signals that end a command as Ctrl-C does."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from s3archivefs.cli.interruption import interrupt_at_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restore what is done at these signals."""
    before = [signal.getsignal(number) for number in ENDING]
    yield
    for number, handler in zip(ENDING, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_interrupts_once_and_lets_the_command_clean_up(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    interrupt_at_signals()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    signal.raise_signal(number)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_is_ignored_stays_so(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    interrupt_at_signals()
    signal.raise_signal(number)
