"""The connections of the HTTP server: accepted, timed, evicted and ended on one event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.endpoint.body_memory import BodyMemory
from s3archivefs_lambda.endpoint.connection import Connection
from s3archivefs_lambda.endpoint.eviction import choose_victims
from s3archivefs_lambda.endpoint.listening import BACKLOG, has_waiting, waiting_at
from s3archivefs_lambda.endpoint.tls import TlsLayer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from s3archivefs_lambda.endpoint.accept_shares import AcceptShares
    from s3archivefs_lambda.endpoint.answer import Answer
    from s3archivefs_lambda.endpoint.client_connections import ClientConnections
    from s3archivefs_lambda.endpoint.limits import HttpLimits
    from s3archivefs_lambda.endpoint.messages import HttpApplication
    from s3archivefs_lambda.endpoint.request_pool import RequestPool
    from s3archivefs_lambda.endpoint.tls import Certificate

__all__ = ["ConnectionLoop"]

_LOG = logging.getLogger("s3archivefs")

_LOOK_SECONDS = 0.02
"""Seconds between two looks, while the server stops, at whether all has ended."""
_LEFT_SECONDS = 0.001
"""Seconds for which new connections are left to other workers, until the next look."""
_EVICTED_SHARE = 32
"""One of so many connections is evicted at once: to choose costs each little."""


class ConnectionLoop:
    """The listening socket and all connections, on the event loop.

    Only `call_soon` may be called from other threads than that of `run`.
    """

    def __init__(
        self,
        app: HttpApplication,
        *,
        limits: HttpLimits,
        pool: RequestPool,
        certificate: Certificate | None,
        clock: Callable[[], float],
        shares: AcceptShares,
        clients: ClientConnections,
        on_tick: Callable[[], None],
    ) -> None:
        self.app = app
        self.limits = limits
        self.pool = pool
        self.certificate = certificate
        self.clock = clock
        self._shares = shares
        self.memory: BodyMemory[Answer] = BodyMemory(clock, size=limits.body_bytes)
        self.is_stopping = False
        self.answers = 0
        self.connections: set[Connection] = set()
        self.ending: set[Connection] = set()
        """Connections that were evicted, and are not closed yet."""
        self._clients = clients
        self._on_tick = on_tick
        self._opening: set[asyncio.Task[Any]] = set()
        self._is_accepting = False
        self._stop_by = 0.0

    def open(self, listener: socket.socket) -> None:
        """Make an event loop, for the connections that come to a listening socket."""
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_fault)
        self.pool.start(self._loop)

    def run(self) -> None:
        """Serve until stopped; in a thread of its own."""
        self.accept_again()
        self._loop.call_later(self.limits.tick_seconds, self._tick)
        self._loop.run_forever()

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function on the event loop, from any thread."""
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Release what `open` made, once `run` has returned."""
        self._loop.close()

    # ---- New connections -------------------------------------------------------------------------

    def accept_again(self) -> None:
        """Accept connections, unless it stops; a pause is over."""
        if not self._is_accepting and not self.is_stopping:
            self._is_accepting = True
            self._loop.add_reader(self._listener, self._accept)
            if not has_waiting(self._listener):
                self._shares.none_waits()

    def _pause_accepting(self, seconds: float) -> None:
        """Leave new connections to the kernel, or to other workers, for a moment."""
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._listener)
            self._loop.call_later(seconds, self.accept_again)

    def _accept(self) -> None:
        """Accept this worker's share of connections, as long as there is a place for them."""
        share = self._shares.of_waiting(waiting_at(self._listener), self.clock())
        if not share and self._shares.looks_later:
            self._pause_accepting(_LEFT_SECONDS)
        for _ in range(share):
            if self._is_full and not self.make_room():
                self._pause_accepting(self.limits.accept_pause_seconds)
                return
            if not self.accept_one():
                return
        if self._is_full:
            self.make_room()

    @property
    def _is_full(self) -> bool:
        # No connection is evicted before there is another that needs its place.
        return len(self.connections) > self.limits.connections

    def accept_one(self) -> bool:
        """Accept one connection; return whether there may be more."""
        try:
            sock, address = self._listener.accept()
        except BlockingIOError:
            return False
        except ConnectionError:  # the client has left again
            return True
        except OSError as error:
            _LOG.warning("cannot accept a connection: %s", error)
            self.make_room()
            self._pause_accepting(self.limits.accept_pause_seconds)
            return False
        sock.settimeout(0)
        connection = Connection(self, sock, address[0])
        protocol: asyncio.Protocol = connection
        if self.certificate is not None:
            protocol = TlsLayer(self.certificate.context, connection, self.limits.head_seconds)
        self.connections.add(connection)
        self._shares.note(len(self.connections))
        self._evict(self._clients.add(connection, self.clock()))
        opening = self._loop.create_task(self._loop.connect_accepted_socket(lambda: protocol, sock))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return True

    def make_room(self) -> bool:
        """Evict some connections that wait for their clients; return whether there were any."""
        count = max(1, len(self.connections) // _EVICTED_SHARE)
        victims = choose_victims(self.connections, self.clock(), count)
        self._evict(victims)
        return bool(victims)

    def _evict(self, victims: Iterable[Connection]) -> None:
        for connection in victims:
            self.connections.discard(connection)
            self._clients.remove(connection)
            self.ending.add(connection)
            connection.abort()
        self._shares.note(len(self.connections))

    def connection_lost(self, connection: Connection) -> None:
        """Note that a connection is closed."""
        self.connections.discard(connection)
        self._clients.remove(connection)
        self.ending.discard(connection)
        self._shares.note(len(self.connections))

    # ---- Time ------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.clock()
        for connection in list(self.connections):
            connection.check(now)
        if self.memory.is_short:
            _cut_off(self.memory.cut_off_candidates())
        self._on_tick()
        self._loop.call_later(self.limits.tick_seconds, self._tick)

    def may_answer(self, connection: Connection) -> bool:
        """Return whether a request may be answered, if need be in place of slow readers."""
        if self._clients.is_surplus(connection):
            return False
        if self.answers < self.limits.answers:
            return True
        overdue = self.memory.overdue()
        _cut_off(overdue)
        return bool(overdue)

    # ---- The end ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """Answer what was received, by the kernel too, while there is time."""
        if self.is_stopping:
            return
        for _ in range(BACKLOG):  # clients may connect on and on
            if not self.accept_one():
                break
        if self._is_accepting:
            self._loop.remove_reader(self._listener)
        self.is_stopping = True
        self._stop_by = self.clock() + self.limits.stop_seconds
        self._listener.close()
        for connection in list(self.connections):
            connection.close_if_unused()
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self.clock() >= self._stop_by:
            for connection in [*self.connections, *self.ending]:
                connection.abort()
        if not (self.connections or self.ending or self._opening) and self.pool.is_idle:
            self._loop.stop()
        else:
            self._loop.call_later(_LOOK_SECONDS, self._look_for_the_end)


def _cut_off(answers: Iterable[Answer]) -> None:
    for answer in answers:
        answer.cut_off()


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a fault on the event loop, which goes on."""
    _LOG.error("http: %s", context["message"], exc_info=context.get("exception"))
