"""Who does a piece of work, and with which command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "PEERS_PYTHON",
    "Setting",
    "Way",
    "describing",
    "extracting",
    "of_peer",
    "of_reader",
    "program",
]

PEERS_PYTHON = "BENCHMARKS_PEERS_PYTHON"
"""The variable that names the Python of the peers' environment."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a command is made of."""

    image: Path
    members: int
    extracted: Path
    """Where to extract the image: in memory, and nothing is there yet."""


@dataclass(frozen=True, slots=True)
class Way:
    """How someone does the work."""

    command: Callable[[Setting], Sequence[str]]
    is_reader: bool = True
    """Whether it prints what it found, as `process` does."""


def of_reader(work: str) -> Way:
    """Return how this project's reader does a work of `ours`."""
    return Way(lambda setting: _process(sys.executable, "ours", work, setting))


def of_peer(module: str, work: str) -> Way:
    """Return how a peer does a work of its module."""
    return Way(lambda setting: _process(os.environ[PEERS_PYTHON], module, work, setting))


def program(text: str, *, of_peers: bool = False) -> Way:
    """Return the way of a Python program that gets the image's path and prints nothing."""

    def command(setting: Setting) -> Sequence[str]:
        python = os.environ[PEERS_PYTHON] if of_peers else sys.executable
        return [python, "-c", text, str(setting.image)]

    return Way(command, is_reader=False)


def extracting() -> Way:
    """Return how unsquashfs extracts, on all processors."""

    def command(setting: Setting) -> Sequence[str]:
        options = ("-quiet", "-no-progress", "-dest", str(setting.extracted))
        return ["unsquashfs", *options, str(setting.image)]

    return Way(command, is_reader=False)


def describing() -> Way:
    """Return how rdsquashfs tells of all inodes."""
    return Way(lambda setting: ["rdsquashfs", "--describe", str(setting.image)], is_reader=False)


def _process(python: str, module: str, work: str, setting: Setting) -> Sequence[str]:
    program = [python, "-m", "benchmarks.reader.process", module, work]
    return [*program, str(setting.image), str(setting.members)]
