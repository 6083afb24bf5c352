from __future__ import annotations

import errno
import http.client
import logging
import select
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import MagicMock

import pytest

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE
from s3archivefs_lambda.endpoint.body_memory import HOLD_SECONDS
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.connection import State
from s3archivefs_lambda.endpoint.head import MAX_HEAD_BYTES
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.listening import listen
from s3archivefs_lambda.endpoint.messages import HttpRefusal, HttpRequest, HttpResponse
from s3archivefs_lambda.endpoint.server import S3HttpServer
from s3archivefs_lambda.endpoint.thread_shares import KEPT_THREADS, STORE_THREADS, THREADS
from tests.support.adapter.fake_operations import Body, FakeOperations, streamed
from tests.support.adapter.http_site import (
    BEGUN,
    LAST,
    SECONDS,
    WHOLE,
    Clock,
    Site,
    asking_for,
    get,
    rest_of,
    statuses,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from s3archivefs_lambda.s3api.messages import S3Request, S3Response

PIECE = b"x" * 65536
WITH_BODY = b"PUT /archive/k HTTP/1.1\r\nHost:\r\nContent-Length: 1000000000\r\n\r\n"
TICK = 0.01


@pytest.fixture(scope="module")
def running_site() -> Iterator[Site]:
    with Site() as site:
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


class Echo:
    """An application that notes what it is asked."""

    client = ""
    lane = NO_ARCHIVE

    def __init__(self) -> None:
        self.seen: list[HttpRequest] = []
        self.unanswered_statuses: list[int] = []

    def __call__(self, request: HttpRequest) -> Self:
        self.seen.append(request)
        return self

    def at_once(self) -> HttpResponse | None:
        return None

    def answer(self) -> HttpResponse:
        return HttpResponse(status=200, headers=[("Content-Length", "0")], body=Body(()))

    @property
    def refusal_fields(self) -> dict[str, str]:
        return {}

    def unanswered(self, refusal: HttpRefusal | None) -> None:
        self.unanswered_statuses.append(0 if refusal is None else refusal.status)


def test_requests_arrive_as_they_were_sent() -> None:
    targets = [f"/archive/{key}?prefix=a+b%2F&x" for key in RAW_KEYS]
    targets += ["//[x", "http://localhost:1/x?y", "/%", "/?\u00fc"]
    app = Echo()
    with S3HttpServer(app, port=0) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=SECONDS) as client:
            for target in targets:
                head = f"GET {target} HTTP/1.1\r\nHost:\r\nB: 1\r\nA: 2\r\nb: 3\r\n\r\n"
                client.sendall(head.encode("latin-1"))
                assert statuses(client.recv(65536)) == [200]
            ours = client.getsockname()[0]
    assert [request.target for request in app.seen] == targets
    headers = (("host", ""), ("b", "1"), ("a", "2"), ("b", "3"))
    assert {(request.headers, request.client) for request in app.seen} == {(headers, ours)}


def test_what_is_no_request_leaves_no_traceback_and_the_next_is_served(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    answer = site.raw(b"GET\r\nHost:\r\n\r\n")
    assert statuses(answer) == [400]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "from 127.0.0.1: BadRequest" in caplog.text
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


@pytest.mark.parametrize("framing", [b"Content-Length: 500000", b"Transfer-Encoding: chunked"])
def test_a_body_that_is_sent_all_the_same_is_not_taken_for_the_next_request(
    site: Site, framing: bytes
) -> None:
    smuggled = asking_for("smuggled").ljust(500_000)
    answer = site.raw(b"PUT /archive/k HTTP/1.1\r\nHost:\r\n%b\r\n\r\n%b" % (framing, smuggled))
    assert statuses(answer) == [405]
    assert b"Connection: close" in answer
    assert site.operations.asked == []


def test_a_client_that_sends_a_body_first_can_still_read_the_refusal(site: Site) -> None:
    with site.socket() as connection:
        connection.sendall(b"PUT /archive/k HTTP/1.1\r\nHost:\r\nContent-Length: 500000\r\n\r\n")
        answer = rest_of(connection)
        for _ in range(5):
            connection.sendall(b"x" * 100_000)  # would be reset by a closed socket
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_an_expectation_without_a_body_is_answered_at_once(site: Site) -> None:
    answer = site.raw(
        b"GET /archive/k HTTP/1.1\r\nHost:\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\ncontent")


def test_a_fault_of_the_application_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Echo):
        def answer(self) -> HttpResponse:
            raise KeyError("bug")

    app = Faulty()
    with S3HttpServer(app, port=0) as server:
        client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=SECONDS)
        with closing(client):
            client.request("HEAD", "/")
            assert client.getresponse().status == 500
    assert app.unanswered_statuses == [500]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.exc_info is not None for record in errors] == [True]


