"""A connection of the endpoint, and a request as it comes from it: received without waiting, and
refused with S3's error documents.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import secrets
import socket
import time
from email.utils import formatdate
from typing import Any

from cheroot.server import HeaderReader, HTTPConnection, HTTPRequest

from s3archivefs_lambda.s3_protocol import S3Error

__all__ = ["HEAD_SECONDS", "MAX_HEADER_BYTES", "Connection"]

_LOG = logging.getLogger("s3archivefs")

MAX_HEADER_BYTES = 64 * 1024
# From the first byte of a request's head to its last. A head comes at once; only a packet that is
# lost takes time, and 15 s are enough to send it again four times (after 1, 2, 4 and 8 s).
HEAD_SECONDS = 15
_LINGER_SECONDS = 1  # in all, as is the next
_LINGER_BYTES = 1 << 20
_RECEIVED_AT_ONCE = 16 * 1024

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


class Request(HTTPRequest):
    """A request, with S3's error documents, and without reading bodies that nobody wants."""

    header_reader = _HeaderReader()

    def __init__(self, server: Any, conn: Connection) -> None:  # noqa: ANN401 -- cheroot's, untyped
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
        head = self.conn.rfile.getvalue()
        if head[self.conn.rfile.tell() :][:1] in {b" ", b"\t"}:  # goes on with a line that is none
            self.simple_response("400 Bad Request")
            return False
        read: bool = super().read_request_headers()  # type: ignore[no-untyped-call]
        announced = _BODY_LENGTH.search(head) is not None
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


class Connection(HTTPConnection):
    """One of a client's: what has arrived on it, and until when it may wait.

    Its server has `head_seconds`, what a head may take, and `let_wait(connection)`.
    """

    RequestHandlerClass = Request
    unread = False
    """Whether the client may still be sending what nobody reads."""
    lingers = False
    """Whether it has been answered for good, and only its client is still to close."""
    deadline: float | None = None
    """Until when it may wait: for the rest of a head, or for its client to close."""

    def __init__(self, server: Any, sock: socket.socket, makefile: Any) -> None:  # noqa: ANN401 -- as in cheroot
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
        if end is not None or len(self._received) > MAX_HEADER_BYTES:
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

    def refuse(self, status: str) -> None:
        """Answer without a thread; what the client does not take at once is lost: who reads nothing
        must not hold up all who wait.
        """
        self.socket.settimeout(0)
        Request(self.server, self).simple_response(status)

    def close(self) -> None:
        """Close, but let the client read the answer first: data that arrives at a closed socket
        resets the connection, and the answer is lost with it.
        """
        if not self.lingers and self.deadline is not None and time.time() > self.deadline:
            self.refuse("408 Request Timeout")
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
