"""The counting proxy in front of a small HTTP server."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.counting_proxy import Answer, CountingProxy, CutBody, Reset
from tests.support.recorded import Recorded, round_trips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODY = bytes(range(256)) * 1000


class Upstream(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), UpstreamHandler)
        self.seen: list[tuple[str, list[tuple[str, str]], bytes]] = []
        self.meeting = threading.Barrier(2, timeout=30)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a cut body reaches back to here
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class UpstreamHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass

    def note(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "Transfer-Encoding" in self.headers:
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self.server.seen.append((self.requestline, self.headers.items(), body))
        return body

    def do_GET(self) -> None:
        self.note()
        if self.path == "/meet":
            self.server.meeting.wait()
        if self.path == "/until-close":
            self.protocol_version = "HTTP/1.0"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BODY)
            self.close_connection = True
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(BODY), 100_000):
                piece = BODY[start : start + 100_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.answer(BODY)

    def do_HEAD(self) -> None:
        self.note()
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()

    def do_PUT(self) -> None:
        self.answer(self.note())

    def answer(self, body: bytes) -> None:
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


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


def fetch(
    connection: http.client.HTTPConnection, path: str = "/", **headers: str
) -> tuple[int, bytes]:
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read()


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


def test_each_request_waits_for_the_latency(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.latency = 0.05
    fetch(connection)
    [request] = proxy.requests
    assert request.end - request.start >= 0.049  # the timer may fire a clock tick early


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


def test_a_status_fault_answers_as_often_as_told_and_never_asks_the_server(
    upstream: Upstream, proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    proxy.inject(Answer(503), times=2)
    for _ in range(2):
        status, body = fetch(connect())
        assert status == 503
        assert b"<Code>SlowDown</Code>" in body
    assert upstream.seen == []
    assert fetch(connect()) == (200, BODY)
    assert [request.status for request in proxy.requests] == [503, 503, 200]


def test_a_fault_befalls_only_matching_requests(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    proxy.inject(Answer(403, "AccessDenied"), match=lambda request: request.path == "/b")
    assert fetch(connect(), "/a")[0] == 200
    assert fetch(connect(), "/b")[0] == 403
    assert fetch(connect(), "/b")[0] == 200


@pytest.mark.parametrize("path", ["/", "/chunked", "/until-close"])
@pytest.mark.parametrize("after", [0, 1, 70_000, len(BODY) - 1])
def test_a_cut_body_ends_after_so_many_bytes(
    path: str, after: int, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(CutBody(after))
    if path == "/until-close":  # such a body has no end that could be missed
        received = fetch(connection, path)[1]
    else:
        with pytest.raises(http.client.IncompleteRead) as caught:
            fetch(connection, path)
        received = caught.value.partial
    assert BODY.startswith(received)
    [request] = proxy.requests
    assert (request.bytes_sent, request.complete) == (after, False)
    if path != "/chunked":  # http.client drops the chunk that broke
        assert len(received) == after


def test_a_body_no_longer_than_the_cut_is_whole(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(CutBody(len(BODY)))
    assert fetch(connection) == (200, BODY)
    assert [request.complete for request in proxy.requests] == [True]


def test_a_reset_fault_resets_the_connection(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    proxy.inject(Reset())
    with pytest.raises(ConnectionResetError):
        fetch(connect())
    assert fetch(connect()) == (200, BODY)
    assert [request.status for request in proxy.requests] == [0, 200]


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
