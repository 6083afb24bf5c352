"""The HTTP/1.1 server: one event loop for connections, threads for requests.

Connections cost no thread, and requests get one by the lane in which they wait. Each server that
was tried fails a condition of the endpoint (CONTRIBUTING.md, "Dependencies"): so the loop is
asyncio's, and the connections are our own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from s3archivefs_lambda.endpoint.accept_shares import AcceptShares
from s3archivefs_lambda.endpoint.body_memory import BodyMemory
from s3archivefs_lambda.endpoint.client_connections import ClientConnections
from s3archivefs_lambda.endpoint.connection import Connection
from s3archivefs_lambda.endpoint.eviction import choose_victims
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.listening import BACKLOG, has_waiting, listen, waiting_at
from s3archivefs_lambda.endpoint.request_pool import RequestPool
from s3archivefs_lambda.endpoint.tls import TlsLayer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from s3archivefs_lambda.endpoint.answer import Answer
    from s3archivefs_lambda.endpoint.messages import HttpApplication
    from s3archivefs_lambda.endpoint.proxies import Proxies
    from s3archivefs_lambda.endpoint.tls import Certificate

__all__ = ["S3HttpServer"]

_LOG = logging.getLogger("s3archivefs")

_LOOK_SECONDS = 0.02
"""Seconds between two looks, while the server stops, at whether all has ended."""
_LEFT_SECONDS = 0.001
"""Seconds for which new connections are left to other workers, until the next look."""
_EVICTED_SHARE = 32
"""One of so many connections is evicted at once: to choose costs each little."""


class S3HttpServer:
    """Serves an application, from `start` to `stop` or as a context manager.

    Port 0 takes a free one; `url` names it once the server has started. Instead, `listener` may be
    a socket that `listen` returned; processes that accept at one divide it by `shares`. `proxies`
    are no clients, whom a limit concerns. `clock` tells seconds, of which only differences matter.
    """

    def __init__(
        self,
        app: HttpApplication,
        *,
        host: str = "127.0.0.1",
        port: int = 9000,
        limits: HttpLimits | None = None,
        pool: RequestPool | None = None,
        certificate: Certificate | None = None,
        clock: Callable[[], float] = time.monotonic,
        listener: socket.socket | None = None,
        shares: AcceptShares | None = None,
        proxies: Proxies | None = None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = (host, port if listener is None else listener.getsockname()[1])
        self._listener = listener
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_ended = threading.Event()
        self._has_ended.set()  # or rather, it has not begun
        limits = limits or HttpLimits()
        clients = ClientConnections(limits.connections_per_client, proxies)
        if shares is None:
            shares = AcceptShares()
            shares.begin(0)
        self._core = _Core(
            app, limits, pool or RequestPool(), certificate, clock, shares, clients, on_tick
        )

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        host, port = self._address
        scheme = "http" if self._core.certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open now."""
        return list(self._core.connections)

    @property
    def answers(self) -> int:
        """How many answers are under way."""
        return self._core.answers

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return self._core.pool.waiting

    def start(self) -> None:
        """Listen and serve, in threads of its own.

        Raises OSError with errno if the address cannot be listened on.
        """
        self._listener = listener = self._listener or listen(*self._address)
        self._address = (self._address[0], listener.getsockname()[1])
        self._loop = loop = asyncio.new_event_loop()
        self._core.pool.start(loop)
        self._thread = threading.Thread(
            target=self._run, args=(loop, listener), name="s3archivefs-http"
        )
        self._has_ended.clear()
        try:
            self._thread.start()
        except BaseException:
            self._has_ended.set()
            raise

    def _run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        try:
            self._core.run(loop, listener)
        finally:
            self._has_ended.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the server has stopped, or so many seconds; return whether it has."""
        # A signal that comes just before a wait is seen only after it. Python 3.11 takes a thread
        # for ended when a signal interrupts its join().
        while not self._has_ended.wait(1 if seconds is None else seconds):
            if seconds is not None:
                return False
        return True

    def stop(self) -> None:
        """Take no more connections, answer what was received, and close.

        Clients that take longer than `HttpLimits.stop_seconds` are cut off; answers from S3 are
        waited for. Nothing happens if the server has not started, or has stopped.
        """
        if not self._has_ended.is_set() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._core.stop)
            self._has_ended.wait()
        self._core.pool.end()
        if self._listener is not None:
            self._listener.close()
        if self._loop is not None:
            self._loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _Core:
    """The listening socket and all connections, on the event loop."""

    def __init__(  # noqa: PLR0917 -- what the server is made of
        self,
        app: HttpApplication,
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
        self._clients = clients
        self._on_tick = on_tick
        self._ending: set[Connection] = set()  # evicted, and not closed yet
        self._opening: set[asyncio.Task[Any]] = set()
        self._is_accepting = False
        self._stop_by = 0.0

    def run(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        """Serve until stopped; in a thread of its own."""
        self._loop = loop
        self._listener = listener
        loop.set_exception_handler(_log_fault)
        self._accept_again()
        loop.call_later(self.limits.tick_seconds, self._tick)
        loop.run_forever()

    # ---- New connections -------------------------------------------------------------------------

    def _accept_again(self) -> None:
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
            self._loop.call_later(seconds, self._accept_again)

    def _accept(self) -> None:
        """Accept this worker's share of connections, as long as there is a place for them."""
        share = self._shares.of_waiting(waiting_at(self._listener), self.clock())
        if not share:
            self._pause_accepting(_LEFT_SECONDS)
        for _ in range(share):
            if self._is_full and not self._make_room():
                self._pause_accepting(self.limits.accept_pause_seconds)
                return
            if not self._accept_one():
                return
        if self._is_full:
            self._make_room()

    @property
    def _is_full(self) -> bool:
        # No connection is evicted before there is another that needs its place.
        return len(self.connections) > self.limits.connections

    def _accept_one(self) -> bool:
        """Accept one connection; return whether there may be more."""
        try:
            sock, address = self._listener.accept()
        except BlockingIOError:
            return False
        except ConnectionError:  # the client has left again
            return True
        except OSError as error:
            _LOG.warning("cannot accept a connection: %s", error)
            self._make_room()
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

    def _make_room(self) -> bool:
        """Evict some connections that wait for their clients; return whether there were any."""
        count = max(1, len(self.connections) // _EVICTED_SHARE)
        victims = choose_victims(self.connections, self.clock(), count)
        self._evict(victims)
        return bool(victims)

    def _evict(self, victims: Iterable[Connection]) -> None:
        for connection in victims:
            self.connections.discard(connection)
            self._clients.remove(connection)
            self._ending.add(connection)
            connection.abort()
        self._shares.note(len(self.connections))

    def connection_lost(self, connection: Connection) -> None:
        """Note that a connection is closed."""
        self.connections.discard(connection)
        self._clients.remove(connection)
        self._ending.discard(connection)
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
            if not self._accept_one():
                break
        if self._is_accepting:
            self._loop.remove_reader(self._listener)
        self.is_stopping = True
        self._listener.close()
        self._stop_by = self.clock() + self.limits.stop_seconds
        for connection in list(self.connections):
            connection.close_if_unused()
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self.clock() >= self._stop_by:
            for connection in [*self.connections, *self._ending]:
                connection.abort()
        if not (self.connections or self._ending or self._opening) and self.pool.is_idle:
            self._loop.stop()
        else:
            self._loop.call_later(_LOOK_SECONDS, self._look_for_the_end)


def _cut_off(answers: Iterable[Answer]) -> None:
    for answer in answers:
        answer.cut_off()


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a fault on the event loop, which goes on."""
    _LOG.error("http: %s", context["message"], exc_info=context.get("exception"))
