from __future__ import annotations

import errno
import http.client
import logging
import select
import socket
import threading
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from cheroot.connections import ConnectionManager
from cheroot.makefile import MakeFile
from cheroot.server import HTTPConnection

from s3archivefs_lambda import http_connection, http_server
from s3archivefs_lambda.endpoint import make_app
from s3archivefs_lambda.http_messages import HttpRequest, HttpResponse
from s3archivefs_lambda.http_server import THREADS, S3HttpServer
from tests.support.fake_operations import Body, FakeOperations, streamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs_lambda.s3_protocol import S3Request, S3Response

PIECE = b"x" * 65536
SECONDS = 5  # for what should happen at once; less than the server waits for a request
WHOLE = b"GET /archive/k HTTP/1.1\r\nHost:\r\n\r\n"
BEGUN = b"GET /archive/k HTTP/1.1\r\nHost:\r\nX-Slow: "
WITH_BODY = b"PUT /archive/k HTTP/1.1\r\nHost:\r\nContent-Length: 1000000000\r\n\r\n"


class Site:
    """A server over fake operations."""

    def __init__(self) -> None:
        self.operations = FakeOperations()
        app = make_app(self.operations, bucket="archive", verifier=None)
        self.server = S3HttpServer(app, port=0)
        self.server._server.expiration_interval = 0.01  # else what is over ends half a second later

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def client(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection(*self.address, timeout=SECONDS))

    def socket(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=SECONDS)

    def raw(self, request: bytes) -> bytes:
        """All that the server sends until it closes the connection."""
        with self.socket() as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def get(client: http.client.HTTPConnection, key: str = "k") -> bytes:
    client.request("GET", f"/archive/{key}")
    with client.getresponse() as response:
        assert response.status == 200
        return response.read()


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    site = Site()
    with site.server:
        yield site


@pytest.fixture
def site(running_site: Site) -> Site:
    running_site.operations.reset()
    return running_site


RAW_KEYS = [
    "a%2Fb",
    "x//y",
    "/x",
    "../../z",
    "./z/.",
    "%2e%2E",
    "a+b%20c",
    "%C3%BC%ff",
    "*",
    "[x",
    "a:b;c,d=e@f!$&'()~",
]


# ---- Requests ------------------------------------------------------------------------------------


