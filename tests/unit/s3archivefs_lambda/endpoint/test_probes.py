"""Probes on the port of S3, and the operators' port."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.hosts import Hosts
from s3archivefs_lambda.endpoint.probes import OperatorsApp, WithProbes
from s3archivefs_lambda.endpoint.server import S3HttpServer
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.http_site import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s3archivefs_lambda.endpoint.messages import HttpApplication


@dataclass
class Known:
    """What is known of the archives."""

    is_ready: bool = True
    failing: Mapping[str, str] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)

    def look(self, wait_seconds: float = 0) -> Known:
        self.waited.append(wait_seconds)
        return self


class Answered(NamedTuple):
    status: int
    body: str
    kind: str


def ask(url: str, target: str, method: str = "GET", **headers: str) -> Answered:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)) as client:
        client.request(method, target, headers=headers)
        with client.getresponse() as response:
            kind = response.headers["Content-Type"]
            return Answered(response.status, response.read().decode(), kind)


@contextmanager
def serving(app: HttpApplication) -> Iterator[str]:
    with S3HttpServer(app, port=0) as server:
        yield server.url


# ---- On the port of S3 ---------------------------------------------------------------------------


@pytest.fixture
def known() -> Known:
    return Known(failing={"s3://secret/name": "why"})


@pytest.fixture
def url(known: Known, operations: FakeOperations) -> Iterator[str]:
    verifier = Verifier(AccessKeys([AccessKey("ID", "secret-of-it")]))
    hosts = Hosts(["s3.example.com"])
    app = make_app({"archive": ServedBucket(operations)}, verifier=verifier, hosts=hosts)
    with serving(WithProbes(app, hosts, known)) as url:
        yield url


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/-/healthy", "/-/ready", "/-/ready?x=1"])
def test_probes_are_answered_unsigned_with_a_word(
    url: str, known: Known, method: str, target: str
) -> None:
    body = "ok\n" if method == "GET" else ""
    kind = "text/plain; charset=utf-8"
    assert ask(url, target, method, Host="10.0.0.7:9000") == (200, body, kind)
    assert ask(url, target, method, Host="s3.example.com") == (200, body, kind)
    known.is_ready = False
    expected = (200, body, kind) if "healthy" in target else (503, body and "not ready\n", kind)
    assert ask(url, target, method) == expected
    assert set(known.waited) <= {0}  # the event loop never waits


@pytest.mark.parametrize("target", ["/-/", "/-/other", "/-", "/-/healthy/x", "/-/Healthy"])
def test_whatever_else_begins_so_is_no_probe(url: str, target: str) -> None:
    answered = ask(url, target)
    assert answered.status == 404
    assert "<Code>NoSuchBucket</Code>" in answered.body


def test_in_a_bucket_that_the_host_names_it_is_an_object(url: str) -> None:
    assert ask(url, "/-/healthy", Host="archive.s3.example.com").status == 403
    assert ask(url, "/archive/-/healthy").status == 403


def test_no_other_method_is_a_probe(url: str) -> None:
    assert ask(url, "/-/healthy", "DELETE").status >= 400


# ---- On the operators' port ----------------------------------------------------------------------


@dataclass
class Port:
    known: Known
    overdue: list[str] = field(default_factory=list)

    def app(self, hosts: Hosts | None = None) -> OperatorsApp:
        return OperatorsApp(
            self.known,
            metrics=lambda accept: (b"figures", f"text/x; of={accept}"),
            overdue=lambda: self.overdue,
            hosts=hosts,
        )


def test_readiness_names_what_fails_and_waits_for_the_first_check(known: Known) -> None:
    with serving(Port(known).app()) as url:
        status, body, kind = ask(url, "/-/ready")
        assert (status, kind) == (200, "application/json")
        assert json.loads(body) == {"ready": True, "failing": {"s3://secret/name": "why"}}
        assert known.waited[-1] > 0
        known.is_ready = False
        assert ask(url, "/-/ready").status == 503
        assert json.loads(ask(url, "/-/ready").body)["ready"] is False


def test_one_that_stops_is_not_ready(known: Known) -> None:
    app = Port(known).app()
    with serving(app) as url:
        app.is_stopping = True
        status, body, _ = ask(url, "/-/ready")
    assert status == 503
    assert json.loads(body)["stopping"] is True


def test_workers_that_do_not_answer_are_not_healthy(known: Known) -> None:
    port = Port(known)
    with serving(port.app()) as url:
        assert ask(url, "/-/healthy")[:2] == (200, "ok\n")
        port.overdue.append("worker 1 has not answered")
        assert ask(url, "/-/healthy")[:2] == (503, "worker 1 has not answered\n")


def test_metrics_are_in_the_format_that_is_accepted(known: Known) -> None:
    with serving(Port(known).app()) as url:
        assert ask(url, "/metrics", Accept="y") == (200, "figures", "text/x; of=y")
        assert ask(url, "/metrics", "HEAD").body == ""
        assert ask(url, "/metrics", "POST").status == 405
        assert ask(url, "/elsewhere").status == 404


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "a" * 999])
def test_on_loopback_no_page_can_read_it_by_another_name(known: Known, host: str) -> None:
    with serving(Port(known).app(Hosts())) as url:
        for target in ("/metrics", "/-/ready", "/-/healthy"):
            assert ask(url, target, Host=host).status == 403
            assert ask(url, target, Host="localhost:1").status == 200
