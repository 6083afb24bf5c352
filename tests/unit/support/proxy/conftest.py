"""The counting proxy in front of a small HTTP server."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.proxy.counting_proxy import CountingProxy
from tests.unit.support.proxy.proxied_server import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[CountingProxy]:
    with CountingProxy(f"http://127.0.0.1:{upstream.server_port}") as proxy:
        yield proxy


@pytest.fixture
def connect(proxy: CountingProxy) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    opened = []

    def connect() -> http.client.HTTPConnection:
        parts = urlsplit(proxy.url)
        assert parts.hostname
        opened.append(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def connection(
    connect: Callable[[], http.client.HTTPConnection],
) -> http.client.HTTPConnection:
    return connect()
