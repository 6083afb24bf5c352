"""Requests that get no answer of the application's have their line in the request log as well."""

from __future__ import annotations

import json
import logging
import re
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.messages import HttpRefusal, HttpRequest
from s3archivefs_lambda.endpoint.request_pool import RequestPool
from s3archivefs_lambda.endpoint.thread_shares import ThreadShares
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.http_site import (
    SECONDS,
    Clock,
    Site,
    asking_for,
    rest_of,
    statuses,
    until,
)
from tests.support.aws.emf import metrics_of

if TYPE_CHECKING:
    import socket

KEYS = [f"k/{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")


def lines(caplog: pytest.LogCaptureFixture) -> dict[str, dict[str, Any]]:
    """Of each key its only line, while nothing else is logged."""
    assert {record.name for record in caplog.records} == {"s3archivefs.requests"}
    every = [json.loads(record.getMessage()) for record in caplog.records]
    by_key = {line["key"]: line for line in every}
    assert len(every) == len(by_key)
    return by_key


class Busy:
    """A site whose one thread works until it is let go, and requests for `KEYS` that come to it."""

    def __init__(self, opened: ExitStack, **site: Any) -> None:  # noqa: ANN401 -- of Site
        self.go_on = threading.Event()
        shares = ThreadShares(1, local=0, store=1, kept=0)
        self.site = opened.enter_context(Site(pool=RequestPool(shares, max_waiting=8), **site))
        self.site.operations.respond = lambda request: (
            self.go_on.wait(SECONDS),
            self.site.operations.object(request),
        )[1]
        opened.callback(self.go_on.set)
        self.asked: list[socket.socket] = []
        for number, key in enumerate(KEYS, 1):
            asked = opened.enter_context(self.site.socket())
            asked.sendall(asking_for(key))
            self.asked.append(asked)
            if number <= 9:
                until(lambda: self.site.server.answers == number)  # noqa: B023 -- at once


def test_each_request_has_one_line_under_overload(caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as opened:
        busy = Busy(opened)
        refusals = [rest_of(asked) for asked in busy.asked[9:]]
        assert [statuses(refusal) for refusal in refusals] == [[503]] * 3
        for number, left in ((0, 8), (1, 7), (2, 6)):
            busy.asked[number].close()
            until(lambda: busy.site.server.answers == left)  # noqa: B023 -- at once
        busy.go_on.set()
        for asked in busy.asked[3:9]:
            assert statuses(asked.recv(65536)) == [200]
    logged = lines(caplog)
    assert sorted(logged) == sorted(KEYS)
    said = [(logged[key]["status"], logged[key]["error"]) for key in KEYS]
    # The first was under way when its client left: it had an answer, though nobody took it.
    closed, slow_down = (None, "ConnectionClosed"), (503, "SlowDown")
    assert said == [(200, None), closed, closed, *[(200, None)] * 6, *[slow_down] * 3]
    for key, refusal in zip(KEYS[9:], refusals, strict=True):
        head, body = refusal.split(b"\r\n\r\n")
        told = re.search(rb"x-amz-request-id: (\w+)", head)
        assert told
        assert logged[key]["request_id"] == told[1].decode()
        assert logged[key]["bytes"] == len(body)
        assert logged[key]["client"] == "127.0.0.1"


def test_each_request_has_one_line_where_too_many_are_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ExitStack() as opened:
        limits = HttpLimits(answers=9, tick_seconds=0.01)
        busy = Busy(opened, limits=limits)
        assert [statuses(rest_of(asked)) for asked in busy.asked[9:]] == [[503]] * 3
        busy.go_on.set()
        for asked in busy.asked[:9]:
            assert statuses(asked.recv(65536)) == [200]
    logged = lines(caplog)
    assert [logged[key]["status"] for key in KEYS] == [200] * 9 + [503] * 3


def test_each_request_has_one_line_when_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with ExitStack() as opened:
        busy = Busy(opened, clock=clock)
        for asked in busy.asked[9:]:
            assert statuses(rest_of(asked)) == [503]
        stop = threading.Thread(target=busy.site.server.stop)
        stop.start()
        until(busy.site.is_refused)
        clock.now += 8
        until(lambda: busy.site.server.answers == 0)
        busy.go_on.set()
        stop.join()
    logged = lines(caplog)
    assert [logged[key]["status"] for key in KEYS] == [200] + [None] * 8 + [503] * 3


@pytest.mark.parametrize(
    ("refusal", "line", "metrics"),
    [
        (HttpRefusal("R1", 503, "SlowDown", 250), (503, "SlowDown", 250), (1, 0, 250)),
        (None, (None, "ConnectionClosed", 0), (0, 0, 0)),
    ],
    ids=["refused", "closed"],
)
def test_what_was_not_answered_counts(
    caplog: pytest.LogCaptureFixture,
    refusal: HttpRefusal | None,
    line: tuple[int | None, str, int],
    metrics: tuple[int, int, int],
) -> None:
    app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=None, emf=True)
    app(HttpRequest(method="GET", target="/archive/k", client="192.0.2.1")).unanswered(refusal)
    logged = lines(caplog)["k"]
    assert (logged["status"], logged["error"], logged["bytes"]) == line
    assert logged["operation"] is None
    assert refusal is None or logged["request_id"] == refusal.request_id
    values = {each.name: each.value for each in metrics_of(caplog.records[0].getMessage())}
    assert values["Requests"] == 1
    assert (values["Errors"], values["ClientErrors"], values["BytesOut"]) == metrics


def test_a_target_that_names_nothing_has_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=None)
    app(HttpRequest(method="GET", target="/archive/%")).unanswered(None)
    assert lines(caplog).keys() == {None}