def test_a_body_of_unknown_length_ends_with_the_connection() -> None:
    class Endless(Echo):
        def answer(self) -> HttpResponse:
            return HttpResponse(status=200, headers=[], body=Body([b"ab", b"", b"c"]))

    with S3HttpServer(Endless(), port=0) as server:
        client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=SECONDS)
        with closing(client):
            client.request("GET", "/")
            response = client.getresponse()
            assert response.getheader("Connection") == "close"
            assert response.read() == b"abc"


# ---- Slow clients --------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["first-request", "pipelined-request"])
def test_heads_that_arrive_slowly_hold_no_thread(site: Site, before: bytes) -> None:
    with ExitStack() as opened:
        slow = [opened.enter_context(site.socket()) for _ in range(2 * THREADS)]
        for connection in slow:
            connection.sendall(before + BEGUN)
            if before:
                assert answers(connection) == [200]
        with site.client() as client:
            assert get(client) == b"content"
        for connection in slow:
            connection.sendall(b"x\r\n\r\n")
            assert answers(connection) == [200]


def answers(connection: socket.socket) -> list[int]:
    """The status of each answer that has come; one to a GET is to end in what it gets."""
    received = b""
    while not received.endswith(b"content"):
        piece = connection.recv(65536)
        assert piece
        received += piece
    return statuses(received)


def test_a_head_has_a_time_to_arrive_in_however_often_something_comes() -> None:
    clock = Clock()
    with Site(clock=clock) as site, site.socket() as silent, site.socket() as slow:
        silent.sendall(BEGUN)
        slow.sendall(BEGUN)
        until(lambda: states(site) == {State.HEAD: 2})
        for _ in range(14):
            clock.now += 1
            slow.sendall(b"x")
            with site.client() as client:
                assert get(client) == b"content"
        assert select.select([silent, slow], [], [], 0)[0] == []
        clock.now += 2
        for connection in (silent, slow):
            answer = rest_of(connection)
            assert statuses(answer) == [408]
            assert b"<Code>RequestTimeout</Code>" in answer
        with site.client() as client:
            assert get(client) == b"content"
    assert len(site.operations.asked) == 15


def states(site: Site) -> Counter[State]:
    """How many connections wait for what."""
    return Counter(connection.state for connection in site.server.connections)


def test_a_clock_that_is_set_back_lets_no_head_take_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = HttpLimits(head_seconds=0.1, tick_seconds=TICK)
    with Site(limits=limits) as site, site.socket() as slow:
        slow.sendall(BEGUN)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        assert statuses(rest_of(slow)) == [408]


def test_a_connection_that_is_not_used_is_closed_in_time() -> None:
    clock = Clock()
    with Site(clock=clock) as site, site.socket() as fresh, site.client() as client:
        get(client)
        until(lambda: states(site) == {State.FRESH: 1, State.IDLE: 1})
        clock.now += 59
        get(client)
        clock.now += 59
        assert fresh.recv(1) == b""
        get(client)
        assert client.sock is not None
        until(lambda: states(site) == {State.IDLE: 1})
        clock.now += 61
        assert client.sock.recv(1) == b""


def test_a_new_request_takes_the_place_of_the_longest_idle_connection() -> None:
    limits = HttpLimits(connections=3, tick_seconds=TICK)
    with Site(limits=limits) as site, ExitStack() as opened:
        idle = [opened.enter_context(site.client()) for _ in range(3)]
        for client in idle:
            get(client)
        with site.socket() as late:
            late.sendall(WHOLE[:5])
            sockets = [client.sock for client in idle]
            readable, _, _ = select.select(sockets, [], [], SECONDS)
            assert readable == [idle[0].sock]
            assert idle[0].sock is not None
            assert ended(idle[0].sock)
            late.sendall(WHOLE[5:])
            assert late.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("stops", [False, True])
