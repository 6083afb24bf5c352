"""The threaded HTTP/1.1 server on loopback under the stand-ins of AWS services."""

from __future__ import annotations

import http.client
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

PIECE_BYTES = 64 * 1024


class LoopbackServer(ThreadingHTTPServer):
    """Serves in threads while entered; leaving ends every connection and every thread."""

    daemon_threads = False  # so that server_close() joins them
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=[0.02])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print what is a fault of the stand-in; clients may come and go as they like."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """One connection: HTTP/1.1, silent, without Nagle's delay."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120.0  # seconds for one read or write of the socket

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass

    @property
    def target(self) -> str:
        """The request target as sent: `path` has its leading slashes merged."""
        return self.requestline.split(" ")[1]

    def handle_expect_100(self) -> bool:
        """Leave "100 Continue" to whoever reads the body, which may be refused before."""
        self.continue_expected = True
        return True

    def body(self) -> Iterator[bytes]:
        """The request body in pieces of at most PIECE_BYTES, unframed, as they come in.

        ConnectionError if it ends early.
        """
        if getattr(self, "continue_expected", False):
            self.send_response_only(100)
            self.end_headers()
            self.continue_expected = False
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            yield from self._pieces(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(100).partition(b";")[0] or b"0", 16):
            yield from self._pieces(size)
            self.rfile.readline(3)
        http.client.parse_headers(self.rfile)  # trailers and the empty line

    def _pieces(self, length: int) -> Iterator[bytes]:
        while length:
            # read1() hands out what has arrived instead of waiting for the whole piece.
            piece = self.rfile.read1(min(length, PIECE_BYTES))
            if not piece:
                raise ConnectionResetError("the body ended early")
            length -= len(piece)
            yield piece

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        """Send a whole response. The length goes without saying; a HEAD request gets no body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def forward(self, upstream_url: str) -> None:
        """Pass the request to the server at `upstream_url` as it came, and its answer back."""
        parts = urlsplit(upstream_url)
        assert parts.hostname
        upstream = http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout)
        try:
            upstream.putrequest(
                self.command, self.target, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            chunked = "Transfer-Encoding" in self.headers
            for piece in self.body():
                upstream.send(frame(piece) if chunked else piece)
            if chunked:
                upstream.send(b"0\r\n\r\n")
            with upstream.getresponse() as response:
                self._pass_back(response)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # what the store does to its client befalls ours
        finally:
            upstream.close()

    def _pass_back(self, response: http.client.HTTPResponse) -> None:
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            self.send_header(name, value)  # which notes "Connection: close"
        self.end_headers()
        chunked = response.getheader("Transfer-Encoding") is not None
        while piece := response.read1(PIECE_BYTES):
            self.wfile.write(frame(piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif response.length is None or response.length > 0:
            self.close_connection = True  # ended by the end of the connection, or too early


def frame(piece: bytes) -> bytes:
    """`piece` as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)