def test_targets_arrive_as_they_were_sent() -> None:
    targets = [f"/archive/{key}?prefix=a+b%2F&x" for key in RAW_KEYS]
    seen: list[str] = []

    def app(request: HttpRequest) -> HttpResponse:
        seen.append(request.target)
        return HttpResponse(status=200, headers=[("Content-Length", "0")], body=Body(()))

    with S3HttpServer(app, port=0) as server:
        address = urlsplit(server.url).netloc
        with closing(http.client.HTTPConnection(address, timeout=SECONDS)) as client:
            for target in targets:
                client.putrequest("GET", target)
                client.endheaders()
                client.getresponse().close()
    assert seen == targets


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET * HTTP/1.1",
        b"GET archive/k HTTP/1.1",
        b"GET //[x HTTP/1.1",
        b"GET http://[x HTTP/1.1",
        b"GET /archive/\xc3\xbc HTTP/1.1",
        b"GET /archive/k#f HTTP/1.1",
        b"GET /archive/k HTTP/9.9",
        b"GET /archive/k HTTQ/1.1",
        b"get /archive/k HTTP/1.1",
        b"GET /archive/k HTTP/1.1\r\nno colon",
        b"GET /archive/k HTTP/1.1\r\nContent-Length: many",
        b"GET /archive/k HTTP/1.1\r\nTransfer-Encoding: gzip",
        b"GET /archive/k HTTP/1.1\r\nX: " + b"x" * 1_000_000,
        b"GET /archive/" + b"k" * 1_000_000 + b" HTTP/1.1",
    ],
    ids=lambda line: line[:40],
)
def test_what_is_no_request_gets_an_error_document_and_no_traceback(
    site: Site, caplog: pytest.LogCaptureFixture, request_line: bytes
) -> None:
    answer = site.raw(request_line + b"\r\nHost:\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"Content-Type"] == b"application/xml"
    assert headers[b"Content-Length"] == str(len(body)).encode()
    assert headers[b"Connection"] == b"close"
    root = ET.fromstring(body)  # noqa: S314 -- our own
    assert root.findtext("Code")
    assert root.findtext("RequestId") == headers[b"x-amz-request-id"].decode()
    assert [r for r in caplog.records if r.exc_info or r.levelno >= logging.WARNING] == []
    assert site.operations.asked == []
    with site.client() as client:
        assert get(client) == b"content"


def test_a_header_with_an_underscore_cannot_pass_for_another(site: Site) -> None:
    site.raw(
        b"GET /archive/k HTTP/1.1\r\nHost:\r\nRange: bytes=0-1\r\nX_Amz_Date: false\r\n"
        b"X-Amz-Date: true\r\nIf_Match: false\r\nConnection: close\r\n\r\n"
    )
    headers = site.operations.last.headers
    assert headers["x-amz-date"] == "true"
    assert "if-match" not in headers


def test_a_body_is_refused_before_it_is_sent(site: Site) -> None:
    with site.socket() as connection:
        connection.sendall(
            b"PUT /archive/k HTTP/1.1\r\nHost:\r\nContent-Length: 1000000000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")


def test_a_target_may_name_the_host(site: Site) -> None:
    """RFC 9112, 3.2.2: so a client may ask any server, and means the host that it names."""
    host = "{}:{}".format(*site.address).encode()
    for asked, other, status in (
        (host, b"other.example", b"200"),
        (b"other.example", host, b"403"),
    ):
        answer = site.raw(
            b"GET http://%b/archive/a%%20k?versionId=null HTTP/1.1\r\nHost: %b\r\n"
            b"Connection: close\r\n\r\n" % (asked, other)
        )
        assert answer.startswith(b"HTTP/1.1 " + status)
    ((_, request),) = site.operations.asked
    assert (request.key, request.query) == ("a k", {"versionId": "null"})


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 500000", b"Transfer-Encoding: chunked\r\nContent-Length: 0"]
)
def test_a_body_that_is_sent_all_the_same_is_not_taken_for_the_next_request(
    site: Site, framing: bytes
) -> None:
    smuggled = b"GET /archive/smuggled HTTP/1.1\r\nHost:\r\n\r\n"
    answer = site.raw(
        b"PUT /archive/k HTTP/1.1\r\nHost:\r\n%b\r\n\r\n%b" % (framing, smuggled.ljust(500_000))
    )
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in answer
    assert site.operations.asked == []


