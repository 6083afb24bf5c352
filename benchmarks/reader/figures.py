"""Medians of runs, and how a cell of the table shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

from benchmarks.reader.lookups import MARKS
from benchmarks.reader.runs import Failure, Run

__all__ = ["Cell", "Measured", "Outcome", "milliseconds", "over", "rates", "times"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of one way's runs."""

    wall: float
    """Seconds, as in `Run`."""
    processor: float
    memory: float
    printed: Mapping[str, float]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Measured:
        """Return the medians of runs, at least one."""
        return cls(
            median(run.wall for run in runs),
            median(run.processor for run in runs),
            median(run.memory for run in runs),
            {name: median(run.printed[name] for run in runs) for name in runs[0].printed},
        )


Outcome: TypeAlias = Measured | Failure
Cell: TypeAlias = Callable[[Measured, Mapping[str, Measured]], str]
"""Shows one way's medians; gets those of all ways of its row too."""


def times(found: Measured, _: Mapping[str, Measured]) -> str:
    """Show wall seconds, processor seconds and memory."""
    return f"{found.wall:.3g} s / {found.processor:.3g} s / {_megabytes(found)}"


def rates(found: Measured, _: Mapping[str, Measured]) -> str:
    """Show look-ups a second, at each mark that was reached, and memory."""
    reached = int(found.printed["looked_up"])
    marks = {mark: found.printed[f"rate_{mark}"] for mark in MARKS}
    shown = {mark: rate for mark, rate in marks.items() if mark <= reached}
    shown = shown or {reached: marks[MARKS[0]]}
    each = ", ".join(f"{rate:,.0f}/s over {mark:,}" for mark, rate in shown.items())
    return f"{each} / {_megabytes(found)}"


def milliseconds(found: Measured, _: Mapping[str, Measured]) -> str:
    """Show what the reader printed."""
    return f"{found.printed['ms']:.2f} ms"


def over(bare: str) -> Cell:
    """Return what shows the milliseconds more than another way's."""

    def cell(found: Measured, ways: Mapping[str, Measured]) -> str:
        return f"{1000 * (found.wall - ways[bare].wall):+.0f} ms" if bare in ways else "-"

    return cell


def _megabytes(found: Measured) -> str:
    return f"{found.memory / 1e6:.0f} MB"
