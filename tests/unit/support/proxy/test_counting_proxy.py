"""What the counting proxy passes on, counts and tells."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.proxy.recorded import Recorded, round_trips
from tests.support.servers.swift_store import PROJECT_ROOT
from tests.unit.support.proxy.proxied_server import BODY, Upstream, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def at(start: float, end: float) -> Recorded:
    return Recorded("GET", "/", {}, 200, 0, start, end, complete=True)


def test_a_request_arrives_as_the_client_sent_it(
    upstream: Upstream, connection: http.client.HTTPConnection
) -> None:
    target = "/bucket//a%20b+%C3%BC?list-type=2&prefix=%2F&empty="
    headers = [("X-AmZ-Odd", "  Case and  spaces"), ("x-twice", "1"), ("X-Twice", "2")]
    connection.putrequest("GET", target)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    connection.getresponse().read()
    [(line, seen, _)] = upstream.seen
    assert line == f"GET {target} HTTP/1.1"
    host = ("Host", f"127.0.0.1:{connection.port}")
    assert seen == [
        host,
        ("Accept-Encoding", "identity"),
        *((name, value.strip()) for name, value in headers),
    ]


def test_a_request_is_recorded_with_what_it_asked_and_got(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    assert fetch(connection, "/k?versionId=1", Range="bytes=0-9") == (206, BODY)
    [request] = proxy.requests
    assert (request.method, request.path, request.range) == ("GET", "/k?versionId=1", "bytes=0-9")
    assert (request.status, request.bytes_sent, request.complete) == (206, len(BODY), True)
    assert request.start <= request.end


def test_a_connection_serves_many_requests(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    connection.connect()
    local_address = connection.sock.getsockname()
    for _ in range(5):
        assert fetch(connection) == (200, BODY)
        assert connection.sock.getsockname() == local_address
    assert len(proxy.requests) == 5


def test_a_head_request_has_a_length_and_sends_no_body(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    connection.request("HEAD", "/")
    response = connection.getresponse()
    assert response.headers["Content-Length"] == str(len(BODY))
    assert response.read() == b""
    assert [request.bytes_sent for request in proxy.requests] == [0]


@pytest.mark.parametrize("path", ["/chunked", "/until-close"])
def test_a_body_is_counted_without_its_framing(
    path: str, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    assert fetch(connection, path) == (200, BODY)
    assert fetch(connection) == (200, BODY)
    assert [request.bytes_sent for request in proxy.requests] == [len(BODY)] * 2


@pytest.mark.parametrize("body", [BODY, iter([BODY[:1], BODY[1:]])], ids=["length", "chunks"])
def test_an_uploaded_body_arrives(
    body: bytes | Iterator[bytes], connection: http.client.HTTPConnection
) -> None:
    connection.request("PUT", "/", body, encode_chunked=True)
    assert connection.getresponse().read() == BODY


def test_expect_100_continue_is_answered_by_the_server(proxy: CountingProxy) -> None:
    parts = urlsplit(proxy.url)
    with closing(socket.create_connection((parts.hostname, parts.port or 0), 30)) as raw:
        raw.sendall(
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 100 ")
        raw.sendall(b"hello")
        with raw.makefile("rb") as reader:
            assert reader.readline().startswith(b"HTTP/1.1 200 ")
    assert [request.status for request in proxy.requests] == [200]


@pytest.mark.parametrize("read", [1000, 1], ids=["FIN", "RST"])
def test_a_client_that_is_gone_in_the_middle_of_its_body_leaves_nothing_under_way(
    read: int, proxy: CountingProxy
) -> None:
    """A connection ends in RST where its program has not read all that came."""
    parts = urlsplit(proxy.url)
    with closing(socket.create_connection((parts.hostname, parts.port or 0), 30)) as raw:
        raw.sendall(
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
        assert raw.recv(read).startswith(b"H")
        raw.sendall(b"hel")
    assert [request.status for request in proxy.requests] == [0]


def test_each_request_waits_for_the_latency(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.latency = 0.05
    fetch(connection)
    [request] = proxy.requests
    assert request.end - request.start >= 0.049  # the timer may fire a clock tick early


def test_a_body_takes_as_long_as_the_bandwidth_says(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.bandwidth = 2_000_000
    assert fetch(connection) == (200, BODY)
    [request] = proxy.requests
    # Up to 10 ms of what is late is made up for.
    assert request.end - request.start >= len(BODY) / proxy.bandwidth - 0.011


def test_bodies_share_what_is_allowed_in_all(upstream: Upstream) -> None:
    total = 4_000_000
    with CountingProxy(f"http://127.0.0.1:{upstream.server_port}", total=total) as proxy:
        address = urlsplit(proxy.url)

        def fetch_anew(_: int) -> bytes:
            with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as new:
                return fetch(new)[1]

        with ThreadPoolExecutor(4) as threads:
            assert [*threads.map(fetch_anew, range(4))] == [BODY] * 4
        requests = proxy.requests
    took = max(each.end for each in requests) - min(each.start for each in requests)
    assert took >= 4 * len(BODY) / total - 0.011


def test_reset_forgets_the_requests(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    fetch(connection)
    proxy.reset()
    assert proxy.requests == []
    assert proxy.round_trips() == 0


def test_requests_one_after_the_other_are_as_many_round_trips(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    for _ in range(20):
        fetch(connect())
    assert proxy.round_trips() == 20


def test_requests_at_the_same_time_are_one_round_trip(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    threads = [threading.Thread(target=fetch, args=[connect(), "/meet"]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(proxy.requests) == 2
    assert proxy.round_trips() == 1


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], 0),
        ([at(0, 1)], 1),
        ([at(0, 1), at(1, 2)], 2),
        ([at(0, 2), at(1, 3)], 1),
        # A long request beside three short ones hides none of them.
        ([at(0, 9), at(0, 1), at(2, 3), at(4, 5)], 3),
        # Two parallel pairs, one after the other.
        ([at(0, 2), at(1, 3), at(3, 5), at(4, 6)], 2),
    ],
)
def test_round_trips_are_the_longest_chain(requests: list[Recorded], expected: int) -> None:
    assert round_trips(requests) == expected
    assert round_trips(reversed(requests)) == expected


def test_connections_to_the_server_are_kept(
    upstream: Upstream, proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    for _ in range(5):
        fetch(connect())
        assert proxy.requests  # the last one is over
    assert len(upstream.connections) == 1


def test_a_request_goes_again_to_a_server_that_gave_up_the_kept_connection(
    upstream: Upstream, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    fetch(connection)
    assert fetch(connection, "/at-first") == (200, BODY)
    assert [line for line, _, _ in upstream.seen] == [
        "GET / HTTP/1.1",
        "GET /at-first HTTP/1.1",
        "GET /at-first HTTP/1.1",
    ]
    assert len(proxy.requests) == 2


def test_a_server_that_does_not_answer_on_a_new_connection_is_asked_once(
    upstream: Upstream, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(connection, "/never")
    assert len(upstream.seen) == 1
    assert [request.status for request in proxy.requests] == [0]


def test_a_request_with_a_body_has_a_new_connection(
    upstream: Upstream, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    fetch(connection)
    connection.request("PUT", "/", b"body")
    assert connection.getresponse().read() == b"body"
    assert len(upstream.connections) == 2


def counts(
    connect: Callable[[], http.client.HTTPConnection], method: str = "GET"
) -> dict[str, object]:
    connection = connect()
    connection.request(method, "/-/requests")
    response = connection.getresponse()
    assert response.status == 200
    counted: dict[str, object] = json.loads(response.read())
    return counted


def test_what_was_counted_can_be_asked_for(
    upstream: Upstream, proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    fetch(connect(), "/a?b", Range="bytes=0-9")
    fetch(connect(), "/c")
    counted = counts(connect)
    first, second = proxy.requests
    assert counted == {
        "count": 2,
        "bytes": 2 * len(BODY),
        "round_trips": 2,
        "requests": [
            {
                "method": "GET",
                "path": "/a?b",
                "range": "bytes=0-9",
                "status": 206,
                "bytes": len(BODY),
                "start": first.start,
                "end": first.end,
                "complete": True,
            },
            {
                "method": "GET",
                "path": "/c",
                "range": None,
                "status": 200,
                "bytes": len(BODY),
                "start": second.start,
                "end": second.end,
                "complete": True,
            },
        ],
    }
    assert len(upstream.seen) == 2


def test_what_was_counted_can_be_forgotten_from_outside(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    fetch(connect())
    nothing = {"count": 0, "bytes": 0, "round_trips": 0, "requests": []}
    assert counts(connect, "DELETE") == nothing
    assert counts(connect) == nothing
    assert proxy.requests == []


def test_it_serves_as_a_process_until_its_input_ends(upstream: Upstream) -> None:
    url = f"http://127.0.0.1:{upstream.server_port}"
    options = ["--upstream", url, "--latency-ms", "50", "--bandwidth-mbs", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.proxy.counting_proxy", *options],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().decode().strip())
        assert address.hostname

        def fetch_anew(path: str) -> bytes:
            with closing(http.client.HTTPConnection(str(address.hostname), address.port)) as new:
                return fetch(new, path)[1]

        assert fetch_anew("/") == BODY
        [request] = json.loads(fetch_anew("/-/requests"))["requests"]
        assert request["end"] - request["start"] >= 0.05 + len(BODY) / 2_000_000 - 0.012
        process.stdin.close()
    assert process.returncode == 0


def test_leaving_ends_open_connections(upstream: Upstream) -> None:
    with CountingProxy(f"http://127.0.0.1:{upstream.server_port}") as proxy:
        parts = urlsplit(proxy.url)
        idle = socket.create_connection((parts.hostname, parts.port or 0), 30)
        with closing(http.client.HTTPConnection(str(parts.hostname), parts.port)) as connection:
            fetch(connection)
    with closing(idle):
        assert idle.recv(1) == b""


def test_an_upstream_that_is_no_http_address_is_refused() -> None:
    with pytest.raises(ValueError, match="is not http://host:port"):
        CountingProxy("https://127.0.0.1:1")
