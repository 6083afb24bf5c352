"""Runs of whole processes, and what they took."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["NOT_THERE_YET", "ROOT", "Failure", "Run", "numbers_in", "run"]

NOT_THERE_YET = "not there yet"
_UNKNOWN = "unknown"  # what a reader prints for a work that it does not know
ROOT = Path(__file__).resolve().parents[2]
"""Where the commands run, and find `benchmarks`."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a process took, and what it printed."""

    wall: float
    """Seconds from its start to its end."""
    processor: float
    """Seconds of all of its threads, user and system."""
    memory: int
    """Bytes that it had in memory at most."""
    printed: Mapping[str, float]
    """Numbers by their names."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no run."""

    text: str
    """What the table has in its place."""
    reason: str = ""
    """What a line below the table says of it."""


def run(command: Sequence[str], *, is_reader: bool, seconds_max: float) -> Run | Failure:
    """Run a command; kill it after `seconds_max`. Of a reader, its output is read."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output if is_reader else subprocess.DEVNULL,
            stderr=errors,
            cwd=ROOT,
        )
        timer = threading.Timer(seconds_max, _kill, [process.pid])
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if wall >= seconds_max:
            return Failure(f"> {seconds_max:.0f} s")
        said, complained = _text(output), _text(errors).strip()
    if process.returncode:
        return Failure("fails", complained.rpartition("\n")[2])
    if said.strip() == _UNKNOWN:
        return Failure(NOT_THERE_YET)
    processor = usage.ru_utime + usage.ru_stime
    return Run(wall, processor, usage.ru_maxrss << 10, numbers_in(said))


def numbers_in(text: str) -> dict[str, float]:
    """Return the numbers by their names, from lines like `files 3`."""
    pairs = (line.rpartition(" ") for line in text.splitlines())
    return {name: float(number) for name, _, number in pairs}


def _kill(pid: int) -> None:
    # Not Popen.kill, which may wait for the process first, and so take its usage away.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
