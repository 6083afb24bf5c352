"""The tables of listings, held against the goal."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.listing.measuring import Measured
from benchmarks.listing.pages import PLACES
from benchmarks.listing.process import peak_memory

__all__ = ["report", "surroundings"]

_GOAL = 1.2
"""The most that a page may cost, as a multiple of another page.

That is one of the largest archive beside the smallest, and the last page beside the first.
"""


def report(measured: Sequence[Measured]) -> Iterator[str]:
    """Yield a table for each kind of listing, with the goal, in Markdown."""
    for listing in dict.fromkeys(each.listing for each in measured):
        found = [each for each in measured if each.listing == listing]
        yield f"### {listing.name.capitalize()}"
        yield ""
        yield f"| {' | '.join(_COLUMNS)} |"
        yield "|--:" * len(_COLUMNS) + "|"
        for each in found:
            yield _row(each)
        smallest, largest = found[0], found[-1]
        if smallest is not largest:
            yield ""
            yield f"{largest.members:,} members against {smallest.members:,}: " + ", ".join(
                f"{place} page {_held(largest.milliseconds(place), smallest.milliseconds(place))}"
                for place in largest.warm
                if place in smallest.warm
            )
        yield ""


_COLUMNS = (
    "members",
    "first page",
    "middle",
    "last",
    "last / first",
    "reads, at first",
    "again",
    "memory",
)


def _row(each: Measured) -> str:
    times = [f"{each.milliseconds(place):.1f} ms" if place in each.warm else "" for place in PLACES]
    ratio = ""
    if "last" in each.warm:
        ratio = _held(each.milliseconds("last"), each.milliseconds("first"))
    new = max(cost.reads for cost in each.cold.values())
    again = max(cost.reads for costs in each.warm.values() for cost in costs)
    memory = f"{each.memory / 1e6:.0f} MB"
    cells = (f"{each.members:,}", *times, ratio, f"{new:,}", f"{again:,}", memory)
    return f"| {' | '.join(cells)} |"


def _held(cost: float, against: float) -> str:
    """Return a ratio, marked where it misses the goal."""
    ratio = cost / against
    return f"{ratio:.2f}" + ("" if ratio <= _GOAL else " (missed)")


def surroundings() -> Iterator[str]:
    """Yield what the figures depend on: processor, Python, packer, memory at the start."""
    tool = subprocess.run(["mksquashfs", "-version"], capture_output=True, text=True, check=False)
    model = re.search(
        r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("ascii"), re.MULTILINE
    )
    yield f"- {model[1] if model else platform.machine()}, {os.cpu_count()} processors"
    yield f"- {platform.python_implementation()} {platform.python_version()}"
    yield f"- {tool.stdout.splitlines()[0]}"
    yield f"- {peak_memory() / 1e6:.0f} MB of each process's memory are Python and what it imports"
