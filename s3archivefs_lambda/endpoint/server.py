"""The HTTP/1.1 server: one event loop for connections, threads for requests.

Connections cost no thread, and requests get one by the lane in which they wait. Each server that
was tried fails a condition of the endpoint (CONTRIBUTING.md, "Dependencies"): so the loop is
asyncio's, and the connections are our own.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from s3archivefs_lambda.endpoint.accept_shares import AcceptShares
from s3archivefs_lambda.endpoint.client_connections import ClientConnections
from s3archivefs_lambda.endpoint.connection_loop import ConnectionLoop
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.listening import listen
from s3archivefs_lambda.endpoint.request_pool import RequestPool

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType

    from s3archivefs_lambda.endpoint.connection import Connection
    from s3archivefs_lambda.endpoint.messages import HttpApplication
    from s3archivefs_lambda.endpoint.proxies import Proxies
    from s3archivefs_lambda.endpoint.tls import Certificate

__all__ = ["S3HttpServer"]


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
        self._is_open = False
        self._has_ended = threading.Event()
        self._has_ended.set()  # or rather, it has not begun
        limits = limits or HttpLimits()
        clients = ClientConnections(limits.connections_per_client, proxies)
        if shares is None:
            shares = AcceptShares()
            shares.begin(0)
        self.loop = ConnectionLoop(
            app,
            limits=limits,
            pool=pool or RequestPool(),
            certificate=certificate,
            clock=clock,
            shares=shares,
            clients=clients,
            on_tick=on_tick,
        )
        """The connections; they belong to a thread of their own."""

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        host, port = self._address
        scheme = "http" if self.loop.certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open now."""
        return list(self.loop.connections)

    @property
    def answers(self) -> int:
        """How many answers are under way."""
        return self.loop.answers

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return self.loop.pool.waiting

    def start(self) -> None:
        """Listen and serve, in threads of its own.

        Raises OSError with errno if the address cannot be listened on.
        """
        self._listener = listener = self._listener or listen(*self._address)
        self._address = (self._address[0], listener.getsockname()[1])
        self.loop.open(listener)
        self._is_open = True
        self._has_ended.clear()
        try:
            threading.Thread(target=self._run, name="s3archivefs-http").start()
        except BaseException:
            self._has_ended.set()
            raise

    def _run(self) -> None:
        try:
            self.loop.run()
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
        if not self._has_ended.is_set():
            self.loop.call_soon(self.loop.stop)
            self._has_ended.wait()
        self.loop.pool.end()
        if self._listener is not None:
            self._listener.close()
        if self._is_open:
            self.loop.close()

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
