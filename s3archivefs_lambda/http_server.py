"""The HTTP/1.1 server under the endpoint: cheroot, held to what S3 clients need.

One thread serves one request at a time; connections that wait for a request, new ones and
kept-alive ones, hold no thread. What is not HTTP enough to reach the application is answered with
S3's error document and the end of the connection.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest
from cheroot.workers.threadpool import ThreadPool
from cheroot.wsgi import Server

from s3archivefs_lambda.s3_protocol import S3Error

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import WSGIApplication

__all__ = ["THREADS", "S3HttpServer"]

_LOG = logging.getLogger("s3archivefs")

THREADS = 32
"""Requests that are answered at once. Slow readers hold one each, and a response is mostly waiting:
for S3, or for them.
"""
_MAX_HEADER_BYTES = 64 * 1024
_MAX_IDLE_CONNECTIONS = 512
_REQUEST_TIMEOUT_SECONDS = 10  # between two pieces of a request that has begun
_TIMEOUT_SECONDS = (
    60  # for a reader to take the next bytes, for an idle connection to be used again
)
_STOP_SECONDS = 8  # for requests in flight; Docker kills 10 seconds after it has asked
_LINGER_SECONDS = 1
_LINGER_BYTES = 1 << 20

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

    def parse_request(self) -> None:
        self.conn.socket.settimeout(_REQUEST_TIMEOUT_SECONDS)
        super().parse_request()
        self.conn.socket.settimeout(self.server.timeout)

    def read_request_line(self) -> bool:
        try:
            read: bool = super().read_request_line()  # type: ignore[no-untyped-call]
        except ValueError:  # of urlsplit, for what only looks like a host: //[x
            self.simple_response("400 Bad Request")
            return False
        return read

    def read_request_headers(self) -> bool:
        read: bool = super().read_request_headers()  # type: ignore[no-untyped-call]
        announced = self.inheaders.get(b"Content-Length", b"0") != b"0"
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


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request
    unread = False
    """Whether the client may still be sending what nobody reads."""

    def close(self) -> None:
        """Close, but let the client read the answer first: data that arrives at a closed socket
        resets the connection, and the answer is lost with it.
        """
        if self.unread:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                self.socket.settimeout(_LINGER_SECONDS)
                left, until = _LINGER_BYTES, time.monotonic() + _LINGER_SECONDS
                while left > 0 and time.monotonic() < until:
                    received = len(self.socket.recv(min(left, 65536)))
                    left = left - received if received else 0
        super().close()
        # What the client did not take is lost. Left to the garbage collector, the writer would fail
        # at a closed socket, which Python 3.13 reports.
        with contextlib.suppress(OSError):
            self.wfile.close()


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
    keep_alive_conn_limit = _MAX_IDLE_CONNECTIONS

    def __init__(self, address: tuple[str, int], app: WSGIApplication) -> None:
        super().__init__(
            address,
            app,
            server_name="s3archivefs",
            request_queue_size=128,
            timeout=_TIMEOUT_SECONDS,
            shutdown_timeout=_STOP_SECONDS,
        )
        self.requests = _ThreadPool(self, min=THREADS)
        self.bind_fault: OSError | None = None
        self._putting = threading.Lock()
        self._stopping = False

    def process_conn(self, conn: Any) -> None:  # noqa: ANN401 -- as in cheroot
        """Serve a connection that has something to say; let a new one wait until it has, without a
        thread, as cheroot does only after the first request, and end it where too many wait: it
        bounds only those that had a request, and without a file descriptor left it serves nobody.
        """
        if conn.last_used is None:
            if self.can_add_keepalive_connection:
                self.put_conn(conn)
            else:
                conn.close()
        else:
            super().process_conn(conn)

    def put_conn(self, conn: Any) -> None:  # noqa: ANN401 -- as in cheroot
        """Let a connection wait for its next request, or end it where the server stops."""
        with self._putting:
            if not self._stopping:
                super().put_conn(conn)
                return
        conn.close()

    def stop(self) -> None:
        """As cheroot's, but not while a connection is put among those that it closes."""
        with self._putting:
            self._stopping = True
        super().stop()

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
        self._thread.join()

    def stop(self) -> None:
        """Take no more requests, finish those in flight (what takes longer than 8 seconds is cut
        off), and close. Nothing happens where it has not started, or has stopped.
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