def test_who_sends_a_body_first_can_still_read_the_refusal(site: Site) -> None:
    with site.socket() as connection:
        connection.sendall(b"PUT /archive/k HTTP/1.1\r\nHost:\r\nContent-Length: 500000\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
        for _ in range(5):
            connection.sendall(b"x" * 100_000)  # would be reset by a closed socket
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_an_expectation_without_a_body_is_answered_at_once(site: Site) -> None:
    answer = site.raw(
        b"GET /archive/k HTTP/1.1\r\nHost:\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\ncontent")


# ---- Slow clients --------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["first-request", "pipelined-request"])
def test_heads_that_arrive_slowly_hold_no_thread(site: Site, before: bytes) -> None:
    with ExitStack() as opened:
        slow = [opened.enter_context(site.socket()) for _ in range(2 * THREADS)]
        for connection in slow:
            connection.sendall(before + BEGUN)
            if before:
                assert answers(connection) == [b"200"]
        with site.client() as client:
            assert get(client) == b"content"
        for connection in slow:
            connection.sendall(b"x\r\n\r\n")
            assert answers(connection) == [b"200"]


def answers(connection: socket.socket) -> list[bytes]:
    """The status of each answer that has come; one to a GET is to end in what it gets."""
    received = b""
    while not received.endswith(b"content"):
        piece = connection.recv(65536)
        assert piece
        received += piece
    return [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]


def test_a_head_has_a_time_to_arrive_in_however_often_something_comes() -> None:
    site = Site()
    site.server._server.head_seconds = 0.3
    with site.server, site.socket() as silent, site.socket() as slow:
        silent.sendall(BEGUN)
        slow.sendall(BEGUN)
        for _ in range(1000):
            if select.select([slow], [], [], 0.01)[0]:
                break
            slow.sendall(b"x")
        else:
            pytest.fail("it is waited for as long as something comes")
        for connection in (silent, slow):
            answer = b"".join(iter(lambda: connection.recv(65536), b""))  # noqa: B023 -- used at once
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"<Code>RequestTimeout</Code>" in answer
        with site.client() as client:
            assert get(client) == b"content"
    assert len(site.operations.asked) == 1


def test_who_sends_a_request_comes_before_who_has_been_idle_for_longest() -> None:
    site = Site()
    site.server._server.keep_alive_conn_limit = 3
    with site.server, ExitStack() as opened:
        idle = [opened.enter_context(site.client()) for _ in range(3)]
        for client in idle:
            get(client)
        with site.socket() as late:
            late.sendall(WHOLE[:5])
            sockets = [client.sock for client in idle]
            readable, _, _ = select.select(sockets, [], [], SECONDS)
            assert readable == [idle[0].sock]
            assert idle[0].sock.recv(1) == b""
            late.sendall(WHOLE[5:])
            assert late.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_without_a_request_takes_no_thread(site: Site) -> None:
    ours, theirs = socket.socketpair()
    connection = site.server._server.ConnectionClass(site.server._server, ours, MakeFile)
    theirs.close()
    assert not connection.receive()
    assert ours.fileno() == -1


def test_more_requests_than_may_wait_for_a_thread_are_told_to_come_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "_MAX_QUEUED_REQUESTS", 0)
    answer = site.raw(WHOLE)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"<Code>SlowDown</Code>" in answer
    monkeypatch.undo()
    with site.client() as client:
        get(client)


