"""The endpoint under load, beside `rclone serve s3` over the same files.

    python -m benchmarks endpoint [--quick] [--only ROW] [--connections 64]

Each row alternates between the servers, so that a machine which slows down does so for all. It
shows medians: answers a second (MB/s for streams) and their ratio, latencies, and the processor
time of the server for each answer. nginx has no S3 and no signatures, and serves the plain files:
it is here for orientation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.endpoint.data import BUCKET, make
from benchmarks.endpoint.load import Load, press
from benchmarks.endpoint.servers import SERVERS, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.endpoint.data import Served
    from benchmarks.endpoint.servers import Running

__all__ = ["main"]

_SMALL = (16, 64, 256)
_STREAMS = (4, 16, 64)
_DRAWN = 4000
"""Requests that random ones are drawn from: as many as a script of wrk holds."""
_COLUMNS = (
    *("work", "connections", "server", "a second", "ours : it"),
    *("p50 ms", "p99 ms", "processor µs", "errors"),
)


class Row(NamedTuple):
    """One kind of work."""

    name: str
    connections: tuple[int, ...]
    is_signed: bool = False
    is_stream: bool = False
    needs_s3: bool = False


ROWS = (
    Row("one 2 KB object", _SMALL),
    Row("random 2 KB objects", _SMALL),
    Row("one 2 KB object, signed", _SMALL, is_signed=True, needs_s3=True),
    Row("random 2 KB objects, signed", _SMALL, is_signed=True, needs_s3=True),
    Row("page of 1,000 keys", (16, 64), needs_s3=True),
    Row("64 MiB streams", _STREAMS, is_stream=True),
)


def _targets(row: Row, served: Served) -> list[str]:
    if row.is_stream:
        return [f"/{BUCKET}/{served.large}"]
    if row.name.startswith("page"):
        return [
            f"/{BUCKET}?delimiter=%2F&list-type=2&prefix={served.directory.replace('/', '%2F')}"
        ]
    keys = served.keys if row.name.startswith("random") else served.keys[:1]
    step = max(1, len(keys) // _DRAWN)
    return [f"/{BUCKET}/{key}" for key in keys[::step]]


class _Bench:
    """The servers over one set of files, and how long each is measured."""

    def __init__(self, served: Served, directory: Path, seconds: int, rounds: int) -> None:
        self._served = served
        self._directory = directory
        self._seconds = seconds
        self._rounds = rounds

    def measure(self, row: Row, connections: Sequence[int] | None) -> None:
        """Run the servers for one row, and print a line for each server and load."""
        targets = _targets(row, self._served)
        with ExitStack() as started:
            servers = [
                started.enter_context(
                    running(server, self._served, self._directory, is_signed=row.is_signed)
                )
                for server in SERVERS
                if server.is_there and (server.speaks_s3 or not row.needs_s3)
            ]
            for server in servers:
                self._press(server, row, targets, 16, seconds=self._seconds)  # to fill caches
            for count in connections or row.connections:
                loads: dict[str, list[Load]] = {each.server.name: [] for each in servers}
                for _ in range(self._rounds):
                    for server in servers:
                        load = self._press(server, row, targets, count, seconds=self._seconds)
                        loads[server.server.name].append(load)
                _print(row, count, loads)

    def _press(
        self, server: Running, row: Row, targets: Sequence[str], connections: int, *, seconds: int
    ) -> Load:
        return press(
            server,
            targets,
            self._directory,
            connections=connections,
            seconds=seconds,
            is_signed=row.is_signed,
        )


def _print(row: Row, connections: int, loads: dict[str, list[Load]]) -> None:
    def rate(load: Load) -> float:
        return load.bytes_per_second / 1e6 if row.is_stream else load.per_second

    ours = loads["s3archivefs"]
    for name, runs in loads.items():
        # Pair by pair: what ran side by side is compared.
        ratios = [rate(one) / max(rate(other), 1e-9) for one, other in zip(ours, runs, strict=True)]
        median = {
            field: statistics.median(getattr(load, field) for load in runs)
            for field in ("median_ms", "p99_ms", "processor_us")
        }
        faults = sum(load.faults for load in runs)
        cells = [
            row.name,
            str(connections),
            name,
            f"{statistics.median(map(rate, runs)):,.0f}{' MB' if row.is_stream else ''}",
            "" if name == "s3archivefs" else f"{statistics.median(ratios):.2f}",
            f"{median['median_ms']:.1f}",
            f"{median['p99_ms']:.1f}",
            f"{median['processor_us']:,.0f}",
            str(faults),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure the rows, and print the table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks endpoint",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one run of two seconds each")
    parser.add_argument("--only", metavar="ROW", help="rows whose names contain this")
    parser.add_argument("--connections", type=int, action="append", help="in place of all")
    parser.add_argument("--files", type=int, default=20_000, help="small files (%(default)s)")
    options = parser.parse_args(arguments)
    seconds, rounds = (2, 1) if options.quick else (5, 3)
    processors = len(os.sched_getaffinity(0))
    print(f"{processors} processors, load {os.getloadavg()[0]:.1f} at the start\n")
    print(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(os.path.realpath(name))
        bench = _Bench(make(directory, options.files), directory, seconds, rounds)
        for row in ROWS:
            if options.only is None or options.only in row.name:
                bench.measure(row, options.connections)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main(sys.argv[1:])