def test_a_connection_evicted_before_asyncio_has_opened_it_is_closed(*, stops: bool) -> None:
    clock = Clock()
    with Site(clock=clock) as site, ExitStack() as opened:
        loop = site.server.loop
        come: list[socket.socket] = []

        def evict() -> None:
            come.append(opened.enter_context(site.socket()))
            assert loop.accept_one()
            clock.now += 1
            assert loop.make_room()
            assert len(loop.ending) == 1
            if stops:
                loop.stop()

        loop.call_soon(evict)
        until(lambda: come)
        assert ended(come[0])
        until(lambda: not loop.ending)


def test_half_heads_shut_nobody_out() -> None:
    with Site(limits=HttpLimits(connections=512)) as site, ExitStack() as opened:
        for _ in range(600):
            opened.enter_context(site.socket()).sendall(BEGUN)
        fresh = [opened.enter_context(site.socket()) for _ in range(100)]
        for connection in fresh:
            connection.sendall(WHOLE)
        assert [answers(connection) for connection in fresh] == [[200]] * 100


def test_thousands_of_idle_connections_hold_no_thread_and_nobody_up() -> None:
    with Site(limits=HttpLimits(connections=4096)) as site, ExitStack() as opened:
        before = threading.active_count()
        for _ in range(2000):
            opened.enter_context(site.socket())
        with site.client() as client:
            assert get(client) == b"content"
        assert threading.active_count() == before


def test_a_new_connection_waits_where_none_can_make_room() -> None:
    go_on = threading.Event()
    with Site(limits=HttpLimits(connections=2, tick_seconds=TICK)) as site, ExitStack() as opened:
        site.operations.respond = lambda r: (go_on.wait(SECONDS), site.operations.object(r))[1]
        busy = [opened.enter_context(site.socket()) for _ in range(5)]
        for connection in busy:
            connection.sendall(LAST)
        until(lambda: len(site.operations.asked) == 3)
        assert len(site.server.connections) == 3
        go_on.set()
        assert [statuses(rest_of(connection)) for connection in busy] == [[200]] * 5


def test_without_descriptors_left_the_others_are_served_and_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = HttpLimits(tick_seconds=TICK, accept_pause_seconds=3600)

    class Listener(socket.socket):
        refuses = False
        refusals = 0

        def accept(self) -> tuple[socket.socket, Any]:
            if self.refuses:
                self.refusals += 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    with ExitStack() as opened:
        listener = Listener(fileno=listen("127.0.0.1", 0).detach())
        site = opened.enter_context(Site(limits=limits, listener=listener))
        before, idle, client = (opened.enter_context(site.client()) for _ in range(3))
        get(idle)
        get(before)
        listener.refuses = True
        client.connect()
        until(lambda: listener.refusals)
        for _ in range(10):
            get(before)
        assert listener.refusals == 1  # it does not try again and again
        assert idle.sock is not None
        assert ended(idle.sock)  # it has made room
        listener.refuses = False
        site.server.loop.call_soon(site.server.loop.accept_again)
        get(client)
    assert max(record.levelno for record in caplog.records) == logging.WARNING
    assert "Too many open files" in caplog.text