def test_without_descriptors_left_the_others_are_served_and_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    refused = threading.Event()
    accept = ConnectionManager._from_server_socket  # type: ignore[attr-defined]  # as in the server

    def out_of_descriptors(*_: object) -> None:
        refused.set()
        raise OSError(errno.EMFILE, "Too many open files")

    with site.server, site.client() as before, site.client() as client:
        get(before)
        monkeypatch.setattr(ConnectionManager, "_from_server_socket", out_of_descriptors)
        client.connect()
        assert refused.wait(SECONDS)
        get(before)
        monkeypatch.setattr(ConnectionManager, "_from_server_socket", accept)
        get(client)
    assert max(record.levelno for record in caplog.records) == logging.WARNING
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize("blank", [b" ", b"\t"])
def test_a_head_that_begins_with_the_rest_of_a_header_is_malformed(
    site: Site, blank: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = site.raw(b"GET /archive/k HTTP/1.1\r\n" + blank + b"x\r\nHost:\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert all(record.levelno < logging.WARNING for record in caplog.records)


@pytest.mark.parametrize("second", [b"Content-Length: 0\r\n", b" 0\r\n"])
def test_a_body_is_not_taken_for_a_request_whatever_cheroot_takes_for_its_length(
    site: Site, second: bytes
) -> None:
    head = b"GET /archive/k HTTP/1.1\r\nHost:\r\nContent-Length: %d\r\n" % len(WHOLE)
    answer = site.raw(head + second + b"\r\n" + WHOLE)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(site.operations.asked) <= 1


def test_who_reads_nothing_is_told_of_a_late_head_without_waiting(site: Site) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        connection = site.server._server.ConnectionClass(site.server._server, ours, MakeFile)
        theirs.sendall(WHOLE + BEGUN)
        assert connection.receive()
        with ours.dup() as full, suppress(BlockingIOError):  # of the answer to the first
            full.settimeout(0)
            while True:
                full.send(PIECE)
        ours.settimeout(SECONDS * 2)
        assert not connection.take_head()
        connection.deadline = 0.0
        told = threading.Thread(target=connection.close, daemon=True)
        told.start()
        told.join(SECONDS)
        assert not told.is_alive()


def test_a_head_may_arrive_in_any_pieces_and_its_time_ends_with_it(site: Site) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        connection = site.server._server.ConnectionClass(site.server._server, ours, MakeFile)
        timed = [connection.deadline]
        for number in range(len(WHOLE) - 1):
            theirs.sendall(WHOLE[number : number + 1])
            assert not connection.receive()
            timed.append(connection.deadline)
        assert timed[0] is None
        assert timed[1] is not None
        assert set(timed[1:]) == {timed[1]}
        theirs.sendall(WHOLE[-1:] + BEGUN)
        assert connection.receive()
        timed.append(connection.deadline)
        assert connection.rfile.read() == WHOLE
        assert not connection.take_head()
        timed.append(connection.deadline)
        theirs.sendall(b"x\r\n\r\n")
        assert connection.receive()
        timed.append(connection.deadline)
        assert connection.rfile.read() == BEGUN + b"x\r\n\r\n"
        assert [time is None for time in timed[-3:]] == [True, False, True]
        connection.close()


def test_a_head_that_its_client_gives_up_is_no_request(site: Site) -> None:
    with site.socket() as connection:
        connection.sendall(BEGUN)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert site.operations.asked == []


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (WHOLE.replace(b"\r\n", b"\n"), b"400"),
        (BEGUN + b"x" * 70_000, b"413"),
        (b"GET /" + b"k" * 70_000, b"414"),
    ],
    ids=["line-feeds", "headers", "target"],
)
def test_a_head_that_cannot_become_one_is_refused_at_once(
    site: Site, head: bytes, status: bytes
) -> None:
    assert site.raw(head).startswith(b"HTTP/1.1 " + status)


def test_requests_that_come_together_are_answered_in_turn(site: Site) -> None:
    answer = site.raw(WHOLE * 20 + WHOLE.replace(b"Host:", b"Host:\r\nConnection: close"))
    assert answer.count(b"HTTP/1.1 200 ") == 21
    assert len(site.operations.asked) == 21


def test_who_does_not_leave_after_the_last_answer_holds_no_thread(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "_LINGER_SECONDS", 60)
    with ExitStack() as opened:
        for _ in range(2 * THREADS):
            connection = opened.enter_context(site.socket())
            connection.sendall(WITH_BODY)
            assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")
        with site.client() as client:
            assert get(client) == b"content"


