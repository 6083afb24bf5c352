"""The process in which one contender does its work.

    python -m benchmarks.data.process < TASK

TASK is JSON: `work` (MODULE:FUNCTION), and the fields of `Task`. The function takes the task and a
`Clock`, and does its work in steps:

    def read_all(task: Task, clock: Clock) -> None:
        with clock.step("open"):
            ...
        with clock.step("read") as answer:
            answer["items"] = ...

For each step, standard output tells its start and end, on the clock of time.monotonic(), which all
processes share, the processor time, the memory, and the answer.

This module imports only the standard library.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Clock", "Task", "memory_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to read. Credentials and endpoint come from the standard AWS variables."""

    bucket: str
    directory: str
    """An empty directory, for caches and notes."""
    parameters: dict[str, Any]
    """The story's, and the contender's own."""


class Clock:
    """Measures steps."""

    def __init__(self) -> None:
        self.done: list[dict[str, Any]] = []
        """What is told of each step."""

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Measure what is done within; it may fill in the answer.

        Children count once they have ended. Where a step begins later or ends earlier, where its
        children took time that is not the step's, or where one has more memory than this process,
        the answer has `start`, `end`, `processor` to add, and `memory`, which are taken out of it.
        """
        answer: dict[str, Any] = {}
        start, before = time.monotonic(), _processor()
        yield answer
        end, after = time.monotonic(), _processor()
        self.done.append(
            {
                "name": name,
                "start": answer.pop("start", start),
                "end": answer.pop("end", end),
                "processor": after - before + answer.pop("processor", 0),
                "memory": max(answer.pop("memory", 0), memory_of(os.getpid())),
                "answer": answer,
            }
        )


def memory_of(process: int) -> int:
    """Return the bytes that a process has had at most; 0 once it has ended.

    `getrusage` would count what its parent had when it was started.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    known = status.partition("VmHWM:")[2].split()
    return int(known[0]) << 10 if known else 0


def _processor() -> float:
    return sum(os.times()[:4])


def main() -> None:
    """Do the work of the task, and tell what it took."""
    task = json.load(sys.stdin)
    module, _, name = task.pop("work").partition(":")
    clock = Clock()
    with redirect_stdout(io.StringIO()):  # libraries may print there
        getattr(importlib.import_module(module), name)(Task(**task), clock)
    json.dump(clock.done, sys.stdout)


if __name__ == "__main__":
    main()
