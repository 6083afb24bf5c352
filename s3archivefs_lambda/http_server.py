"""The HTTP/1.1 server under the endpoint: cheroot, held to what S3 clients need.

One thread serves one request at a time, and never waits for what a client sends: connections hold
no thread while they are idle, while the head of their request arrives, and while what nobody wants
of them drains. What is not HTTP enough to reach the application is answered with S3's error
document and the end of the connection.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import secrets
import socket
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

from cheroot.connections import ConnectionManager
from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.workers.threadpool import ThreadPool
from cheroot.wsgi import Server

from s3archivefs_lambda.s3_protocol import S3Error

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import WSGIApplication

__all__ = ["STOP_SECONDS", "THREADS", "S3HttpServer"]

_LOG = logging.getLogger("s3archivefs")

THREADS = 32
"""Requests that are answered at once. Slow readers hold one each, and a response is mostly waiting:
for S3, or for them.
"""
STOP_SECONDS = 8
"""What requests in flight have to finish when the server stops; Docker kills 10 s after asking."""
_MAX_HEADER_BYTES = 64 * 1024
_MAX_WAITING_CONNECTIONS = 512
# From the first byte of a request's head to its last. A head comes at once; only a packet that is
# lost takes time, and 15 s are enough to send it again four times (after 1, 2, 4 and 8 s).
_HEAD_SECONDS = 15
_TIMEOUT_SECONDS = (
    60  # for a reader to take the next bytes, for an idle connection to be used again
)
_MAX_QUEUED_REQUESTS = 256
"""They wait for a thread. With those that wait for a request they are fewer than the 1,024
descriptors that a process has by default.
"""
_LINGER_SECONDS = 1  # in all, as is the next
_LINGER_BYTES = 1 << 20
_RECEIVED_AT_ONCE = 16 * 1024
_ACCEPT_PAUSE_SECONDS = 0.1

_HEAD_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")  # a line without its CR ends it, too: as malformed

# In any of its lines: cheroot keeps the last, and a proxy in front may have heeded another.
_BODY_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:(?![ \t]*0[ \t]*\r\n(?![ \t]))")

_ERRORS = {
    "408": ("RequestTimeout", "Your request was not received within the timeout period."),
    "413": (
        "RequestHeaderSectionTooLarge",
        "Your request header section exceeds the maximum allowed size.",
    ),
    "414": ("InvalidURI", "The request target is too long."),
    "500": ("InternalError", "We encountered an internal error. Please try again."),
    "501": ("NotImplemented", "This transfer coding is not implemented."),
    "503": ("SlowDown", "Please reduce your request rate."),
    "505": ("HttpVersionNotSupported", "The HTTP version specified is not supported."),
}
_MALFORMED = ("BadRequest", "An error occurred when parsing the HTTP request.")


class _HeaderReader(HeaderReader):
    def _allow_header(self, key_name: bytes) -> bool:
        # WSGI's names of X_Y and X-Y are one, so one could pass for the other behind a signature.
        # Nobody reads a request body here, so nobody is to be encouraged to send it (RFC 9110,
        # 10.1.1): Expect is answered with the final status.
        return b"_" not in key_name and key_name != b"Expect"


class _Request(HTTPRequest):
    """A request, with S3's error documents, and without reading bodies that nobody wants."""

    header_reader = _HeaderReader()

    def __init__(self, server: _Server, conn: _Connection) -> None:
        # Targets in absolute form, which cheroot takes for a proxy's, are any server's to accept
        # (RFC 9112, 3.2.2).
        super().__init__(server, conn, proxy_mode=True)

    def read_request_line(self) -> bool:
        try:
            read: bool = super().read_request_line()  # type: ignore[no-untyped-call]
        except ValueError:  # of urlsplit, for what only looks like a host: //[x
            self.simple_response("400 Bad Request")
            return False
        return read

    def read_request_headers(self) -> bool:
        read: bool = super().read_request_headers()  # type: ignore[no-untyped-call]
        announced = _BODY_LENGTH.search(self.conn.rfile.getvalue()) is not None
        if announced or b"Transfer-Encoding" in self.inheaders:
            # Kept open, the connection would have its body taken for the next request, or read into
            # memory first, whatever its size.
            self.close_connection = True
            self.conn.unread = True
        return read

    def simple_response(self, status: str, msg: str = "") -> None:
        """Answer in place of the application; the connection is closed afterwards."""
        number = status[:3]
        code, message = _ERRORS.get(number, _MALFORMED)
        if number == "400" and msg:
            message = f"{message} {msg}"
        request_id = secrets.token_hex(8).upper()
        body = S3Error(code, int(number), message).to_xml(request_id)
        head = (
            f"HTTP/1.1 {status}\r\nServer: {self.server.server_name}\r\n"
            f"Date: {formatdate(usegmt=True)}\r\nx-amz-request-id: {request_id}\r\n"
            f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        _LOG.info("http: request %s from %s: %s", request_id, self.conn.remote_addr, status)
        self.close_connection = True
        self.conn.unread = True
        with contextlib.suppress(OSError):
            is_head = getattr(self, "method", b"") == b"HEAD"
            self.conn.wfile.write(head.encode("latin-1") + (b"" if is_head else body))


class _Head(io.BytesIO):
    """What cheroot reads a request from: its head, all of which is there, and nothing of a body."""

    def has_data(self) -> bool:
        """As cheroot asks; what follows the head waits in the connection."""
        return False


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request
    unread = False
    """Whether the client may still be sending what nobody reads."""
    lingers = False
    """Whether it has been answered for good, and only its client is still to close."""
    deadline: float | None = None
    """Until when it may wait: for the rest of a head, or for its client to close."""

    def __init__(self, server: _Server, sock: socket.socket, makefile: Any) -> None:  # noqa: ANN401 -- as in cheroot
        super().__init__(server, sock, makefile)
        self.rfile = _Head()
        self._received = bytearray()
        self._drained = 0

    def receive(self) -> bool:
        """Take what has arrived of a request; whether it is for a thread now, as take_head says, or
        because the client sends no more.
        """
        data = self._arrived()
        if data is None:
            return False
        searched = max(0, len(self._received) - 3)  # the end may have begun to arrive
        self._received += data
        if data:
            return self.take_head(searched)
        if not self._received:  # there is nobody to answer
            self.close()
            return False
        self._hand_over(len(self._received))
        return True

    def take_head(self, searched: int = 0) -> bool:
        """Let a thread read the next head, if it has arrived, or more than a head may have."""
        end = _HEAD_END.search(self._received, searched)
        if end is not None or len(self._received) > _MAX_HEADER_BYTES:
            self._hand_over(len(self._received) if end is None else end.end())
            return True
        if self._received and self.deadline is None:
            self.deadline = time.time() + self.server.head_seconds
        return False

    def drain(self) -> bool:
        """Drop what has arrived; whether to wait for more."""
        data = self._arrived()
        self._drained += len(data or b"")
        return data != b"" and self._drained < _LINGER_BYTES

    def close(self) -> None:
        """Close, but let the client read the answer first: data that arrives at a closed socket
        resets the connection, and the answer is lost with it.
        """
        if not self.lingers and self.deadline is not None and time.time() > self.deadline:
            self.socket.settimeout(0)  # who reads nothing must not hold up all who wait
            _Request(self.server, self).simple_response("408 Request Timeout")
        if not self.lingers and self.unread:
            self.lingers = True
            self.deadline = time.time() + _LINGER_SECONDS
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                self.server.let_wait(self)  # closes it in the end
                return
        super().close()
        # What the client did not take is lost. Left to the garbage collector, the writer would fail
        # at a closed socket, which Python 3.13 reports.
        with contextlib.suppress(OSError):
            self.wfile.close()

    def _arrived(self) -> bytes | None:
        """What can be received without waiting: None if there is nothing yet, empty at the end."""
        self.socket.settimeout(0)
        try:
            data: bytes = self.socket.recv(_RECEIVED_AT_ONCE)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        return data

    def _hand_over(self, length: int) -> None:
        self.rfile = _Head(self._received[:length])
        del self._received[:length]
        self.deadline = None
        self.socket.settimeout(self.server.timeout)  # for what is sent


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

    def _from_server_socket(self, server_socket: socket.socket) -> HTTPConnection | None:
        """Let no fault of accept(2), such as that there are no descriptors left, end the round that
        closes connections whose time is over.
        """
        try:
            accept = super()._from_server_socket  # type: ignore[misc]  # likewise
            accepted: HTTPConnection | None = accept(server_socket)
        except OSError as error:
            _LOG.warning("cannot accept a connection: %s", error)
            time.sleep(_ACCEPT_PAUSE_SECONDS)
            return None
        return accepted


class _ThreadPool(ThreadPool):
    @staticmethod
    def _force_close(conn: HTTPConnection | None) -> None:
        """End a connection whose request outlived the time to stop; cheroot itself would wait on
        for a client that does not read.
        """
        if conn is not None:
            with contextlib.suppress(OSError):
                conn.socket.shutdown(socket.SHUT_RDWR)


class _Server(Server):
    ConnectionClass = _Connection
    max_request_header_size = _MAX_HEADER_BYTES
    keep_alive_conn_limit = _MAX_WAITING_CONNECTIONS
    head_seconds: float = _HEAD_SECONDS

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
                conn.socket.settimeout(0)
                _Request(self, conn).simple_response("503 Service Unavailable")
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

    def let_wait(self, conn: _Connection) -> None:
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


class S3HttpServer:
    """Serves a WSGI application in threads, from `start` to `stop` or as a context manager.

    Port 0 takes a free one; `url` names it once the server has started.
    """

    def __init__(self, app: WSGIApplication, *, host: str = "127.0.0.1", port: int = 9000) -> None:
        self._address = (host, port)
        self._server = _Server(self._address, app)
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
