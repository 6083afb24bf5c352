"""Who gets a thread, and when; through the server, whose requests are held until a test lets go."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.endpoint.archive_lanes import NO_ARCHIVE
from s3archivefs_lambda.endpoint.request_pool import Job, RequestPool, Waiting
from s3archivefs_lambda.endpoint.thread_shares import (
    KEPT_THREADS,
    LOCAL_THREADS,
    STORE_THREADS,
    THREADS,
    ThreadShares,
)
from tests.support.adapter.http_site import (
    SECONDS,
    Site,
    asking_for,
    get,
    rest_of,
    statuses,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s3archivefs_lambda.s3api.messages import S3Request, S3Response


class Held:
    """A site where requests for keys in `slow` lanes wait until they are let go."""

    def __init__(self, opened: ExitStack, *slow: str, pool: RequestPool | None = None) -> None:
        self.go_on = threading.Event()
        self.slow = slow
        self.site = opened.enter_context(Site(pool=pool))
        self._opened = opened
        self.site.operations.respond = self._answer
        opened.callback(self.go_on.set)

    def _answer(self, request: S3Request) -> S3Response:
        if request.key.partition("/")[0] in self.slow:
            assert self.go_on.wait(SECONDS)
        return self.site.operations.object(request)

    def ask(self, key: str, count: int = 1) -> list[socket.socket]:
        """Send requests, each on a connection of its own."""
        before = self.site.server.answers
        asked = [self._opened.enter_context(self.site.socket()) for _ in range(count)]
        for connection in asked:
            connection.sendall(asking_for(key))
        until(lambda: self.site.server.answers == before + count)
        return asked

    def executed(self) -> Counter[str]:
        """How many operations have begun, by lane."""
        return Counter(key.partition("/")[0] for key in list(self.site.keys))

    def executed_in(self, lanes: Iterable[str], count: int) -> int:
        """How many operations have begun in lanes, once there are `count` at least."""
        until(lambda: sum(self.executed()[lane] for lane in lanes) >= count)
        return sum(self.executed()[lane] for lane in lanes)


def threads(count: int) -> ThreadShares:
    """Threads that anyone may take."""
    return ThreadShares(count, local=0, store=count, kept=0)


def test_a_slow_archive_leaves_others_their_threads() -> None:
    with ExitStack() as opened:
        held = Held(opened, "remote.slow")
        slow = held.ask("remote.slow/k", 64)
        with held.site.client() as client:
            for key in ("local/k", "remote.other/k", "remote-other/k", "local/k"):
                assert get(client, key) == b"content"
        most = STORE_THREADS - KEPT_THREADS
        assert held.executed_in(["remote.slow"], most) == most
        held.go_on.set()
        for connection in slow:
            assert statuses(connection.recv(65536)) == [200]


@pytest.mark.parametrize("store", ["remote", "local"])
def test_slow_archives_of_one_store_leave_threads_to_other_stores(store: str) -> None:
    with ExitStack() as opened:
        archives = [f"{store}.{number}" for number in range(2 * STORE_THREADS)]
        held = Held(opened, *archives)
        for archive in archives:
            held.ask(f"{archive}/k", 4)
        with held.site.client() as client:
            for key in ("remote-other/k", "local-other/k", "k"):
                assert get(client, key) == b"content"
        assert held.executed_in(archives, STORE_THREADS) == STORE_THREADS


@pytest.mark.parametrize("store", ["remote", "local"])
def test_two_slow_archives_leave_threads_to_others_of_their_store(store: str) -> None:
    with ExitStack() as opened:
        archives = [f"{store}.{number}" for number in range(2)]
        held = Held(opened, *archives)
        for archive in archives:
            held.ask(f"{archive}/k", 32)
        with held.site.client() as client:
            assert get(client, f"{store}.other/k") == b"content"
        most = STORE_THREADS - KEPT_THREADS + 1
        assert held.executed_in(archives, most) == most


def test_two_slow_stores_leave_threads_to_others() -> None:
    with ExitStack() as opened:
        archives = [f"remote-{store}.{number}" for store in range(2) for number in range(32)]
        held = Held(opened, *archives)
        for archive in archives:
            held.ask(f"{archive}/k", 2)
        with held.site.client() as client:
            for key in ("remote-other/k", "local/k"):
                assert get(client, key) == b"content"
        most = THREADS - LOCAL_THREADS - KEPT_THREADS
        assert held.executed_in(archives, most) == most


def test_slow_stores_together_leave_some_threads_to_what_is_local() -> None:
    with ExitStack() as opened:
        stores = [f"remote-{number}" for number in range(8)]
        held = Held(opened, *stores, "local")
        for store in (*stores, "local"):
            held.ask(f"{store}/k", 24)
        with held.site.client() as client:
            assert get(client, "k") == b"content"
        most = THREADS - LOCAL_THREADS
        assert held.executed_in(stores, most) == most
        most = LOCAL_THREADS - KEPT_THREADS
        assert held.executed_in(["local"], most) == most


def test_lanes_take_turns() -> None:
    pool = RequestPool(threads(1))
    with ExitStack() as opened:
        held = Held(opened, "blocking", pool=pool)
        held.ask("blocking/k")
        many = held.ask("many/k", 20)
        few = held.ask("few/k", 2)
        held.go_on.set()
        for connection in many + few:
            assert statuses(connection.recv(65536)) == [200]
        lanes = [key.partition("/")[0] for key in held.site.keys]
        assert lanes[:5] == ["blocking", "many", "few", "many", "few"]


def test_requests_of_clients_that_have_gone_are_never_executed() -> None:
    pool = RequestPool(threads(2))
    with ExitStack() as opened:
        held = Held(opened, "k", pool=pool)
        held.ask("k", 2)
        gone = held.ask("k", 100)
        stays = held.ask("k", 3)
        for connection in gone:
            connection.close()
        until(lambda: held.site.server.answers == 5)
        held.go_on.set()
        for connection in stays:
            assert statuses(connection.recv(65536)) == [200]
        assert len(held.site.operations.asked) == 5


def test_where_too_many_wait_the_longest_lane_gives_up_its_last() -> None:
    pool = RequestPool(threads(1), max_waiting=4)
    with ExitStack() as opened:
        held = Held(opened, "many", pool=pool)
        held.ask("many/running")
        waiting = held.ask("many/k", 4)
        until(lambda: held.site.server.waiting == 4)
        late = opened.enter_context(held.site.socket())
        late.sendall(asking_for("many/k"))
        refusal = rest_of(late)
        assert statuses(refusal) == [503]
        assert b"<Code>SlowDown</Code>" in refusal
        other = opened.enter_context(held.site.socket())
        other.sendall(asking_for("other/k"))
        given_up = waiting.pop()
        assert statuses(rest_of(given_up)) == [503]
        held.go_on.set()
        for connection in (*waiting, other):
            assert statuses(connection.recv(65536)) == [200]


def test_where_too_many_wait_the_store_for_which_most_do_gives_one_up() -> None:
    pool = RequestPool(threads(1), max_waiting=8)
    with ExitStack() as opened:
        held = Held(opened, "running", pool=pool)
        held.ask("running/k")
        few = held.ask("few/k", 2)
        (lone,) = held.ask("lone/k")
        many = [connection for number in range(5) for connection in held.ask(f"many.{number}/k")]
        late = opened.enter_context(held.site.socket())
        late.sendall(asking_for("lone/k"))
        assert statuses(rest_of(many.pop(0))) == [503]
        held.go_on.set()
        for connection in (*few, lone, late, *many):
            assert statuses(connection.recv(65536)) == [200]


def test_a_request_arrives_before_it_waits_for_a_thread() -> None:
    with ExitStack() as opened:
        held = Held(opened, "k", pool=RequestPool(threads(1)))
        asked = held.ask("k", 2)
        before = (time.time(), time.monotonic())
        held.go_on.set()
        for connection in asked:
            assert statuses(connection.recv(65536)) == [200]
        assert all(request.arrived <= before[0] for request in held.site.requests)
        assert all(request.started <= before[1] for request in held.site.requests)
        assert len(held.site.requests) == 2


def test_long_bodies_and_new_requests_of_one_archive_take_turns() -> None:
    def job(name: str, *, is_new: bool) -> Job:
        return Job(NO_ARCHIVE, lambda: name, print, print if is_new else None)

    waiting = Waiting()
    for number in range(3):
        waiting.add(job(f"piece {number}", is_new=False))
    for number in range(2):
        waiting.add(job(f"request {number}", is_new=True))
    taken = [waiting.pop().work() for _ in range(5)]
    assert taken == ["piece 0", "request 0", "piece 1", "request 1", "piece 2"]
    assert not waiting


def test_a_pool_that_was_never_started_can_be_ended() -> None:
    RequestPool().end()
