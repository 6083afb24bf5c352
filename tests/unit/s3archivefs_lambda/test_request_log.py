"""The lines of the request log, and the metrics in them."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import Any

import pytest

from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.request_log import Exchange, write_bare_lines
from tests.support.aws.emf import metrics_of

TOTAL: tuple[tuple[str, str], ...] = ()


@pytest.fixture(autouse=True)
def stream(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> io.StringIO:
    """What is written of the log."""
    log = logging.getLogger("s3archivefs.requests")
    caplog.set_level(logging.INFO, log.name)
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", log.propagate)
    stream = io.StringIO()
    write_bare_lines(stream)
    return stream


def line_of(exchange: Exchange, stream: io.StringIO) -> str:
    """The one line that the exchange makes."""
    exchange.log()
    written = stream.getvalue()
    assert written.endswith("\n")
    assert written.count("\n") == 1
    return written[:-1]


def answered(status: int = 200, **facts: Any) -> Exchange:  # noqa: ANN401 -- fields of Exchange
    """An exchange that carries metrics."""
    exchange = Exchange(request_id="R1", emf=True, operation="GetObject", key="docs/a", **facts)
    exchange.status = status
    return exchange


def metrics(
    line: str, dimensions: tuple[tuple[str, str], ...] = TOTAL
) -> dict[str, tuple[float, str]]:
    """The metrics with these dimensions: their values and units by name."""
    found = metrics_of(line)
    assert {metric.namespace for metric in found} == {"s3archivefs"}
    return {
        metric.name: (metric.value, metric.unit)
        for metric in found
        if metric.dimensions == dimensions
    }


def test_a_line_says_what_was_asked_and_answered_and_what_it_cost(stream: io.StringIO) -> None:
    exchange = Exchange(request_id="R1", emf=False, method="GET", client="192.0.2.1")
    exchange.arrived = 1795867446.0625
    exchange.access_key_id = "AKIDEXAMPLE"
    exchange.operation = "GetObject"
    exchange.bucket, exchange.key = "archive", "docs/a"
    exchange.status, exchange.bytes_sent = 206, 700
    exchange.usage.archives[Location("s3", "bucket", "linux.sqfs")] = None
    for figure, amount in (("s3_requests", 3), ("s3_bytes", 524384), ("cache_misses", 2)):
        exchange.usage.figures[figure] = amount
    line = json.loads(line_of(exchange, stream))
    assert line["ms"] >= 0
    assert list(line.items()) == [
        ("time", "2026-11-28T12:04:06.062Z"),
        ("operation", "GetObject"),
        ("method", "GET"),
        ("client", "192.0.2.1"),
        ("access_key_id", "AKIDEXAMPLE"),
        ("bucket", "archive"),
        ("key", "docs/a"),
        ("archive", "s3://bucket/linux.sqfs"),
        ("status", 206),
        ("error", None),
        ("bytes", 700),
        ("s3_requests", 3),
        ("s3_bytes", 524384),
        ("cache_hits", 0),
        ("cache_misses", 2),
        ("ms", line["ms"]),
        ("request_id", "R1"),
    ]


def test_what_is_not_known_is_null(stream: io.StringIO) -> None:
    line = json.loads(line_of(Exchange(request_id="R1", emf=False), stream))
    assert (line["operation"], line["key"], line["archive"]) == (None, None, None)
    assert (line["access_key_id"], line["error"]) == (None, None)
    assert line.keys().isdisjoint({"method", "client", "refused"})


def test_a_line_says_what_went_wrong_and_why_a_signature_was_refused(stream: io.StringIO) -> None:
    refused = {"error": "AccessDenied", "refused": "expired at 2026-11-28T12:04:06Z"}
    line = json.loads(line_of(answered(403, **refused), stream))
    assert {name: line[name] for name in refused} == refused


def test_archives_are_named_in_the_order_in_which_they_were_asked(stream: io.StringIO) -> None:
    exchange = Exchange(request_id="R1", emf=False)
    for location in (Location("s3", "b", "z"), Location("file", "", "/a b")):
        exchange.usage.archives[location] = None
    line = json.loads(line_of(exchange, stream))
    assert line["archive"] == "s3://b/z, file:///a%20b"


@pytest.mark.parametrize("key", ['a\nb"\\', "ü\u2028日本", "\udcff", "\0"])
def test_a_line_is_one_line_of_ascii_whatever_the_key(stream: io.StringIO, key: str) -> None:
    line = line_of(Exchange(request_id="R1", emf=False, key=key), stream)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["key"] == key


LONG = 60_000


@pytest.mark.parametrize(
    "character", ["a", "\n", "\0", "\x1b", "\x85", "\u2028", "\udcff", "\U0001f4a9"]
)
@pytest.mark.parametrize("emf", [False, True])
def test_a_line_is_one_line_of_bounded_length_whatever_clients_send(
    stream: io.StringIO, *, character: str, emf: bool
) -> None:
    text = character * LONG
    exchange = Exchange(
        request_id=text, emf=emf, method=text, client="::1", key=text, access_key_id=text
    )
    exchange.refused = text
    exchange.usage.archives = dict.fromkeys(f"s3://bucket/{text}{n}" for n in range(3))
    line = line_of(exchange, stream)
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 6 * 12 * 1024
    read = json.loads(line)
    assert read["key"] == f"{character * 1024}... ({LONG} characters)"
    assert read["access_key_id"] == f"{character * 128}... ({LONG} characters)"


def test_the_time_since_the_request_came_is_in_milliseconds(stream: io.StringIO) -> None:
    line = json.loads(line_of(answered(started=time.monotonic() - 1000), stream))
    assert 1_000_000 <= line["ms"] < 2_000_000


# ---- Metrics -------------------------------------------------------------------------------------


def test_there_are_no_metrics_unless_asked_for(stream: io.StringIO) -> None:
    plain = Exchange(request_id="R1", emf=False, operation="GetObject")
    assert "_aws" not in json.loads(line_of(plain, stream))


def test_the_metrics_are_the_figures_of_the_line(stream: io.StringIO) -> None:
    exchange = answered(bytes_sent=700)
    exchange.usage.figures |= {
        "s3_requests": 3,
        "s3_bytes": 524384,
        "cache_hits": 1,
        "cache_misses": 2,
    }
    line = line_of(exchange, stream)
    by_operation = metrics(line, (("operation", "GetObject"),))
    assert by_operation == {
        "Requests": (1, "Count"),
        "Errors": (0, "Count"),
        "ClientErrors": (0, "Count"),
        "Latency": (json.loads(line)["ms"], "Milliseconds"),
        "BytesOut": (700, "Bytes"),
        "S3Requests": (3, "Count"),
        "S3Bytes": (524384, "Bytes"),
        "CacheHits": (1, "Count"),
        "CacheMisses": (2, "Count"),
    }
    assert metrics(line) == by_operation
    assert len(metrics_of(line)) == 2 * len(by_operation)


def test_but_for_the_metrics_it_is_the_same_line(stream: io.StringIO) -> None:
    exchange = answered()
    line = json.loads(line_of(exchange, stream))
    exchange.emf = False
    stream.seek(0)
    stream.truncate()
    plain = json.loads(line_of(exchange, stream))
    assert [name for name in line if name in plain] == list(plain)
    more = {metric.name for metric in metrics_of(json.dumps(line))} | {"_aws"}
    assert line.keys() - plain.keys() == more


@pytest.mark.parametrize(
    ("status", "client_errors", "errors"),
    [(200, 0, 0), (304, 0, 0), (400, 1, 0), (499, 1, 0), (500, 0, 1), (503, 0, 1)],
)
def test_the_status_tells_whose_error_it_is(
    stream: io.StringIO, status: int, client_errors: int, errors: int
) -> None:
    found = metrics(line_of(answered(status), stream))
    assert (found["ClientErrors"][0], found["Errors"][0]) == (client_errors, errors)


def test_an_answer_that_broke_off_is_an_error_whatever_its_status(stream: io.StringIO) -> None:
    found = metrics(line_of(answered(200, failed=True), stream))
    assert (found["Requests"][0], found["Errors"][0]) == (1, 1)


def test_a_request_of_no_operation_counts_among_all(stream: io.StringIO) -> None:
    exchange = answered(405)
    exchange.operation = None
    line = line_of(exchange, stream)
    assert {metric.dimensions for metric in metrics_of(line)} == {TOTAL}
    assert metrics(line)["ClientErrors"][0] == 1


def test_a_key_of_any_length_leaves_the_document_within_its_size(stream: io.StringIO) -> None:
    exchange = answered()
    exchange.key = "\udcff" * (64 * 1024 // 3)  # %FF each, in a head of 64 KiB
    assert metrics(line_of(exchange, stream))["Requests"][0] == 1