@pytest.mark.parametrize(
    ("piece", "limit", "value"),
    [(b"x", "_LINGER_SECONDS", 0.3), (PIECE, "_LINGER_BYTES", 1 << 20)],
    ids=["slowly", "much"],
)
def test_a_body_that_nobody_wants_is_not_taken_for_ever(
    site: Site, monkeypatch: pytest.MonkeyPatch, piece: bytes, limit: str, value: float
) -> None:
    for name in ("_LINGER_SECONDS", "_LINGER_BYTES"):
        monkeypatch.setattr(http_connection, name, value if name == limit else 1 << 40)
    with site.socket() as connection:
        connection.sendall(WITH_BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            keep_sending(connection, piece)


def keep_sending(connection: socket.socket, piece: bytes) -> None:
    for _ in range(1000):
        connection.sendall(piece)
        select.select([], [], [], 0.01 if len(piece) == 1 else 0)


# ---- Connections ---------------------------------------------------------------------------------


def test_a_connection_serves_many_requests(site: Site) -> None:
    with site.client() as client:
        client.connect()
        first = client.sock
        for method, status in (("GET", 200), ("HEAD", 200), ("GET", 200), ("HEAD", 200)):
            client.request(method, "/archive/k")
            with client.getresponse() as response:
                assert response.status == status
                assert response.getheader("Content-Length") == "7"
                assert response.read() == (b"content" if method == "GET" else b"")
        for target in ("/other/k", "/archive?acl", "/archive"):
            client.request("HEAD" if target == "/archive" else "GET", target)
            client.getresponse().read()
        assert client.sock is first


def test_small_answers_do_not_wait_for_more(site: Site) -> None:
    listener = site.server._server.socket
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_connections_without_a_request_hold_up_nobody(site: Site) -> None:
    with ExitStack() as idle:
        for _ in range(50):
            idle.enter_context(site.socket())
            client = idle.enter_context(site.client())
            assert get(client) == b"content"
            assert client.sock is not None  # kept open by both
        with site.client() as client:
            assert get(client) == b"content"


def test_no_more_connections_wait_than_there_is_room_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.server._server, "keep_alive_conn_limit", 20)
    with ExitStack() as idle:
        waiting = [idle.enter_context(site.socket()) for _ in range(60)]
        ended, _, _ = select.select(waiting, [], [], SECONDS)
        assert ended
        assert all(connection.recv(1) == b"" for connection in ended)
    # Those that have gone make room.
    for _ in range(100):
        with site.client() as client, suppress(http.client.HTTPException, OSError):
            assert get(client) == b"content"
            return
    pytest.fail("nobody is served any more")


# ---- Bodies --------------------------------------------------------------------------------------


def test_a_body_waits_for_its_reader(site: Site) -> None:
    size = 1 << 36
    body = Body(PIECE for _ in range(size // len(PIECE)))
    site.operations.answer = streamed(body, size)
    with site.client() as client, site.client() as other:
        client.request("GET", "/archive/k")
        with client.getresponse() as response:
            read = len(response.read(1 << 20))
            site.operations.answer = site.operations.object
            for _ in range(300):
                get(other)  # gives it time to run ahead
            assert body.produced < read + (32 << 20)  # what sockets and the client may hold


def test_a_large_body_arrives_whole(site: Site) -> None:
    pieces = [bytes([number]) * (1 << 20) for number in range(24)]
    site.operations.answer = streamed(Body(pieces), 24 << 20)
    with site.client() as client:
        assert get(client) == b"".join(pieces)


def broken_body() -> Iterator[bytes]:
    yield PIECE
    raise OSError("gone")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(broken_body, id="fails"),
        pytest.param(lambda: [PIECE], id="short"),
        pytest.param(list, id="empty"),
        pytest.param(lambda: [PIECE, PIECE * 2], id="long"),
    ],
)
def test_a_body_that_breaks_off_is_never_taken_for_a_whole(
    site: Site, caplog: pytest.LogCaptureFixture, body: Callable[[], Iterator[bytes]]
) -> None:
    site.operations.answer = streamed(Body(body()), 2 * len(PIECE))
    with site.client() as client:
        client.request("GET", "/archive/k")
        with client.getresponse() as response, pytest.raises(http.client.IncompleteRead):
            response.read()
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 1
    assert "broke off" in errors[0].getMessage()
    site.operations.reset()
    with site.client() as client:
        assert get(client) == b"content"


class Closing(Body):
    """A body that tells when it is closed."""

    def __init__(self, *args: Iterator[bytes]) -> None:
        super().__init__(*args)
        self.ended = threading.Event()

    def close(self) -> None:
        super().close()
        self.ended.set()


