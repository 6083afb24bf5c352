"""What a worker adds to the board: each request that ends, and its own state."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs_lambda.endpoint.board import Board
    from s3archivefs_lambda.request_log import Exchange

__all__ = ["BOUNDS", "BUCKETS", "WORKER", "Meter", "OfRequests", "OfWorker", "WorkerState"]

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds: the upper bounds of the histogram's buckets; one more has what takes longer."""


class OfRequests(IntEnum):
    """The numbers in a row of requests, which have operation and status in common."""

    BYTES = 0
    S3_REQUESTS = 1
    S3_BYTES = 2
    CACHE_HITS = 3
    CACHE_MISSES = 4
    REFUSED = 5
    BROKEN = 6
    SECONDS = 7


BUCKETS = len(OfRequests)
"""Where the counts of the histogram begin; together, they are the requests."""

WORKER = "worker"
"""The name of the row with a worker's state."""


class OfWorker(IntEnum):
    """The numbers in that row."""

    PROCESS = 0
    LOOKED_AT = 1
    DROPPED_LINES = 2
    CONNECTIONS = 3
    ANSWERS = 4
    WAITING = 5
    OPEN_ARCHIVES = 6
    OPEN_ARCHIVE_BYTES = 7
    CHUNK_BYTES = 8
    FAILING_ARCHIVES = 9


class WorkerState(NamedTuple):
    """The state of a worker: the numbers after the first three, in their order."""

    connections: int
    answers: int
    waiting: int
    open_archives: int
    open_archive_bytes: int
    chunk_bytes: int
    failing_archives: int


class Meter:
    """Counts one worker's requests, and notes its state. Thread-safe once it has begun."""

    def __init__(self, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is one that all processes share."""
        self._board = board
        self._clock = clock

    def begin(self, place: int) -> None:
        """Count in this place from now on; after the fork."""
        self._place = place
        self._lock = threading.Lock()
        self._rows: dict[tuple[str | None, int], memoryview[float]] = {}
        self._state = self._board.row(place, WORKER)
        self._state[OfWorker.PROCESS] = os.getpid()
        self._state[OfWorker.LOOKED_AT] = self._clock()
        self._dropped = 0

    def count(self, exchange: Exchange, seconds: float) -> None:
        """Count a request that has ended, after so many seconds."""
        kind = exchange.operation, exchange.status
        row = self._rows.get(kind) or self._new_row(kind)
        figures = exchange.usage.figures
        with self._lock:
            row[BUCKETS + bisect_left(BOUNDS, seconds)] += 1
            row[7] += seconds
            row[0] += exchange.bytes_sent
            if number := figures["s3_requests"]:
                row[1] += number
                row[2] += figures["s3_bytes"]
            if number := figures["cache_hits"]:
                row[3] += number
            if number := figures["cache_misses"]:
                row[4] += number
            if exchange.refused is not None:
                row[5] += 1
            if exchange.failed:
                row[6] += 1

    def _new_row(self, kind: tuple[str | None, int]) -> memoryview[float]:
        operation, status = kind
        with self._lock:  # so that no other thread takes the same row
            row = self._rows[kind] = self._board.row(self._place, f"{operation or ''} {status}")
        return row

    def note(self, state: WorkerState, dropped_lines: int) -> None:
        """Note the worker's state, and how many lines of its log were dropped so far."""
        row = self._state
        row[OfWorker.DROPPED_LINES] += dropped_lines - self._dropped
        self._dropped = dropped_lines
        for number, value in enumerate(state, OfWorker.CONNECTIONS):
            row[number] = value
        row[OfWorker.LOOKED_AT] = self._clock()
