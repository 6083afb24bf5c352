"""The table of remote reading, and how it meets the goals."""

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
"""The columns of the table.

Each operation begins with opening the archive, but for two: `second` goes on where `file` ended,
and `start` comes before opening: interpreter, imports and clients.
"""


class Measured(NamedTuple):
    """The cost of one operation, measured once."""

    seconds: float
    requests: int
    bytes: int


@dataclass(slots=True)
class Results:
    """All measurements."""

    cells: defaultdict[tuple[str, str], list[Measured]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Measurements by contender and operation."""
    warm: list[float] = field(default_factory=list)
    """Seconds of each read of a small cached file."""

    def has(self, contender: str, operation: str) -> bool:
        """Return whether the operation was measured."""
        return (contender, operation) in self.cells

    def seconds(self, contender: str, operation: str) -> float:
        """Return the median seconds."""
        return median(each.seconds for each in self.cells[contender, operation])

    def requests(self, contender: str, operation: str) -> float:
        """Return the median number of requests."""
        return median(each.requests for each in self.cells[contender, operation])

    def megabytes(self, contender: str, operation: str) -> float:
        """Return the median megabytes."""
        return median(each.bytes for each in self.cells[contender, operation]) / 1e6

    def spread(self) -> float:
        """Return the spread of the median cell: its middle half of times, by their median."""
        spreads = [0.0]
        for found in self.cells.values():
            if len(found) > 1:
                low, middle, high = quantiles((each.seconds for each in found), n=4)
                spreads.append((high - low) / middle)
        return median(spreads)


def table_lines(results: Results, contenders: Sequence[str]) -> Iterator[str]:
    """Yield the table, a row for each contender, in Markdown."""
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
    """The contenders that the goals compare."""

    product: str
    plain: str
    """The one that reads each file as an object of its own."""
    download: str
    """The one that downloads the archive without reading it."""
    peers: Sequence[str]


def goal_lines(results: Results, goals: Goals) -> Iterator[str]:
    """Yield each goal that was measured and its outcome, in Markdown."""
    yield "| goal | measured | |"
    yield "|---|---|---|"
    for goal, measured, is_met in _outcomes(results, goals):
        yield f"| {goal} | {measured} | {'met' if is_met else '**missed**'} |"


def _outcomes(results: Results, goals: Goals) -> Iterator[tuple[str, str, bool]]:
    product, plain = goals.product, goals.plain
    if results.has(product, "file") and results.has(plain, "file"):
        ratio = results.seconds(product, "file") / results.seconds(plain, "file")
        # Two requests, one after the other: no reader of an archive can take fewer.
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
        goal = "a long file at 80 % of the throughput of a parallel download"
        yield goal, f"{part:.0%}", part >= 0.8
    if results.warm:
        middle, late = median(results.warm), quantiles(results.warm, n=100)[-1]
        measured = f"{middle * 1e3:.2f} ms; 1 in 100 takes longer than {late * 1e3:.2f} ms"
        yield "a cached small file in at most 1 ms", measured, middle <= 1e-3