def test_a_reader_who_leaves_ends_the_body(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    body = Closing(PIECE for _ in range(1 << 20))
    site.operations.answer = streamed(body, (1 << 20) * len(PIECE))
    with site.client() as client:
        client.request("GET", "/archive/k")
        client.getresponse().close()
    assert body.ended.wait(SECONDS)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_a_reader_did_not_take_is_not_written_to_a_closed_socket(site: Site) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        connection = site.server._server.ConnectionClass(site.server._server, ours, MakeFile)
        connection.wfile._write_buf.extend(PIECE)  # as a write that fails leaves it
        connection.close()
    assert connection.wfile.closed  # else the garbage collector would do that, and fail


# ---- Starting and stopping -----------------------------------------------------------------------


def test_a_request_in_flight_is_finished() -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield PIECE
        assert go_on.wait(SECONDS)
        yield PIECE

    site = Site()
    site.operations.answer = streamed(Body(body()), 2 * len(PIECE))
    with site.server:
        address = site.address
        with site.client() as client:
            client.request("GET", "/archive/k")
            response = client.getresponse()
            stop = threading.Thread(target=site.server.stop)
            stop.start()
            while not refused(address):
                pass
            go_on.set()
            assert response.read() == PIECE * 2
            stop.join()


def refused(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=SECONDS).close()
    except OSError:
        return True
    return False


def test_a_reader_who_does_not_read_does_not_keep_the_server_up() -> None:
    site = Site()
    body = Closing(PIECE for _ in range(1 << 20))
    site.operations.answer = streamed(body, (1 << 20) * len(PIECE))
    site.server._server.shutdown_timeout = 0
    with site.server, site.client() as client:
        client.request("GET", "/archive/k")
        client.getresponse()
        stop = threading.Thread(target=site.server.stop)
        stop.start()
        stop.join(SECONDS)
        assert not stop.is_alive()
        assert body.closed


def test_idle_connections_do_not_keep_the_server_up() -> None:
    site = Site()
    with ExitStack() as idle:
        with site.server:
            idle.enter_context(site.socket())
            client = idle.enter_context(site.client())
            get(client)
            assert client.sock is not None
        assert client.sock.recv(1) == b""


def test_a_connection_put_aside_while_the_server_stops_is_closed_with_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site()
    server = site.server._server
    server.expiration_interval = 0.01
    stop = threading.Thread(target=site.server.stop)
    with site.server, site.client() as client:
        manager = cast("Any", server)._connections
        put, close = manager.put, manager.close
        closed = threading.Event()

        def put_late(conn: HTTPConnection) -> None:
            if conn.rfile.getvalue():  # after its first request
                stop.start()
                closed.wait(0.5)  # in vain: no put is under way while those put aside are closed
            put(conn)

        def close_all() -> None:
            close()
            closed.set()

        monkeypatch.setattr(manager, "put", put_late)
        monkeypatch.setattr(manager, "close", close_all)
        assert get(client) == b"content"
        assert client.sock is not None
        assert client.sock.recv(1) == b""
        stop.join()


def test_what_comes_while_the_server_stops_is_not_kept_waiting() -> None:
    site = Site()
    server = site.server._server

    def stopping(request: S3Request) -> S3Response:
        server._stopping = True
        return site.operations.object(request)

    site.operations.answer = stopping
    with site.server, site.socket() as early:
        assert site.raw(WHOLE * 2).count(b"HTTP/1.1 200 ") == 1
        assert site.raw(b"") == b""
        early.sendall(BEGUN)
        assert early.recv(1) == b""


def test_a_server_that_has_not_started_need_not_be_stopped() -> None:
    app = make_app(FakeOperations(), bucket="archive", verifier=None)
    server = S3HttpServer(app, port=0)
    server.stop()
    with server:
        pass
    server.stop()


def test_a_taken_port_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = make_app(FakeOperations(), bucket="archive", verifier=None)
        server = S3HttpServer(app, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use") as caught:
            server.start()
    assert caught.value.errno == errno.EADDRINUSE


def test_the_url_is_what_clients_write() -> None:
    app = make_app(FakeOperations(), bucket="archive", verifier=None)
    assert S3HttpServer(app, host="::1", port=9000).url == "http://[::1]:9000"
    with S3HttpServer(app, port=0) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert not server.url.endswith(":0")