def ended(connection: socket.socket) -> bool:
    """Whether nothing more comes, once something does."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_head_that_its_client_gives_up_is_no_request(site: Site) -> None:
    with site.socket() as connection:
        connection.sendall(BEGUN)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert site.operations.asked == []


def test_requests_that_come_together_are_answered_in_turn(site: Site) -> None:
    keys = [str(number) for number in range(2000)]  # more than are received ahead
    answer = site.raw(b"".join(map(asking_for, keys)) + LAST)
    assert statuses(answer) == [200] * 2001
    assert site.keys == [*keys, "k"]


def test_no_more_is_received_ahead_than_a_head_and_what_comes_at_once() -> None:
    ahead: list[int] = []
    large = BEGUN + b"x" * 16_000 + b"\r\n\r\n"
    with Site() as site, site.socket() as connection:

        def answer(request: S3Request) -> S3Response:
            ahead.extend(len(each.heads) for each in site.server.connections)
            return site.operations.object(request)

        site.operations.respond = answer
        sending = threading.Thread(target=connection.sendall, args=[large * 300 + LAST])
        sending.start()
        assert statuses(rest_of(connection)) == [200] * 301
        sending.join()
    assert max(ahead) <= MAX_HEAD_BYTES + (256 << 10)  # asyncio receives as much


def test_a_connection_that_lingers_after_its_last_answer_holds_no_thread() -> None:
    limits = HttpLimits(linger_seconds=60)
    with Site(limits=limits) as site, ExitStack() as opened:
        for _ in range(2 * THREADS):
            connection = opened.enter_context(site.socket())
            connection.sendall(WITH_BODY)
            assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")
        with site.client() as client:
            assert get(client) == b"content"


@pytest.mark.parametrize(
    ("piece", "limits"),
    [
        (b"x", HttpLimits(linger_seconds=0.3, linger_bytes=1 << 40, tick_seconds=TICK)),
        (PIECE, HttpLimits(linger_seconds=1 << 40)),
    ],
    ids=["slowly", "much"],
)
def test_a_body_that_nobody_wants_is_not_taken_for_ever(piece: bytes, limits: HttpLimits) -> None:
    with Site(limits=limits) as site, site.socket() as connection:
        connection.sendall(WITH_BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 405 ")
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            keep_sending(connection, piece)


def keep_sending(connection: socket.socket, piece: bytes) -> None:
    for _ in range(2000):
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


def test_a_small_answer_leaves_in_one_write_and_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[bytes] = []

    def send(self: socket.socket, data: bytes) -> int:  # clients of tests call sendall()
        assert self.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sent.append(bytes(data))
        return real(self, data)

    with Site() as site, site.client() as client:
        get(client)
        real = socket.socket.send
        monkeypatch.setattr(socket.socket, "send", send)
        get(client)
        monkeypatch.undo()
    (answer,) = sent
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"content")


# ---- Answers on the event loop -------------------------------------------------------------------


def test_what_is_at_hand_is_answered_though_every_thread_is_busy() -> None:
    go_on = threading.Event()

    with Site() as site, ExitStack() as opened:
        operations = site.operations

        def respond(request: S3Request) -> S3Response:
            assert request.key == "quick" or go_on.wait(SECONDS)
            return operations.object(request)

        operations.respond = respond
        slow = [opened.enter_context(site.socket()) for _ in range(THREADS)]
        for connection in slow:
            connection.sendall(asking_for("slow"))
        until(lambda: len(site.operations.asked) == STORE_THREADS - KEPT_THREADS)
        until(lambda: site.server.answers == THREADS)  # none is to come to the event loop
        site.operations.is_at_hand = True
        with site.client() as client:
            assert get(client, "quick") == b"content"
        go_on.set()
        assert [answers(connection) for connection in slow] == [[200]] * THREADS


def test_requests_sent_at_once_are_answered_in_turn_with_those_of_others() -> None:
    with Site() as site, site.socket() as many, site.socket() as other:
        site.operations.is_at_hand = True
        many.sendall(WHOLE * 1000)
        until(lambda: site.keys)
        other.sendall(asking_for("other"))
        assert answers(other) == [200]
        assert "other" in site.keys[:1000]
        many.shutdown(socket.SHUT_WR)


def test_a_reader_who_does_not_read_is_answered_no_further() -> None:
    with Site() as site, site.socket() as silent, site.client() as client:
        site.operations.is_at_hand = True
        site.operations.content = b"x" * 65536
        silent.setblocking(False)  # noqa: FBT003 -- as the standard library has it
        sent = 0
        while site.server.answers == 0:  # none is under way as long as all is taken
            with suppress(BlockingIOError):
                sent += silent.send(WHOLE * 100) // len(WHOLE)
        answered = len(site.operations.asked)
        site.operations.content = b"content"
        assert get(client) == b"content"
        assert len(site.operations.asked) == answered + 1 < sent


def test_a_fault_on_the_event_loop_is_an_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Echo):
        def at_once(self) -> HttpResponse | None:
            raise KeyError("bug")

    app = Faulty()
    with S3HttpServer(app, port=0) as server:
        for _ in range(2):
            client = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=SECONDS)
            with closing(client):
                client.request("GET", "/")
                assert client.getresponse().status == 500
    assert app.unanswered_statuses == [500, 500]
    assert "the application failed" in caplog.text


# ---- Bodies --------------------------------------------------------------------------------------


class Closing(Body):
    """A body that counts how often it is closed."""

    def __init__(self, *args: Iterator[bytes]) -> None:
        super().__init__(*args)
        self.closes = 0

    def close(self) -> None:
        super().close()
        self.closes += 1


def endless() -> Closing:
    return Closing(PIECE for _ in range(1 << 20))


def streaming(body: Body) -> Callable[[S3Request], S3Response]:
    return streamed(body, (1 << 20) * len(PIECE))


def test_a_body_waits_for_its_reader(site: Site) -> None:
    body = endless()
    site.operations.respond = streaming(body)
    with site.client() as client, site.client() as other:
        client.request("GET", "/archive/k")
        with client.getresponse() as response:
            read = len(response.read(1 << 20))
            site.operations.respond = site.operations.object
            for _ in range(300):
                get(other)  # gives it time to run ahead
            assert body.produced < read + (32 << 20)  # what sockets and the client may hold


def test_readers_who_do_not_read_hold_no_thread(site: Site) -> None:
    bodies: list[Closing] = []

    def answer(_: S3Request) -> S3Response:
        bodies.append(endless())
        return streaming(bodies[-1])(_)

    site.operations.respond = answer
    with ExitStack() as opened:
        for _ in range(THREADS + 8):
            opened.enter_context(site.socket()).sendall(WHOLE)
        until(lambda: len(bodies) == THREADS + 8 and site.pool.is_idle)
        site.operations.respond = site.operations.object
        with site.client() as client:
            for _ in range(20):
                assert get(client) == b"content"
        assert sum(body.produced for body in bodies) < len(bodies) * (16 << 20)
    until(lambda: all(body.closes == 1 for body in bodies))


def test_a_reader_below_the_minimum_rate_is_cut_off_and_one_above_is_not() -> None:
    clock = Clock()
    with Site(clock=clock) as site, site.socket() as silent, site.client() as reader:
        bodies = [endless(), endless()]
        site.operations.respond = streaming(bodies[0])
        silent.sendall(WHOLE)
        until(lambda: bodies[0].produced and site.pool.is_idle)
        site.operations.respond = streaming(bodies[1])
        reader.request("GET", "/archive/k")
        with reader.getresponse() as response:
            while not bodies[0].closed:
                clock.now += 10
                assert response.read(1 << 20)
            assert response.read(64 << 20)
        assert clock.now >= 1060
        assert bodies[0].closes == 1
        assert bodies[1].closes == 0


def test_a_reader_who_holds_memory_that_others_wait_for_is_cut_off() -> None:
    clock = Clock()
    limits = HttpLimits(body_bytes=3 << 19, rate_seconds=1 << 30, tick_seconds=TICK)
    pieces = [bytes([number]) * (1 << 20) for number in range(16)]
    with Site(clock=clock, limits=limits) as site, site.socket() as silent, site.client() as client:
        memory = site.server.loop.memory
        body = Closing(bytes(1 if n == 0 else 1 << 20) for n in range(1 << 10))
        site.operations.respond = streamed(body, (1023 << 20) + 1)
        silent.sendall(WHOLE)
        until(lambda: body.produced > 1)
        site.operations.respond = streamed(Closing(iter(pieces)), 16 << 20)
        client.request("GET", "/archive/k")
        with client.getresponse() as response:
            assert response.read(1 << 20) == pieces[0]
            until(lambda: memory.waiting)
            assert body.closes == 0
            while not body.closed:  # it may have been about to take another piece
                clock.now += HOLD_SECONDS
                assert statuses(site.raw(b"GET / HTTP/1.0\r\n\r\n")) == [200]
            assert response.read() == b"".join(pieces[1:])
        assert body.closes == 1


def test_readers_who_do_not_read_keep_no_memory_from_another_client() -> None:
    clock = Clock()
    limits = HttpLimits(body_bytes=8 << 20, tick_seconds=TICK)
    pieces = [bytes([number]) * (1 << 20) for number in range(16)]
    with Site(clock=clock, limits=limits) as site, ExitStack() as opened:
        bodies = [Closing(bytes(1 << 20) for _ in range(1 << 10)) for _ in range(20)]
        for body in bodies:
            site.operations.respond = streamed(body, 1 << 30)
            silent = opened.enter_context(socket.socket())
            silent.bind(("127.0.0.2", 0))
            silent.connect(site.address)
            silent.sendall(WHOLE)
            until(lambda: body.produced)  # noqa: B023 -- at once
        site.operations.respond = streamed(Closing(iter(pieces)), 16 << 20)
        with site.client() as client:
            assert get(client) == b"".join(pieces)
        assert not any(body.closed for body in bodies)


def test_where_too_many_are_answered_slow_readers_make_way_before_a_request_is_refused() -> None:
    clock = Clock()
    limits = HttpLimits(answers=2, rate_seconds=1 << 30, tick_seconds=TICK)
    with Site(clock=clock, limits=limits) as site, ExitStack() as opened:
        bodies = [endless(), endless()]
        for body in bodies:
            site.operations.respond = streaming(body)
            opened.enter_context(site.socket()).sendall(WHOLE)
            until(lambda: body.produced)  # noqa: B023 -- at once
        site.operations.respond = site.operations.object
        refusal = site.raw(WHOLE)
        assert statuses(refusal) == [503]
        assert b"<Code>SlowDown</Code>" in refusal
        while statuses(site.raw(LAST)) != [200]:  # they may have been about to take a piece
            clock.now += HOLD_SECONDS
        until(lambda: any(body.closed for body in bodies))


def test_a_reader_that_waits_for_the_endpoint_is_not_too_slow() -> None:
    clock, go_on = Clock(), threading.Event()

    def body() -> Iterator[bytes]:
        yield PIECE
        assert go_on.wait(SECONDS)
        yield PIECE

    with Site(clock=clock) as site, site.client() as client, site.client() as other:
        site.operations.respond = streamed(Body(body()), 2 * len(PIECE))
        client.request("GET", "/archive/k")
        with client.getresponse() as response:
            assert response.read(len(PIECE)) == PIECE
            site.operations.respond = site.operations.object
            for _ in range(20):
                clock.now += 30
                get(other)
            go_on.set()
            assert response.read() == PIECE


def test_a_large_body_arrives_whole(site: Site) -> None:
    pieces = [bytes([number]) * (1 << 20) for number in range(24)]
    body = Closing(iter(pieces))
    site.operations.respond = streamed(body, 24 << 20)
    with site.client() as client:
        assert get(client) == b"".join(pieces)
    assert body.closes == 1


def test_a_body_of_short_pieces_arrives_whole_and_in_few_turns(site: Site) -> None:
    pieces = [number.to_bytes(2, "big") * 600 for number in range(10_000)]
    body = Closing(iter(pieces))
    site.operations.respond = streamed(body, 12_000_000)
    with site.client() as client:
        assert get(client) == b"".join(pieces)
    assert body.closes == 1


def broken_body() -> Iterator[bytes]:
    yield PIECE
    raise OSError("gone")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(broken_body, id="fails"),
        pytest.param(lambda: iter([PIECE]), id="short"),
        pytest.param(lambda: iter([]), id="empty"),
        pytest.param(lambda: iter([PIECE, PIECE * 2]), id="long"),
        pytest.param(lambda: iter([PIECE, PIECE, PIECE]), id="goes-on"),
    ],
)
def test_a_body_that_breaks_off_is_never_taken_for_a_whole(
    site: Site, caplog: pytest.LogCaptureFixture, body: Callable[[], Iterator[bytes]]
) -> None:
    made = Closing(body())
    site.operations.respond = streamed(made, 2 * len(PIECE))
    with site.client() as client:
        client.request("GET", "/archive/k")
        with pytest.raises((http.client.HTTPException, OSError)):
            client.getresponse().read()
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("broke off" in record.getMessage() for record in errors)
    assert made.closes == 1
    site.operations.reset()
    with site.client() as client:
        assert get(client) == b"content"


def test_a_reader_who_leaves_ends_the_body(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    body = endless()
    site.operations.respond = streaming(body)
    with site.client() as client:
        client.request("GET", "/archive/k")
        client.getresponse().close()
    until(lambda: body.closed)
    assert body.closes == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_reader_who_leaves_while_a_piece_is_made_ends_the_body_after_it(site: Site) -> None:
    made, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield PIECE
        made.set()
        assert go_on.wait(SECONDS)
        yield PIECE
        yield PIECE

    body = Closing(pieces())
    site.operations.respond = streamed(body, 3 * len(PIECE))
    with site.socket() as client:
        client.sendall(WHOLE)
        assert made.wait(SECONDS)
        under_way = site.server.answers
    until(lambda: site.server.answers < under_way)
    assert not body.closed  # nobody closes what a thread reads from
    go_on.set()
    until(lambda: body.closed)
    assert (body.closes, body.produced) == (1, 2 * len(PIECE))


# ---- Starting and stopping -----------------------------------------------------------------------


def test_a_request_in_flight_is_finished() -> None:
    go_on = threading.Event()

    def body() -> Iterator[bytes]:
        yield PIECE
        assert go_on.wait(SECONDS)
        yield PIECE

    with Site() as site, site.client() as client:
        site.operations.respond = streamed(Body(body()), 2 * len(PIECE))
        client.request("GET", "/archive/k")
        response = client.getresponse()
        stop = threading.Thread(target=site.server.stop)
        stop.start()
        until(site.is_refused)
        go_on.set()
        assert response.read() == PIECE * 2
        stop.join()


def test_what_was_received_is_answered_though_the_kernel_alone_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of the requests come on connections that nobody has accepted yet."""
    asleep, go_on = threading.Event(), threading.Event()

    def sleep() -> None:
        asleep.set()
        assert go_on.wait(SECONDS)

    with Site() as site, ExitStack() as opened:
        early = [opened.enter_context(site.socket()) for _ in range(50)]
        until(lambda: len(site.server.connections) == 50)
        site.server.loop.call_soon(sleep)
        assert asleep.wait(SECONDS)
        late = [opened.enter_context(site.socket()) for _ in range(50)]
        idle = opened.enter_context(site.socket())
        begun = opened.enter_context(site.socket())
        begun.sendall(BEGUN)
        for connection in early + late:
            connection.sendall(WHOLE * 2)
        call_soon = MagicMock(side_effect=site.server.loop.call_soon)
        monkeypatch.setattr(site.server.loop, "call_soon", call_soon)
        stop = threading.Thread(target=site.server.stop)
        stop.start()
        until(lambda: call_soon.called)
        go_on.set()
        for connection in early + late:
            answer = rest_of(connection)
            assert statuses(answer) == [200, 200]
            assert answer.count(b"Connection: close") == 1
        assert rest_of(idle) == b""
        assert rest_of(begun) == b""
        stop.join()
    assert len(site.operations.asked) == 200


