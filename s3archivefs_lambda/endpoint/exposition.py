"""The figures of all workers, as Prometheus reads them."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from s3archivefs_lambda.endpoint.board import VALUES
from s3archivefs_lambda.endpoint.meter import BOUNDS, BUCKETS, WORKER, OfRequests, OfWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from s3archivefs_lambda.endpoint.board import Board

__all__ = ["ALIVE_SECONDS", "Exposition", "overdue_workers"]

ALIVE_SECONDS = 10
"""Seconds after which a worker is overdue. It notes its state twice a second."""

_BY_OPERATION = (
    ("response_bytes", "Bytes of bodies that were handed to connections", OfRequests.BYTES),
    ("s3_requests", "Requests to S3, each attempt of a retried one", OfRequests.S3_REQUESTS),
    ("s3_bytes", "Bytes received from S3", OfRequests.S3_BYTES),
    ("cache_hits", "Chunks found in the cache", OfRequests.CACHE_HITS),
    ("cache_misses", "Chunks fetched from S3", OfRequests.CACHE_MISSES),
    ("broken_responses", "Answers that broke off", OfRequests.BROKEN),
    ("refused_signatures", "Requests refused for their signature", OfRequests.REFUSED),
)
_BY_WORKER = (
    ("connections", "Connections that are open", OfWorker.CONNECTIONS),
    ("requests_in_progress", "Requests being answered", OfWorker.ANSWERS),
    ("requests_waiting", "Of them, those that wait for a thread", OfWorker.WAITING),
    ("open_archives", "Archives kept open", OfWorker.OPEN_ARCHIVES),
    ("open_archives_bytes", "Memory of open archives", OfWorker.OPEN_ARCHIVE_BYTES),
    ("cache_memory_bytes", "Memory of cached chunks", OfWorker.CHUNK_BYTES),
)


class Exposition(Collector):
    """Makes metrics of what is on the board."""

    def __init__(self, board: Board, clock: Callable[[], float]) -> None:
        """`clock` is that of the workers."""
        self._board = board
        self._clock = clock
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def encode(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format that a scraper accepts, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def describe(self) -> list[Metric]:
        """Return nothing: the names are fixed, and nobody else registers any."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        states: list[list[float]] = []
        requests: defaultdict[tuple[str, str], list[float]] = defaultdict(partial(_zeros, VALUES))
        for place in range(self._board.places):
            for name, values in self._board.rows(place):
                if name == WORKER:
                    states.append(values)
                elif any(values):
                    operation, _, status = name.rpartition(" ")
                    row = requests[operation or "none", status if status != "0" else "none"]
                    row[:] = map(sum, zip(row, values, strict=True))
        yield InfoMetricFamily("s3archivefs", "What serves", {"version": version("s3archivefs")})
        yield from _of_requests(requests)
        yield from _of_workers(states, self._clock())


def _zeros(count: int) -> list[float]:
    return [0.0] * count


def _of_requests(requests: dict[tuple[str, str], list[float]]) -> Iterator[Metric]:
    counted = _counter("requests", "Requests by S3's operation and HTTP's status", "status")
    by_operation: defaultdict[str, list[float]] = defaultdict(partial(_zeros, VALUES))
    for (operation, status), values in sorted(requests.items()):
        counted.add_metric([operation, status], sum(values[BUCKETS:]))
        row = by_operation[operation]
        row[:] = map(sum, zip(row, values, strict=True))
    yield counted
    latency = HistogramMetricFamily(
        "s3archivefs_request_duration_seconds",
        "From a request's arrival to the end of its answer",
        labels=["operation"],
    )
    bounds = [*map(str, BOUNDS), "+Inf"]
    for operation, values in by_operation.items():
        total, buckets = 0.0, []
        for bound, count in zip(bounds, values[BUCKETS:], strict=False):
            total += count
            buckets.append((bound, total))
        latency.add_metric([operation], buckets, values[OfRequests.SECONDS])
    yield latency
    for name, doc, at in _BY_OPERATION:
        counter = _counter(name, doc)
        for operation, values in by_operation.items():
            counter.add_metric([operation], values[at])
        yield counter


def _counter(name: str, doc: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"s3archivefs_{name}", doc, labels=["operation", *labels])


def _of_workers(states: list[list[float]], now: float) -> Iterator[Metric]:
    alive = [state for state in states if now - state[OfWorker.LOOKED_AT] < ALIVE_SECONDS]
    yield GaugeMetricFamily("s3archivefs_workers", "Processes that serve", len(alive))
    for name, doc, at in _BY_WORKER:
        yield GaugeMetricFamily(f"s3archivefs_{name}", doc, sum(state[at] for state in alive))
    yield GaugeMetricFamily(
        "s3archivefs_failing_archives",
        "Archives that could not be read when readiness was last asked for",
        max((state[OfWorker.FAILING_ARCHIVES] for state in alive), default=0),
    )
    resident = GaugeMetricFamily(
        "s3archivefs_resident_memory_bytes",
        "Resident memory of each worker; some of it is shared",
        labels=["worker"],
    )
    for number, state in enumerate(states):
        memory = _resident_bytes(int(state[OfWorker.PROCESS]))
        if memory is not None:
            resident.add_metric([str(number)], memory)
    yield resident
    yield CounterMetricFamily(
        "s3archivefs_dropped_log_lines",
        "Lines that were dropped as the log's reader is too slow",
        sum(state[OfWorker.DROPPED_LINES] for state in states),
    )


def _resident_bytes(process: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # it has ended, or this is not Linux
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def overdue_workers(board: Board, now: float) -> list[str]:
    """Return a line about each worker that has begun and does not answer."""
    found = []
    for place in range(board.places):
        state = dict(board.rows(place)).get(WORKER)
        if state is not None and (late := now - state[OfWorker.LOOKED_AT]) >= ALIVE_SECONDS:
            process = int(state[OfWorker.PROCESS])
            found.append(f"worker {place} (process {process}) has not answered for {late:.0f} s")
    return found
