"""What the readers took, as tables, and held against the goals."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.reader.figures import Measured, Outcome
from benchmarks.reader.images import FULL, Sizes
from benchmarks.reader.rows import COLUMNS, Row
from benchmarks.reader.runs import Failure

__all__ = ["goal_lines", "setting_lines", "table_lines", "version_lines"]

_CODECS = ("deflate", "lz4", "zstandard", "construct")
_PEERS = ("PySquashfsImage", "dissect.squashfs", "zstandard")
_TOOLS = (["mksquashfs", "-version"], ["unsquashfs", "-version"], ["rdsquashfs", "--version"])


def setting_lines(sizes: Sizes, repetitions: int) -> Iterator[str]:
    """Tell what was read, and how often."""
    yield (
        f"*source* is {sizes.source:,} files, *million* {sizes.million // 1000:,} directories of"
        f" 1,000 files, *flat* one directory of {sizes.flat:,}. Whole processes, their start"
        f" included: wall / processor / memory, medians of {repetitions}, or of more where they are"
        " short; what takes more than 20 s ran once."
    )
    if sizes is not FULL:
        yield ""
        yield (
            "**Quick**: the images are smaller than those that the goals speak of, and the start of"
            " a process weighs more. Goals that depend on the size are not judged."
        )


def table_lines(
    rows: Mapping[str, Row],
    outcomes: Mapping[str, Mapping[str, Outcome]],
    columns: Sequence[str] = COLUMNS,
) -> Iterator[str]:
    """Show rows by columns, and below them why a reader failed."""
    yield f"| | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    reasons = []
    for name, row in rows.items():
        found = outcomes[name]
        measured = {way: each for way, each in found.items() if isinstance(each, Measured)}
        cells = []
        for column in columns:
            each = found.get(column)
            if isinstance(each, Measured):
                cells.append(row.cells[column](each, measured))
            elif isinstance(each, Failure):
                cells.append(each.text)
                reasons += [f"- {column}, {row.title}: {each.reason}"] * bool(each.reason)
            else:
                cells.append("-")
        yield f"| {row.title} | {' | '.join(cells)} |"
    if reasons:
        yield from ("", *reasons)


def goal_lines(
    rows: Mapping[str, Row], outcomes: Mapping[str, Mapping[str, Outcome]], *, is_quick: bool
) -> Iterator[str]:
    """Show what was aimed at, and what came of it."""
    yield "| work | goal | measured | |"
    yield "|---|---|---|---|"
    for name, row in rows.items():
        for goal in row.goals:
            figure, verdict = goal.verdict(outcomes[name], is_quick=is_quick)
            yield f"| {row.title} | {goal.text} | {figure} | {verdict} |"


def version_lines(peers_python: str) -> Iterator[str]:
    """Tell what the figures depend on."""
    model = re.search(
        r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("ascii"), re.MULTILINE
    )
    yield f"- {model[1] if model else platform.machine()}, {os.cpu_count()} processors"
    own = [f"{name} {version(name)}" for name in _CODECS if _is_installed(name)]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    yield f"- {', '.join([python, *own])}"
    yield f"- {_peer_versions(peers_python)}"
    ran = [subprocess.run(tool, capture_output=True, text=True, check=False) for tool in _TOOLS]
    yield f"- {', '.join((each.stdout or each.stderr).splitlines()[0] for each in ran)}"


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _peer_versions(python: str) -> str:
    program = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    command = [python, "-c", program, *_PEERS]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return "peers: " + ", ".join(map(" ".join, zip(_PEERS, found, strict=True)))
