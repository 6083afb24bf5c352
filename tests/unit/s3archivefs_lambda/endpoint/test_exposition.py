"""The figures of all workers, as Prometheus reads them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from s3archivefs_lambda.endpoint.board import Board
from s3archivefs_lambda.endpoint.exposition import ALIVE_SECONDS, Exposition, overdue_workers
from s3archivefs_lambda.endpoint.meter import Meter, WorkerState
from s3archivefs_lambda.request_log import Exchange
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

IDLE = WorkerState(0, 0, 0, 0, 0, 0, 0)


def meters(count: int, clock: Clock) -> tuple[Board, list[Meter]]:
    """The board, and who would write on it in processes of their own."""
    board = Board(count)
    found = [Meter(board, clock) for _ in range(count)]
    for place, meter in enumerate(found):
        meter.begin(place)
    return board, found


def exchange(operation: str | None = "GetObject", status: int = 200, **figures: int) -> Exchange:
    made = Exchange(request_id="R", emf=False, operation=operation, status=status)
    made.usage.figures.update(figures)
    return made


def samples(board: Board, clock: Clock) -> dict[tuple[str, str], float]:
    """The values, by name and by those of the labels."""
    text, _ = Exposition(board, clock).encode("")
    return {
        (sample.name.removeprefix("s3archivefs_"), labels_of(sample.labels)): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def labels_of(labels: Mapping[str, str]) -> str:
    return " ".join(value for _, value in sorted(labels.items()))


def test_the_requests_of_all_workers_add_up() -> None:
    board, (one, other) = meters(2, clock := Clock())
    for meter, seconds in ((one, 0.0004), (other, 0.003), (other, 100.0)):
        meter.count(exchange(s3_requests=1, s3_bytes=500, cache_hits=2, cache_misses=3), seconds)
    other.count(exchange(status=404), 0.001)
    other.count(exchange("ListObjectsV2"), 0.02)
    found = samples(board, clock)
    assert found["requests_total", "GetObject 200"] == 3
    assert found["requests_total", "GetObject 404"] == 1
    assert found["requests_total", "ListObjectsV2 200"] == 1
    assert found["s3_requests_total", "GetObject"] == 3
    assert found["s3_bytes_total", "GetObject"] == 1500
    assert found["cache_hits_total", "GetObject"] == 6
    assert found["cache_misses_total", "GetObject"] == 9
    buckets = {le: found["request_duration_seconds_bucket", f"{le} GetObject"] for le in (
        "0.001", "0.0025", "0.005", "30.0", "+Inf"
    )}  # fmt: skip
    assert buckets == {"0.001": 2, "0.0025": 2, "0.005": 3, "30.0": 3, "+Inf": 4}
    assert found["request_duration_seconds_count", "GetObject"] == 4
    assert abs(found["request_duration_seconds_sum", "GetObject"] - 100.0044) < 1e-6


def test_bytes_broken_answers_and_refused_signatures_are_counted() -> None:
    board, (meter,) = meters(1, clock := Clock())
    broken = exchange()
    broken.bytes_sent, broken.failed = 70, True
    meter.count(broken, 1)
    refused = exchange(None, 403)
    refused.refused = "not signed"
    meter.count(refused, 1)
    meter.count(exchange(None, 0), 1)  # its client left
    found = samples(board, clock)
    assert found["response_bytes_total", "GetObject"] == 70
    assert found["broken_responses_total", "GetObject"] == 1
    assert found["refused_signatures_total", "none"] == 1
    assert found["requests_total", "none 403"] == 1
    assert found["requests_total", "none none"] == 1


def test_the_states_of_all_workers_that_answer_add_up() -> None:
    board, (one, other) = meters(2, clock := Clock())
    one.note(WorkerState(1, 2, 3, 4, 5, 6, 7), dropped_lines=1)
    other.note(WorkerState(10, 20, 30, 40, 50, 60, 0), dropped_lines=2)
    found = samples(board, clock)
    names = ["connections", "requests_in_progress", "requests_waiting", "open_archives"]
    names += ["open_archives_bytes", "cache_memory_bytes"]
    assert [found[name, ""] for name in names] == [11, 22, 33, 44, 55, 66]
    assert found["failing_archives", ""] == 7  # as the worker knows that looked
    assert found["workers", ""] == 2
    assert found["dropped_log_lines_total", ""] == 3
    assert found["resident_memory_bytes", "0"] > 1 << 20
    clock.now += ALIVE_SECONDS
    one.note(WorkerState(1, 2, 3, 4, 5, 6, 7), dropped_lines=5)
    found = samples(board, clock)
    assert found["workers", ""] == 1
    assert found["connections", ""] == 1
    assert found["dropped_log_lines_total", ""] == 7


def test_a_worker_that_takes_anothers_place_goes_on_counting() -> None:
    board, (first,) = meters(1, clock := Clock())
    first.count(exchange(), 1)
    first.note(IDLE, dropped_lines=4)
    second = Meter(board, clock)
    second.begin(0)
    second.count(exchange(), 1)
    second.note(IDLE, dropped_lines=1)
    found = samples(board, clock)
    assert found["requests_total", "GetObject 200"] == 2
    assert found["dropped_log_lines_total", ""] == 5


def test_a_worker_that_does_not_note_its_state_is_told_of() -> None:
    board, (one, _) = meters(2, clock := Clock())
    clock.now += ALIVE_SECONDS - 1
    one.note(IDLE, 0)
    assert overdue_workers(board, clock.now) == []
    clock.now += 1
    (line,) = overdue_workers(board, clock.now)
    assert line == f"worker 1 (process {os.getpid()}) has not answered for 10 s"


def test_a_worker_that_has_not_begun_is_not_overdue() -> None:
    assert overdue_workers(Board(3), 1e9) == []


def test_a_scraper_gets_the_format_that_it_accepts() -> None:
    board, (meter,) = meters(1, clock := Clock())
    meter.count(exchange(), 1)
    exposition = Exposition(board, clock)
    text, kind = exposition.encode("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    names = {family.name for family in open_metrics(text.decode())}  # type: ignore[no-untyped-call]
    assert {"s3archivefs_requests", "s3archivefs_request_duration_seconds"} <= names
    assert exposition.encode("*/*")[1].startswith("text/plain; version=0.0.4")
