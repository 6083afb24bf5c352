"""The HTTP/1.1 server under the endpoint: cheroot, held to what S3 clients need.

One thread serves one request at a time, and never waits for what a client sends: connections hold
no thread while they are idle, while the head of their request arrives, and while what nobody wants
of them drains. What is not HTTP enough to reach the application is answered with S3's error
document and the end of the connection.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from cheroot.connections import ConnectionManager
from cheroot.workers.threadpool import ThreadPool
from cheroot.wsgi import Server

from s3archivefs_lambda.http_connection import HEAD_SECONDS, MAX_HEADER_BYTES, Connection
from s3archivefs_lambda.http_messages import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from s3archivefs_lambda.http_messages import HttpApplication

__all__ = ["STOP_SECONDS", "THREADS", "S3HttpServer"]

_LOG = logging.getLogger("s3archivefs")

THREADS = 32
"""Requests that are answered at once. Slow readers hold one each, and a response is mostly waiting:
for S3, or for them.
"""
STOP_SECONDS = 8
"""What requests in flight have to finish when the server stops; Docker kills 10 s after asking."""
_MAX_WAITING_CONNECTIONS = 512
_TIMEOUT_SECONDS = (
    60  # for a reader to take the next bytes, for an idle connection to be used again
)
_MAX_QUEUED_REQUESTS = 256
"""They wait for a thread. With those that wait for a request they are fewer than the 1,024
descriptors that a process has by default.
"""
_ACCEPT_PAUSE_SECONDS = 0.1


class _Connections(ConnectionManager):
    """Those that wait, and the listening socket."""

    def make_room(self) -> None:
        """End the connection that has been idle for longest: who sends a request comes first. In
        the thread that waits for all of them alone.
        """
        selector = self._selector  # type: ignore[attr-defined]  # cheroot's stubs leave it out
        waiting = [(fd, conn) for fd, conn in selector.connections if conn is not self.server]
        idle = [(conn.last_used, fd, conn) for fd, conn in waiting if conn.deadline is None]
        if idle:
            _, fd, conn = min(idle, key=lambda each: each[:2])
            selector.unregister(fd)
            conn.close()

    def _from_server_socket(self, server_socket: socket.socket) -> Connection | None:
        """Let no fault of accept(2), such as that there are no descriptors left, end the round that
        closes connections whose time is over.
        """
        try:
            accept = super()._from_server_socket  # type: ignore[misc]  # likewise
            accepted: Connection | None = accept(server_socket)
        except OSError as error:
            _LOG.warning("cannot accept a connection: %s", error)
            time.sleep(_ACCEPT_PAUSE_SECONDS)
            return None
        return accepted


class _ThreadPool(ThreadPool):
    @staticmethod
    def _force_close(conn: Connection | None) -> None:
        """End a connection whose request outlived the time to stop; cheroot itself would wait on
        for a client that does not read.
        """
        if conn is not None:
            with contextlib.suppress(OSError):
                conn.socket.shutdown(socket.SHUT_RDWR)


class _Server(Server):
    ConnectionClass = Connection
    max_request_header_size = MAX_HEADER_BYTES
    keep_alive_conn_limit = _MAX_WAITING_CONNECTIONS
    head_seconds: float = HEAD_SECONDS

    def __init__(self, address: tuple[str, int], app: WSGIApplication) -> None:
        super().__init__(
            address,
            app,
            server_name="s3archivefs",
            request_queue_size=128,
            timeout=_TIMEOUT_SECONDS,
            shutdown_timeout=STOP_SECONDS,
        )
        self.requests = _ThreadPool(self, min=THREADS)
        self.bind_fault: OSError | None = None
        self._putting = threading.Lock()
        self._stopping = False

    def process_conn(self, conn: Any) -> None:  # noqa: ANN401 -- as in cheroot
        """Take what a connection has to say, new or waiting; give it a thread for a whole head."""
        if conn.lingers:
            if conn.drain():
                self.let_wait(conn)
            else:
                conn.close()
        elif conn.receive():
            if self.requests.qsize < _MAX_QUEUED_REQUESTS:
                super().process_conn(conn)
            else:
                conn.refuse("503 Service Unavailable")
                conn.close()
        elif not conn.rfile.closed:
            if not self.can_add_keepalive_connection:
                self._connections.make_room()
            self.let_wait(conn)

    def put_conn(self, conn: Any) -> None:  # noqa: ANN401 -- as in cheroot
        """Go on with a connection that has been answered: its next request may have come with the
        one before.
        """
        with self._putting:
            if not self._stopping and conn.take_head():
                super().process_conn(conn)
                return
        self.let_wait(conn)

    def let_wait(self, conn: Connection) -> None:
        """Let a connection wait, without a thread, for what its client sends; or end it where the
        server stops, or too many wait: without a file descriptor left it would serve nobody.
        """
        with self._putting:
            if not self._stopping and self.can_add_keepalive_connection:
                deadline = conn.deadline
                super().put_conn(conn)
                if deadline is not None:  # cheroot ends what was not used for `timeout`
                    conn.last_used = deadline - self.timeout
                return
        conn.close()

    def stop(self) -> None:
        """As cheroot's, but not while a connection is put among those that it closes."""
        with self._putting:
            self._stopping = True
        super().stop()

    def prepare(self) -> None:
        """As cheroot does, but with connections as they are here."""
        super().prepare()
        self._connections = _Connections(self)

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: A002 -- as in cheroot
        try:
            bound: socket.socket = super().bind(family, type, proto)
        except OSError as error:
            self.bind_fault = error  # cheroot raises one of its own, without errno
            raise
        return bound

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        try:
            socket_.bind(bind_addr)
        except BaseException:
            socket_.close()
            raise
        return socket_

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:  # noqa: FBT001, FBT002
        """Pass on what cheroot has to say."""
        _LOG.log(level, "http: %s", msg, exc_info=traceback)


