"""Stores that are slow, hang, are down or lead elsewhere, behind the real process.

What cannot be read is 503, which clients try again, and says why in the log; what lies in other
stores is served as ever.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest

from tests.support.images.fixtures import FIXTURES
from tests.support.proxy.counting_proxy import CountingProxy, Stall
from tests.support.servers.scripted_store import (
    SECRETS,
    Reply,
    ScriptedStore,
    always,
    error_reply,
)
from tests.support.servers.served import served
from tests.support.servers.swift_store import Credentials, environ_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE = FIXTURES["gzip"].image
SECONDS = 60
REMOTE, LOCAL = "/archive/remote/short.txt", "/archive/local/short.txt"


@contextmanager
def reading_from(store_url: str, directory: Path) -> Iterator[Endpoint]:
    """An endpoint with an archive in that store, at `remote`, and another on its disk, at
    `local`.
    """
    environ = environ_of(Credentials(*SECRETS[:2]), store_url)
    environ |= {"S3ARCHIVEFS_CACHE_DIR": str(directory), "AWS_MAX_ATTEMPTS": "1"}
    maps = ("--map", "remote=s3://bucket/key", "--map", f"local={IMAGE}")
    log = directory / "log"
    with served(*maps, environ=environ, log=log) as url:
        yield Endpoint(url, log)


class Endpoint:
    def __init__(self, url: str, log: Path) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._address = (parts.hostname, parts.port)
        self._log = log

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=SECONDS)

    def outcome(self, target: str) -> str:
        """Status, and code of the error if there is one."""
        client = HTTPConnection(*self._address, timeout=SECONDS)
        try:
            client.request("GET", target)
            with client.getresponse() as response:
                body = response.read()
        finally:
            client.close()
        if response.status < 400:
            return str(response.status)
        return f"{response.status} {ET.fromstring(body).findtext('Code')}"  # noqa: S314 -- ours

    def reasons(self) -> list[str]:
        """Its lines beside those of requests; all of them once it has ended."""
        return [line for line in self._log.read_text().splitlines() if not is_json(line)]


def is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@pytest.fixture
def store() -> Iterator[ScriptedStore]:
    with ScriptedStore(IMAGE.read_bytes()) as store:
        yield store


def test_a_slow_store_is_waited_for(store: ScriptedStore, tmp_path: Path) -> None:
    with (
        CountingProxy(store.url, latency=0.3, bandwidth=20_000) as proxy,
        reading_from(proxy.url, tmp_path) as endpoint,
    ):
        assert endpoint.outcome(REMOTE) == "200"
    assert endpoint.reasons() == []


def test_while_a_store_hangs_others_are_served(store: ScriptedStore, tmp_path: Path) -> None:
    with CountingProxy(store.url) as proxy, reading_from(proxy.url, tmp_path) as endpoint:
        proxy.inject(Stall(None), times=1000)
        outcomes: list[str] = []
        patient = threading.Thread(target=lambda: outcomes.append(endpoint.outcome(REMOTE)))
        patient.start()
        with ExitStack() as impatient:
            for _ in range(40):  # more than there are threads
                client = impatient.enter_context(endpoint.connect())
                client.sendall(f"GET {REMOTE} HTTP/1.1\r\nHost:\r\n\r\n".encode())
            assert [endpoint.outcome(LOCAL) for _ in range(20)] == ["200"] * 20
        patient.join()
    assert outcomes == ["503 ServiceUnavailable"]
    assert any("s3://bucket/key" in reason for reason in endpoint.reasons())


def test_a_store_that_is_down_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        with reading_from(f"http://127.0.0.1:{nobody.getsockname()[1]}", tmp_path) as endpoint:
            assert endpoint.outcome(REMOTE) == "503 ServiceUnavailable"
            assert endpoint.outcome(LOCAL) == "200"
    (reason,) = endpoint.reasons()
    assert "s3://bucket/key" in reason


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_store_that_leads_elsewhere_is_not_followed(
    store: ScriptedStore, tmp_path: Path, status: int
) -> None:
    with ScriptedStore(IMAGE.read_bytes()) as elsewhere:
        led = error_reply(status, "PermanentRedirect")
        fields = led.headers | {"Location": f"{elsewhere.url}/bucket/key"}
        store.script(always(Reply(status, fields, led.body)), times=1000)
        with reading_from(store.url, tmp_path) as endpoint:
            assert endpoint.outcome(REMOTE) == "503 ServiceUnavailable"
            assert endpoint.outcome(LOCAL) == "200"
    (reason,) = endpoint.reasons()
    assert "s3://bucket/key: the store redirects requests, which are not followed" in reason
    assert elsewhere.requests == []
