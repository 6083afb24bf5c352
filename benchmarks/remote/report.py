"""What remote reading took, as tables and held against the goals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import NamedTuple

__all__ = ["OPERATIONS", "Goals", "Measured", "Results", "goal_lines", "table_lines"]

OPERATIONS = {
    "open": "open",
    "file": "2 KB file, cold",
    "second": "second file, warm",
    "range": "64 KiB of 16 MB",
    "list20": "list 20",
    "list5000": "list 5,000",
    "many": "200 files",
    "long": "200 MB",
    "start": "process start",
}
"""Each begins with opening the archive, but for `second`, which goes on where `file` ended. The
last comes before that: the interpreter, imports and clients.
"""


class Measured(NamedTuple):
    """One operation, once."""

    seconds: float
    requests: int
    bytes: int


@dataclass(slots=True)
class Results:
    """All that was measured."""

    cells: defaultdict[tuple[str, str], list[Measured]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By contender and operation."""
    warm: list[float] = field(default_factory=list)
    """Seconds of each read of a small file that is cached."""

    def has(self, contender: str, operation: str) -> bool:
        """Whether that was measured."""
        return (contender, operation) in self.cells

    def seconds(self, contender: str, operation: str) -> float:
        """The median."""
        return median(each.seconds for each in self.cells[contender, operation])

    def requests(self, contender: str, operation: str) -> float:
        """The median."""
        return median(each.requests for each in self.cells[contender, operation])

    def megabytes(self, contender: str, operation: str) -> float:
        """The median."""
        return median(each.bytes for each in self.cells[contender, operation]) / 1e6

    def spread(self) -> float:
        """How far the middle half of a cell's times lies apart, as a part of their median: of the
        median cell.
        """
        spreads = [0.0]
        for found in self.cells.values():
            if len(found) > 1:
                low, middle, high = quantiles((each.seconds for each in found), n=4)
                spreads.append((high - low) / middle)
        return median(spreads)


def table_lines(results: Results, contenders: Sequence[str]) -> Iterator[str]:
    """Operations by contenders, in Markdown."""
    yield f"| | {' | '.join(OPERATIONS.values())} |"
    yield f"|---|{'---|' * len(OPERATIONS)}"
    for name in contenders:
        cells = [_cell(results, name, operation) for operation in OPERATIONS]
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(results: Results, contender: str, operation: str) -> str:
    if not results.has(contender, operation):
        return "-"
    milliseconds = f"{results.seconds(contender, operation) * 1e3:,.0f}"
    if operation == "start":
        return milliseconds
    requests = results.requests(contender, operation)
    return f"{milliseconds} / {requests:.0f} / {results.megabytes(contender, operation):.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goals:
    """Who is held against whom."""

    product: str
    plain: str
    """Each file as an object of its own."""
    download: str
    """The archive, unread."""
    peers: Sequence[str]


def goal_lines(results: Results, goals: Goals) -> Iterator[str]:
    """What was aimed at and what came of it, in Markdown, as far as it was measured."""
    yield "| goal | measured | |"
    yield "|---|---|---|"
    for goal, measured, is_met in _outcomes(results, goals):
        yield f"| {goal} | {measured} | {'met' if is_met else '**missed**'} |"


def _outcomes(results: Results, goals: Goals) -> Iterator[tuple[str, str, bool]]:
    product, plain = goals.product, goals.plain
    if results.has(product, "file") and results.has(plain, "file"):
        ratio = results.seconds(product, "file") / results.seconds(plain, "file")
        # What the second of two requests that depend on each other adds, whoever makes them.
        two = 1 + results.seconds(plain, "second") / results.seconds(plain, "file")
        measured = f"{ratio:.2f} x (two plain objects, one after the other: {two:.2f} x)"
        yield "a cold small file in at most 1.75 x a plain object", measured, ratio <= 1.75
    peers = [peer for peer in goals.peers if results.has(peer, "file")]
    if results.has(product, "file") and peers:
        best = min(peers, key=lambda peer: results.seconds(peer, "file"))
        times = results.seconds(product, "file"), results.seconds(best, "file")
        measured = f"{times[0] * 1e3:.0f} ms; {best} {times[1] * 1e3:.0f} ms"
        yield "ahead of every peer in that", measured, times[0] < times[1]
    if results.has(product, "many") and results.has(plain, "many"):
        ratio = results.seconds(plain, "many") / results.seconds(product, "many")
        yield "200 small files in 1/12 of plain objects' time", f"1/{ratio:.1f}", ratio >= 12
        requests = results.requests(product, "many")
        yield "in at most 3 requests", f"{requests:.0f}", requests <= 3
    if results.has(product, "long") and results.has(goals.download, "long"):
        part = results.seconds(goals.download, "long") / results.seconds(product, "long")
        goal = "a long file at 90 % of the throughput of a parallel download"
        yield goal, f"{part:.0%}", part >= 0.9
    if results.warm:
        middle, late = median(results.warm), quantiles(results.warm, n=100)[-1]
        measured = f"{middle * 1e3:.2f} ms; 1 in 100 takes longer than {late * 1e3:.2f} ms"
        yield "a cached small file in at most 1 ms", measured, middle <= 1e-3
