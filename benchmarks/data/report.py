"""The tables of a story."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence

from benchmarks.data.story import Contender, Figures, Goal, Story

__all__ = ["costs", "goal_lines", "memory", "rate", "table_lines", "version_line"]

_DISTRIBUTIONS = (
    *("torch", "webdataset", "fsspec", "s3fs", "squashfsspec", "dissect.squashfs", "zarr"),
    *("xarray", "dask", "duckdb", "pyarrow", "polars"),
)


def table_lines(story: Story, figures: Figures, contenders: Sequence[Contender]) -> Iterator[str]:
    """Yield a row for each contender, and below why some failed."""
    yield f"| | {' | '.join(column.title for column in story.columns)} |"
    yield f"|---|{'---|' * len(story.columns)}"
    for contender in contenders:
        cells = [
            column.cell(figures, contender.name, column.step)
            if figures.has(contender.name, column.step)
            else "-"
            for column in story.columns
        ]
        yield f"| {contender.name} | {' | '.join(cells)} |"
    if figures.failures:
        yield ""
        for name, reason in figures.failures.items():
            yield f"- {name}: {reason}"


def goal_lines(goals: Sequence[Goal], figures: Figures, *, is_quick: bool) -> Iterator[str]:
    """Yield what was aimed at, and what came of it."""
    yield "| goal | measured | |"
    yield "|---|---|---|"
    for goal in goals:
        figure, verdict = goal.verdict(figures, is_quick=is_quick)
        yield f"| {goal.text} | {figure} | {verdict} |"


def costs(figures: Figures, contender: str, step: str) -> str:
    """Return wall, processor, requests and bytes as a cell."""

    def of(name: str) -> float:
        return figures.median(contender, step, lambda cost: getattr(cost, name))

    return (
        f"{of('wall'):.3g} s / {of('processor'):.3g} s / {of('requests'):,.0f}"
        f" / {of('bytes') / 1e6:,.3g} MB"
    )


def memory(figures: Figures, contender: str, step: str) -> str:
    """Return the memory of the largest process as a cell."""
    return f"{figures.median(contender, step, lambda cost: cost.memory) / 1e6:,.0f} MB"


def rate(figures: Figures, contender: str, step: str) -> str:
    """Return items a second as a cell."""
    return f"{figures.rate(contender, step):,.0f}/s"


def version_line(python: str) -> str:
    """Tell which versions were measured."""
    program = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    command = [python, "-c", program, *_DISTRIBUTIONS]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return ", ".join(f"{name} {each}" for name, each in zip(_DISTRIBUTIONS, found, strict=True))
