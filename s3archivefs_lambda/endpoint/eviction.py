"""Which connections are closed when there is no place left for a new one."""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.connection import Connection, State

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["choose_victims"]

_YOUNG_SECONDS = 0.25
"""Seconds within which a head arrives that is sent with the connection."""


def choose_victims(connections: Iterable[Connection], now: float, count: int) -> list[Connection]:
    """Return up to `count` connections that wait for their client, the first to close first.

    Each is taken from the client that has most of them, in this order: a connection that lingers
    after its last answer, one that sent half a head, an idle one, one that never sent anything. Of
    equals, the oldest goes first. For a quarter of a second, a new connection is not taken, nor one
    that began to send a head.
    """
    by_client: dict[str, list[tuple[tuple[int, float], Connection]]] = defaultdict(list)
    for connection in connections:
        rank = _rank(connection, now)
        if rank is not None:
            by_client[connection.client].append(((rank, connection.since), connection))
    clients = []
    for number, waiting in enumerate(by_client.values()):
        waiting.sort(key=lambda each: each[0], reverse=True)  # so that pop() gives the first
        clients.append((-len(waiting), number, waiting))
    heapq.heapify(clients)
    victims: list[Connection] = []
    while clients and len(victims) < count:
        _, number, waiting = clients[0]
        victims.append(waiting.pop()[1])
        if waiting:
            heapq.heapreplace(clients, (-len(waiting), number, waiting))
        else:
            heapq.heappop(clients)
    return victims


def _rank(connection: Connection, now: float) -> int | None:
    match connection.state:
        case State.LINGER:
            return 0
        case State.HEAD if now - connection.since > _YOUNG_SECONDS:
            return 1
        case State.IDLE:
            return 2
        case State.FRESH if now - connection.since > _YOUNG_SECONDS:
            return 3
        case _:
            return None
