"""Runs the contenders of a story in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.data.story import Contender, Cost, Figures, Made, Story
from benchmarks.remote.store import Store

__all__ = ["measure", "say"]

_ROOT = Path(__file__).resolve().parents[2]
_OPERATOR_SETTINGS = ("AWS_", "S3ARCHIVEFS_", "FSSPEC_", "DASK_")


def measure(
    story: Story,
    made: Made,
    store: Store,
    python: str,
    *,
    repetitions: int,
    contenders: Iterable[Contender],
) -> Figures:
    """Return what the contenders took, each so often."""
    figures = Figures()
    for repetition in range(repetitions):
        for contender in contenders:
            if contender.name in figures.failures or (contender.once and repetition):
                continue
            say(f"{contender.name}, {repetition + 1} of {repetitions}")
            store.forget()
            done = _done(story, contender, made, store, python)
            if isinstance(done, str):
                say(f"  {done}")
                figures.failures[contender.name] = done
                continue
            requests = store.requests()
            for step in done:
                wrong = _difference(step["answer"], made.expected.get(step["name"], {}))
                if wrong:
                    figures.failures[contender.name] = f"{step['name']}: {wrong}"
                    say(f"  {step['name']}: {wrong}")
                    continue
                asked = [each for each in requests if step["start"] <= each["start"] < step["end"]]
                cost = Cost(
                    wall=step["end"] - step["start"],
                    processor=step["processor"],
                    memory=step["memory"],
                    requests=len(asked),
                    bytes=sum(each["bytes"] for each in asked),
                    answer=step["answer"],
                )
                say(f"  {step['name']}: {_shown(cost)}")
                figures.add(contender.name, step["name"], cost)
    return figures


def _done(
    story: Story, contender: Contender, made: Made, store: Store, python: str
) -> list[dict[str, Any]] | str:
    """Return what a process tells, or why it tells nothing."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(_OPERATOR_SETTINGS)
    }
    # In memory where possible: the disk is not what is measured.
    memory = Path("/dev/shm")  # noqa: S108 -- a private directory in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as empty:
        task = {
            "work": contender.work,
            "bucket": store.bucket,
            "directory": empty,
            "parameters": {**made.parameters, **contender.options},
        }
        own = {"S3ARCHIVEFS_CACHE_DIR": f"{empty}/cache", "PYTHONPATH": str(_ROOT)}
        try:
            process = subprocess.run(
                [python, "-W", "ignore", "-m", "benchmarks.data.process"],
                input=json.dumps(task),
                capture_output=True,
                text=True,
                cwd=_ROOT,
                env=environ | store.environ() | own,
                timeout=story.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"more than {story.timeout} s"
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        print(process.stderr, file=sys.stderr)
        return lines[-1] if lines else f"exit status {process.returncode}"
    done: list[dict[str, Any]] = json.loads(process.stdout)
    return done


def _difference(answer: dict[str, Any], expected: Any) -> str:  # noqa: ANN401 -- JSON
    """Return what of an answer is not as it must be; nothing if all is."""
    for name, value in expected.items():
        if name in answer and answer[name] != value:
            return f"{name} is {answer[name]!r}, not {value!r}"
    return ""


def _shown(cost: Cost) -> str:
    return (
        f"{cost.wall:.2f} s, processor {cost.processor:.2f} s, {cost.memory / 1e6:.0f} MB,"
        f" {cost.requests} requests, {cost.bytes / 1e6:.2f} MB, {dict(cost.answer)}"
    )


def say(what: str) -> None:
    """Tell who waits what is being done."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
