"""Which worker accepts a connection: all get as many, and none waits for one that is stuck."""

from __future__ import annotations

import copy
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.accept_shares import AcceptShares
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.listening import listen
from s3archivefs_lambda.endpoint.server import S3HttpServer
from tests.support.adapter.http_site import until

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 1000.0


class Workers:
    """Workers without processes, and connections that wait for them."""

    def __init__(self, count: int) -> None:
        shared = AcceptShares(count, patience_seconds=PATIENCE)
        self.shares = [copy.copy(shared) for _ in range(count)]  # as fork does
        for place, each in enumerate(self.shares):
            each.begin(place)
        self.open = [0] * count
        self.waiting = 0

    def opened(self, counts: Sequence[int]) -> None:
        for place, count in enumerate(counts):
            self.open[place] = count
            self.shares[place].note(count)

    def wake(self, place: int, now: float = 0) -> int:
        """Let a worker accept; return how many connections it took."""
        if not self.waiting:
            return 0
        taken = self.shares[place].of_waiting(self.waiting, now)
        assert 0 <= taken <= self.waiting
        self.waiting -= taken
        self.open[place] += taken
        self.shares[place].note(self.open[place])
        return taken

    def wake_all(self, now: float = 0) -> int:
        return sum([self.wake(place, now) for place in range(len(self.open))])


@given(data=st.data(), count=st.integers(1, 5))
def test_workers_get_as_many_connections_whatever_comes_when_and_whoever_wakes(
    data: st.DataObject, count: int
) -> None:
    workers = Workers(count)
    for _ in range(data.draw(st.integers(1, 30), label="bursts")):
        workers.waiting += data.draw(st.integers(0, 12), label="new")
        for place in data.draw(st.lists(st.integers(0, count - 1), max_size=4), label="woken"):
            workers.wake(place)
    while workers.waiting:
        assert workers.wake_all() > 0
    assert max(workers.open) - min(workers.open) <= 1


@given(counts=st.lists(st.integers(0, 100), min_size=1, max_size=5), new=st.integers(1, 300))
def test_connections_go_where_there_are_fewest_until_all_have_as_many(
    counts: list[int], new: int
) -> None:
    workers = Workers(len(counts))
    workers.opened(counts)
    workers.waiting = new
    while workers.waiting:
        assert workers.wake_all() > 0
    grown = [now for now, before in zip(workers.open, counts, strict=True) if now > before]
    assert max(grown) - min(workers.open) <= 1


def test_connections_are_left_to_a_worker_that_is_stuck_for_a_moment_only() -> None:
    workers = Workers(2)
    workers.opened([3, 0])
    for begun in (0.0, 2 * PATIENCE):
        workers.waiting = 2
        assert [workers.wake(0, begun + at) for at in (0, 1, PATIENCE - 1)] == [0, 0, 0]
        assert workers.wake(0, begun + PATIENCE) == 2


def test_the_moment_begins_again_once_others_took_what_was_left_to_them() -> None:
    workers = Workers(2)
    workers.opened([3, 0])
    workers.waiting = 1
    assert [workers.wake(0), workers.wake(1)] == [0, 1]
    workers.shares[0].none_waits()
    workers.waiting = 1
    assert workers.wake(0, PATIENCE) == 0


def test_the_moment_begins_again_for_what_comes_long_after() -> None:
    workers = Workers(2)
    workers.opened([3, 0])
    for begun in (0, 5 * PATIENCE):
        workers.waiting = 1
        assert [workers.wake(0, begun), workers.wake(1, begun)] == [0, 1]


def test_a_worker_looks_again_at_once_before_it_looks_later() -> None:
    workers = Workers(2)
    workers.opened([3, 0])
    workers.waiting = 1
    left = workers.shares[0]
    later = [left.looks_later]
    for _ in range(20):
        assert workers.wake(0) == 0
        later.append(left.looks_later)
    left.none_waits()
    assert (later[:5], later[-5:], left.looks_later) == ([False] * 5, [True] * 5, False)


def test_nothing_is_left_to_a_worker_that_has_ended() -> None:
    workers = Workers(2)
    workers.opened([3, 0])
    workers.shares[0].leave(1)
    workers.waiting = 5
    assert workers.wake(0) == 5


def have(servers: Sequence[S3HttpServer], count: int) -> bool:
    return sum(len(server.connections) for server in servers) == count


def test_servers_at_one_socket_divide_connections() -> None:
    shared = AcceptShares(2, patience_seconds=PATIENCE)
    with ExitStack() as started:
        listener = started.enter_context(listen("127.0.0.1", 0))
        servers = []
        for place in range(2):
            shares = copy.copy(shared)
            shares.begin(place)
            own = listener.dup()  # as fork does; each server closes its own
            server = S3HttpServer(make_app({}, verifier=None), listener=own, shares=shares)
            servers.append(started.enter_context(server))
        for count in range(1, 18):
            started.enter_context(socket.create_connection(listener.getsockname()))
            until(partial(have, servers, count))
        assert sorted(len(server.connections) for server in servers) == [8, 9]