def _as_wsgi(app: HttpApplication) -> WSGIApplication:
    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers = [
            (name[5:].lower().replace("_", "-"), value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        ]
        headers += [
            (name.lower().replace("_", "-"), environ[name])
            for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
            if environ.get(name)
        ]
        request = HttpRequest(
            method=environ["REQUEST_METHOD"],
            target=environ["REQUEST_URI"],
            headers=tuple(headers),
            client=environ.get("REMOTE_ADDR", ""),
        )
        response = app(request)
        status = HTTPStatus(response.status)
        start_response(f"{status.value} {status.phrase}", list(response.headers))
        return response.body

    return run


class S3HttpServer:
    """Serves an application in threads, from `start` to `stop` or as a context manager.

    Port 0 takes a free one; `url` names it once the server has started.
    """

    def __init__(self, app: HttpApplication, *, host: str = "127.0.0.1", port: int = 9000) -> None:
        self._address = (host, port)
        self._server = _Server(self._address, _as_wsgi(app))
        self._thread = threading.Thread(target=self._server.serve, name="s3archivefs-http")

    @property
    def url(self) -> str:
        """The address, as clients write it."""
        host, port = self._server.bind_addr
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Listen and serve, in threads of its own.

        Raises OSError with errno where the address cannot be had.
        """
        try:
            self._server.prepare()
        except OSError as error:
            raise (self._server.bind_fault or error) from None
        self._thread.start()

    def wait(self) -> None:
        """Wait until the server has stopped."""
        while self._thread.is_alive():
            self._thread.join(1)  # a signal that comes just before a wait is seen only after it

    def stop(self) -> None:
        """Take no more requests, finish those in flight (who takes longer than STOP_SECONDS to read
        an answer is cut off; S3 is waited for), and close. Nothing happens where it has not
        started, or has stopped.
        """
        self._server.stop()
        if self._thread.is_alive():
            self._thread.join()

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
