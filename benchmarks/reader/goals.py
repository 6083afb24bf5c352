"""Goals, and whether medians reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from benchmarks.reader.figures import Measured, Outcome
from benchmarks.reader.runs import NOT_THERE_YET, Failure

__all__ = [
    "Goal",
    "ahead_of",
    "extra_ms_most",
    "memory_most",
    "ms_most",
    "rate_least",
    "ratio_most",
    "wall_most",
]

_MISSED, _NOT_JUDGED = "**missed**", "not judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is aimed at in one row."""

    way: str
    """Whose figure it is."""
    text: str
    figure: Callable[[Mapping[str, Measured]], float]
    """Computes the figure from what was measured, by ways; raises KeyError where one is missing."""
    bound: float
    at_least: bool = False
    unit: str = "{:.3g}"
    """A format of the figure."""
    for_all_sizes: bool = False
    """Whether smaller images say something of it."""

    def verdict(self, outcomes: Mapping[str, Outcome], *, is_quick: bool) -> tuple[str, str]:
        """Return the figure and what it says of the goal."""
        own = outcomes.get(self.way)
        is_judged = self.for_all_sizes or not is_quick
        if isinstance(own, Failure):
            if own.text == NOT_THERE_YET:
                return "-", NOT_THERE_YET
            return own.text, _MISSED if is_judged else _NOT_JUDGED
        try:
            figure = self.figure({k: v for k, v in outcomes.items() if isinstance(v, Measured)})
        except KeyError:
            return "-", "not measured"
        shown = self.unit.format(figure)
        if not is_judged:
            return shown, _NOT_JUDGED
        is_met = figure >= self.bound if self.at_least else figure <= self.bound
        return shown, "met" if is_met else _MISSED


def wall_most(way: str, seconds: float) -> Goal:
    """Aim at a process that ends in so many seconds."""
    return Goal(
        way=way,
        text=f"{way} ≤ {seconds:g} s",
        figure=lambda found: found[way].wall,
        bound=seconds,
        unit="{:.3g} s",
    )


def ratio_most(way: str, against: str, times: float) -> Goal:
    """Aim at so many times the wall time of another way."""
    return Goal(
        way=way,
        text=f"{way} ≤ {times:g} x {against}",
        figure=lambda found: found[way].wall / found[against].wall,
        bound=times,
        unit="{:.2f} x",
        for_all_sizes=True,
    )


def ahead_of(way: str, against: str) -> Goal:
    """Aim at less wall time than another way."""
    return replace(ratio_most(way, against, 1), text=f"{way} ahead of {against}")


def memory_most(way: str, megabytes: float) -> Goal:
    """Aim at so much memory at most."""
    return Goal(
        way=way,
        text=f"{way} ≤ {megabytes:g} MB",
        figure=lambda found: found[way].memory / 1e6,
        bound=megabytes,
        unit="{:.0f} MB",
    )


def rate_least(way: str, lookups: int, rate: float) -> Goal:
    """Aim at so many look-ups a second, over the first ones."""
    return Goal(
        way=way,
        text=f"{way} ≥ {rate:,.0f}/s over {lookups:,}",
        figure=lambda found: found[way].printed[f"rate_{lookups}"],
        bound=rate,
        at_least=True,
        unit="{:,.0f}/s",
    )


def extra_ms_most(way: str, over: str, milliseconds: float) -> Goal:
    """Aim at so many milliseconds more than another way."""
    return Goal(
        way=way,
        text=f"{way} ≤ +{milliseconds:g} ms",
        figure=lambda found: 1000 * (found[way].wall - found[over].wall),
        bound=milliseconds,
        unit="{:+.0f} ms",
        for_all_sizes=True,
    )


def ms_most(way: str, milliseconds: float) -> Goal:
    """Aim at so many milliseconds, as the way printed them."""
    return Goal(
        way=way,
        text=f"{way} ≤ {milliseconds:g} ms",
        figure=lambda found: found[way].printed["ms"],
        bound=milliseconds,
        unit="{:.2f} ms",
        for_all_sizes=True,
    )