def test_a_reader_who_does_not_read_does_not_keep_the_server_up() -> None:
    body = endless()
    with Site(limits=HttpLimits(stop_seconds=0)) as site, site.client() as client:
        site.operations.respond = streaming(body)
        client.request("GET", "/archive/k")
        client.getresponse()
        site.server.stop()
        assert body.closes == 1


def test_requests_that_wait_are_given_up_when_the_time_is_over() -> None:
    clock, go_on = Clock(), threading.Event()
    running = STORE_THREADS - KEPT_THREADS
    with Site(clock=clock) as site, ExitStack() as opened:
        site.operations.respond = lambda r: (go_on.wait(SECONDS), site.operations.object(r))[1]
        for _ in range(THREADS + 10):
            opened.enter_context(site.socket()).sendall(WHOLE)
        until(lambda: site.server.answers == THREADS + 10)
        until(lambda: len(site.operations.asked) == running)
        stop = threading.Thread(target=site.server.stop)
        stop.start()
        until(site.is_refused)
        assert site.server.answers == THREADS + 10
        clock.now += 8
        until(lambda: site.server.answers == 0)
        go_on.set()
        stop.join()
    assert len(site.operations.asked) == running


def test_idle_connections_do_not_keep_the_server_up() -> None:
    with ExitStack() as idle:
        with Site() as site:
            idle.enter_context(site.socket())
            client = idle.enter_context(site.client())
            get(client)
            assert client.sock is not None
        assert client.sock.recv(1) == b""


def test_a_server_that_has_not_started_need_not_be_stopped() -> None:
    app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=None)
    server = S3HttpServer(app, port=0)
    server.stop()
    with server:
        pass
    server.stop()
    server.wait()


def test_a_taken_port_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=None)
        server = S3HttpServer(app, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use") as caught:
            server.start()
        server.stop()
    assert caught.value.errno == errno.EADDRINUSE


def test_the_url_is_what_clients_write() -> None:
    app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=None)
    assert S3HttpServer(app, host="::1", port=9000).url == "http://[::1]:9000"
    with S3HttpServer(app, port=0) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert not server.url.endswith(":0")
