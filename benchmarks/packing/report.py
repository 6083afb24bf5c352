"""The tables of packing."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Mapping

from benchmarks.packing.measuring import Count, Measured
from benchmarks.packing.trees import Tree

__all__ = ["surroundings", "table"]


def table(tree: Tree, rows: Mapping[str, Measured]) -> Iterator[str]:
    """Yield a row for each way to pack, with the cost of reading."""
    names = [operation.name for operation in tree.operations]
    timed = [operation.name for operation in tree.operations if operation.is_timed]
    heads = ["image, MB", "packing, s", "metadata, KB", "opening", *names]
    heads += [f"{name}, ms" for name in timed]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---|{'--:|' * len(heads)}"
    for name, row in rows.items():
        cells = [
            f"{row.image_bytes / 1e6:.1f}",
            f"{row.packing_seconds:.1f}",
            f"{row.metadata_bytes / 1e3:,.0f}",
            _cell(row.opening),
            *(_cell(row.counts[each]) for each in names),
            *(_milliseconds(row.cpu_seconds[each]) for each in timed),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(count: Count) -> str:
    return f"{count.requests:.3g} / {count.bytes / 1e3:,.0f}"


def _milliseconds(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"


def surroundings() -> str:
    """Return the versions of the packers and of Python."""
    lines = []
    for command in (["mksquashfs", "-version"], ["gensquashfs", "--version"]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        lines.append(ran.stdout.splitlines()[0])
    return ", ".join([*lines, f"{platform.python_implementation()} {platform.python_version()}"])
