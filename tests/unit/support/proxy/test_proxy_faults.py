"""What the counting proxy lets befall requests."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.proxy.counting_proxy import (
    Answer,
    CountingProxy,
    CutBody,
    Fault,
    Reset,
    Rewrite,
    Stall,
    WrongRange,
    WrongVersion,
)
from tests.support.proxy.recorded import Request
from tests.unit.support.proxy.proxied_server import BODY, ETAG, Upstream, fetch

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.mark.parametrize("after", [0, 70_000])
def test_a_reset_fault_resets_the_connection_within_the_body(
    after: int, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(Reset(after))
    # The head itself may be lost.
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        fetch(connection)
    [request] = proxy.requests
    assert (request.status, request.bytes_sent, request.complete) == (200, after, False)
    assert request.fault == Reset(after)


def test_a_stalled_answer_stays_away_until_the_client_gives_up(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    proxy.inject(Stall(None))
    connection = connect()
    connection.timeout = 0.1
    with pytest.raises(TimeoutError):
        fetch(connection)
    connection.close()
    assert [request.status for request in proxy.requests] == [0]


def test_a_stalled_body_ends_where_the_client_gives_up(
    proxy: CountingProxy, connect: Callable[[], http.client.HTTPConnection]
) -> None:
    proxy.inject(Stall(70_000))
    connection = connect()
    connection.timeout = 0.1
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.read(70_000) == BODY[:70_000]
    with pytest.raises(TimeoutError):
        response.read(1)
    response.close()
    connection.close()
    [request] = proxy.requests
    assert (request.status, request.bytes_sent, request.complete) == (200, 70_000, False)


def fetch_range(connection: http.client.HTTPConnection) -> tuple[str, str, bytes]:
    """Content-Range, ETag and body of an answer to a range."""
    connection.request("GET", "/", headers={"Range": "bytes=0-9"})
    response = connection.getresponse()
    return response.headers["Content-Range"], response.headers["ETag"], response.read()


def test_another_range_has_other_bytes_and_says_so(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(WrongRange(by=5))
    content_range, etag, body = fetch_range(connection)
    assert (content_range, etag) == (f"bytes 5-14/{len(BODY)}", ETAG)
    assert len(body) == len(BODY)
    assert body != BODY
    assert fetch_range(connection) == (f"bytes 0-9/{len(BODY)}", ETAG, BODY)


def test_another_version_has_other_bytes_and_says_so(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(WrongVersion(), times=2)
    content_range, etag, body = fetch_range(connection)
    assert content_range == f"bytes 0-9/{len(BODY)}"
    assert etag != ETAG
    assert len(body) == len(BODY)
    assert body != BODY
    assert fetch_range(connection)[1] not in {etag, ETAG}
    assert fetch_range(connection) == (content_range, ETAG, BODY)


@pytest.mark.parametrize("fault", [WrongRange(), WrongVersion()])
def test_an_answer_that_is_no_range_stays_as_it_is(
    fault: Fault, proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(fault)
    assert fetch(connection) == (200, BODY)


def test_rewritten_headers_are_replaced_added_and_left_out(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(Rewrite((("content-range", "bytes */1"), ("ETag", '"old"'), ("Server", None))))
    connection.request("GET", "/", headers={"Range": "bytes=0-9"})
    response = connection.getresponse()
    assert response.headers.get_all("Content-Range") == ["bytes */1"]
    assert response.headers["ETag"] == '"old"'
    assert "Server" not in response.headers
    assert response.read() == BODY


def test_healing_forgets_the_faults(
    proxy: CountingProxy, connection: http.client.HTTPConnection
) -> None:
    proxy.inject(Answer(503), times=5)
    proxy.heal()
    assert fetch(connection) == (200, BODY)


@pytest.mark.parametrize("fault", [CutBody(9), Reset(9), Stall(9)], ids=repr)
def test_a_connection_whose_response_was_not_read_is_not_used_again(
    fault: Fault,
    upstream: Upstream,
    proxy: CountingProxy,
    connect: Callable[[], http.client.HTTPConnection],
) -> None:
    proxy.inject(fault)
    broken = connect()
    broken.timeout = 0.1
    with pytest.raises((OSError, http.client.IncompleteRead)):
        fetch(broken)
    broken.close()
    assert fetch(connect()) == (200, BODY)
    assert len(upstream.connections) == 2


@pytest.mark.parametrize("fault", [Stall(None), Stall(0), Stall(70_000)], ids=repr)
def test_leaving_ends_a_stalled_answer(fault: Fault, upstream: Upstream) -> None:
    arrived = threading.Event()

    def note_arrival(_: Request) -> bool:
        arrived.set()
        return True

    with CountingProxy(f"http://127.0.0.1:{upstream.server_port}") as proxy:
        proxy.inject(fault, match=note_arrival)
        parts = urlsplit(proxy.url)
        raw = socket.create_connection((parts.hostname, parts.port or 0), 30)
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert arrived.wait(30)
        if fault != Stall(None):
            assert raw.recv(9) == b"HTTP/1.1 "
    with closing(raw), raw.makefile("rb") as reader:
        assert len(reader.read()) < len(BODY)
