"""A story: what people do with many small files, and what they do it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.remote.store import Store

__all__ = ["Column", "Contender", "Cost", "Figures", "Goal", "Made", "Story"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A way to do the work of a story, in a process of its own."""

    name: str
    work: str
    """The function that does it, as MODULE:FUNCTION; see `benchmarks.data.process`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the function finds in its task's `parameters`, besides the story's own."""
    once: bool = False
    """Whether it is too slow to be repeated."""


class Made(NamedTuple):
    """The data of a story, in the store."""

    note: str
    """What there is, in a sentence."""
    parameters: Mapping[str, Any]
    """Where it is, for the works."""
    expected: Mapping[str, Mapping[str, Any]]
    """What each step must answer, where it answers by that name."""


class Cost(NamedTuple):
    """What one step took once."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of the process and its children."""
    memory: int
    """Bytes that the process, or the largest of its children, had at most so far."""
    requests: int
    """Requests that began within the step."""
    bytes: int
    """Bytes that answers to those requests had."""
    answer: Mapping[str, Any]
    """What the step answered."""


class Figures:
    """What all steps of a story took."""

    def __init__(self) -> None:
        self._costs: dict[tuple[str, str], list[Cost]] = {}
        self.failures: dict[str, str] = {}
        """By contender, why it did not come to its end."""

    def add(self, contender: str, step: str, cost: Cost) -> None:
        """Keep what a step took."""
        self._costs.setdefault((contender, step), []).append(cost)

    def has(self, contender: str, step: str) -> bool:
        """Return whether the contender did the step."""
        return (contender, step) in self._costs

    def median(self, contender: str, step: str, of: Callable[[Cost], float]) -> float:
        """Return the median of a figure; raise KeyError where there is none."""
        return median(map(of, self._costs[contender, step]))

    def rate(self, contender: str, step: str) -> float:
        """Return the median of `items`, as the step answered them, a second."""
        return self.median(contender, step, lambda cost: cost.answer["items"] / cost.wall)

    def wall(self, contender: str, step: str) -> float:
        """Return the median seconds."""
        return self.median(contender, step, lambda cost: cost.wall)


class Column(NamedTuple):
    """A column of a story's table."""

    title: str
    step: str
    cell: Callable[[Figures, str, str], str]
    """Makes the cell of figures, contender and step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is aimed at."""

    text: str
    figure: Callable[[Figures], float]
    """Computes the figure; raises KeyError or ValueError where something was not measured."""
    bound: float
    at_least: bool = True
    unit: str = "{:.2f} x"
    """A format of the figure."""
    for_all_sizes: bool = False
    """Whether less data says something of it."""

    def verdict(self, figures: Figures, *, is_quick: bool) -> tuple[str, str]:
        """Return the figure and what it says of the goal."""
        try:
            figure = self.figure(figures)
        except (KeyError, ValueError):
            return "-", "not measured"
        shown = self.unit.format(figure)
        if is_quick and not self.for_all_sizes:
            return shown, "not judged"
        is_met = figure >= self.bound if self.at_least else figure <= self.bound
        return shown, "met" if is_met else "**missed**"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is measured together."""

    title: str
    measures: str
    """What it measures, in a few words."""
    make: Callable[[Path, Store, bool], Made]
    """Makes the data and uploads it.

    The directory may have it already. The last argument asks for less data.
    """
    contenders: Sequence[Contender]
    columns: Sequence[Column]
    goals: Sequence[Goal]
    timeout: int = 600
    """Seconds for one process."""
