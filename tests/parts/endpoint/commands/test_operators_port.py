"""The operators' port of an endpoint, with its workers, as processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from s3archivefs_lambda.commands.endpoint_settings import METRICS_HOST, METRICS_PORT
from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.operators_port import operators_address
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = FIXTURES["gzip"].image
SECONDS = 20


@dataclass
class Endpoint:
    process: subprocess.Popen[str]
    url: str
    operators: str

    def ask(self, url: str, host: str | None = None) -> tuple[int, str]:
        """The answer, on a connection of its own; `host` is asked for, if not the URL's."""
        parts = urlsplit(url)
        with closing(HTTPConnection(parts.netloc, timeout=SECONDS)) as client:
            client.request("GET", parts.path, headers={} if host is None else {"Host": host})
            with client.getresponse() as response:
                return response.status, response.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        status, text = self.ask(f"{self.operators}/metrics")
        assert status == 200
        found = [s for f in text_string_to_metric_families(text) for s in f.samples]
        return sum(sample.value for sample in found if sample.name == f"s3archivefs_{name}")


@contextmanager
def serving(directory: Path, *arguments: str, workers: int) -> Iterator[Endpoint]:
    command = [sys.executable, "-m", "s3archivefs.cli", "serve", "--port", "0"]
    command += ["--workers", str(workers), "--map", f"={IMAGE}", "--metrics-port", "0", *arguments]
    environ = os.environ | {"S3ARCHIVEFS_CACHE_DIR": str(directory)}
    with (
        (directory / "log").open("wb") as errors,
        subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            urls = [
                re.search(r"http://[\w.:[\]]+", process.stdout.readline())
                for _ in ("s3", "metrics")
            ]
            assert all(urls), (directory / "log").read_text()
            yield Endpoint(process, *[found[0] for found in urls if found])
        finally:
            process.kill()


def until(condition: object) -> None:
    assert callable(condition)
    while not condition():
        os.sched_yield()


@pytest.mark.parametrize("workers", [1, 3])
def test_every_scrape_has_the_figures_of_all_workers(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers) as endpoint:
        until(lambda: endpoint.metric("workers") == workers)
        for _ in range(12):
            assert endpoint.ask(f"{endpoint.url}/archive/short.txt")[0] == 200
        # A request is counted when its body is closed, which may be after the client has it.
        until(lambda: endpoint.metric("requests_total") == 12)
        assert [endpoint.metric("requests_total") for _ in range(6)] == [12] * 6
        assert endpoint.ask(f"{endpoint.operators}/-/healthy") == (200, "ok\n")
        assert endpoint.ask(f"{endpoint.operators}/-/ready")[0] == 200
        assert endpoint.ask(f"{endpoint.url}/-/ready") == (200, "ok\n")
        assert endpoint.metric("requests_total") == 12  # probes are none
        until(lambda: endpoint.metric("open_archives") >= 1)
        until(lambda: endpoint.metric("open_archives_bytes") > 1000)
        with closing(HTTPConnection(urlsplit(endpoint.url).netloc, timeout=SECONDS)) as client:
            client.connect()
            until(lambda: endpoint.metric("connections") == 1)
        endpoint.process.terminate()
        assert endpoint.process.wait(SECONDS) == 0
    assert (tmp_path / "log").read_text().count("\n") == 12


def test_a_worker_that_is_replaced_leaves_its_figures_to_the_next(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as endpoint:
        until(lambda: endpoint.metric("workers") == 2)
        for _ in range(8):
            endpoint.ask(f"{endpoint.url}/archive/short.txt")
        until(lambda: endpoint.metric("requests_total") == 8)
        pid = endpoint.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:  # noqa: PTH123
            for worker in children.read().split():
                os.kill(int(worker), signal.SIGKILL)
        assert endpoint.metric("requests_total") == 8
        endpoint.ask(f"{endpoint.url}/archive/short.txt")
        until(lambda: endpoint.metric("requests_total") == 9)


def test_the_service_manager_is_told_when_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with serving(tmp_path, workers=2):
            assert manager.recv(100) == b"READY=1"


# ---- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_loopback_address_is_asked_by_its_own_names_only(tmp_path: Path, host: str) -> None:
    with serving(tmp_path, "--metrics-host", host, workers=1) as endpoint:
        for path in ("/metrics", "/-/healthy", "/-/ready"):
            url = endpoint.operators + path
            for name in ("localhost", "127.0.0.1:19473", "[::1]:19473"):
                assert endpoint.ask(url, name)[0] == 200
            assert endpoint.ask(url, "evil.example:19473")[0] == 403


def test_without_a_port_there_is_none() -> None:
    assert operators_address({}) is None
    assert operators_address({METRICS_PORT: "9100"}) == ("127.0.0.1", 9100)
    assert operators_address({METRICS_PORT: "0", METRICS_HOST: "::"}) == ("::", 0)


@pytest.mark.parametrize("port", ["x", "-1", "65536", "٣", "1_0"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(UsageError, match=f"METRICS_PORT. {port}: write a number"):
        operators_address({METRICS_PORT: port})


def test_a_host_without_a_port_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^--metrics-host \(\w+\): give --metrics-port \(\w+\) too"
    ):
        operators_address({METRICS_HOST: "::"})


def test_a_taken_port_says_so(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "s3archivefs.cli", "serve", "--map", f"={IMAGE}"]
        command += ["--port", "0", "--metrics-port", str(port)]
        environ = os.environ | {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path)}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"s3archivefs: cannot listen on 127.0.0.1 port {port}: ")
    assert "--metrics-port" in done.stderr
