"""How many connections one client may have open."""

from __future__ import annotations

import ipaddress
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.proxies import Proxies
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.http_site import (
    LAST,
    SECONDS,
    WHOLE,
    Clock,
    Site,
    get,
    statuses,
    until,
)

if TYPE_CHECKING:
    from s3archivefs_lambda.s3api.messages import S3Request, S3Response

MOST = 3
LIMITS = HttpLimits(tick_seconds=0.01, connections_per_client=MOST)


def test_for_one_connection_more_the_clients_oldest_idle_one_is_closed() -> None:
    with Site(limits=LIMITS) as site, ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(MOST + 1)]
        for client in clients:
            assert get(client) == b"content"
        until(lambda: len(site.server.connections) == MOST)
        assert clients[0].sock is not None
        assert clients[0].sock.recv(1) == b""
        for client in clients[1:]:
            assert get(client) == b"content"


def test_a_client_whose_connections_all_are_busy_is_told_to_slow_down() -> None:
    ready = threading.Event()

    def when_ready(request: S3Request) -> S3Response:
        ready.wait(SECONDS)
        return FakeOperations().object(request)

    with Site(limits=LIMITS) as site, ExitStack() as stack:
        site.operations.respond = when_ready
        busy = [stack.enter_context(site.socket()) for _ in range(MOST)]
        for client in busy:
            client.sendall(WHOLE)
        until(lambda: site.server.answers == MOST)
        answer = site.raw(WHOLE)
        ready.set()
        assert statuses(answer) == [503]
        assert b"<Code>SlowDown</Code>" in answer
        for client in busy:
            assert statuses(client.recv(65536)) == [200]


def test_connections_that_are_closed_leave_their_place() -> None:
    with Site(limits=LIMITS) as site:
        for _ in range(3 * MOST):
            assert statuses(site.raw(LAST)) == [200]


def test_connections_that_say_nothing_do_not_pile_up() -> None:
    clock = Clock()
    with Site(limits=LIMITS, clock=clock) as site, ExitStack() as stack:
        opened: list[socket.socket] = []
        for _ in range(3 * MOST):
            opened.append(stack.enter_context(site.socket()))
            if len(opened) > MOST:
                assert opened.pop(0).recv(1) == b""
            else:
                until(lambda: len(site.server.connections) == len(opened))
            clock.now += 1
        assert statuses(site.raw(LAST)) == [200]


def test_the_limit_does_not_concern_trusted_proxies() -> None:
    proxies = Proxies([ipaddress.ip_network("127.0.0.0/8")])
    with Site(limits=LIMITS, proxies=proxies) as site, ExitStack() as stack:
        clients = [stack.enter_context(site.client()) for _ in range(2 * MOST)]
        for client in clients:
            assert get(client) == b"content"
        assert len(site.server.connections) == 2 * MOST
