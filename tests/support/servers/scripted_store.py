"""An S3 store on loopback that answers one object honestly, but for the faults a test scripts.

    with ScriptedStore(b"content") as store:
        store.script(lambda request, reply: replace(reply, cut=3), match="bytes=0-")
        store.client().get_object(Bucket="bucket", Key="key", Range="bytes=0-5")

For faults that no real store can be asked for. Signatures are not checked.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from types_boto3_s3 import S3Client

_SESSION = boto3.session.Session()  # one, because each reads botocore's models anew
SECRETS = ("AKIASCRIPTED", "scripted-secret-key", "scripted-session-token")
LAST_MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    """Body bytes after which `ending` happens; None: all are sent and the connection is kept."""
    ending: Literal["close", "reset", "stall"] = "close"
    together: bool = False
    """Headers and body are sent at once, and so arrive in one piece."""
    endless: bool = False
    """The body is sent over and over until the client closes the connection."""

    def without(self, header: str) -> Reply:
        headers = {name: value for name, value in self.headers.items() if name != header}
        return replace(self, headers=headers)

    def with_headers(self, **headers: str) -> Reply:
        """The reply with headers added or replaced; ``_`` stands for ``-``."""
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers=self.headers | changed)


Change = Callable[[Request, Reply], Reply]


def always(reply: Reply) -> Change:
    """A change that makes every reply this one."""
    return lambda _request, _honest: reply


def error_reply(status: int, code: str) -> Reply:
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>"
    headers = {"Content-Type": "application/xml", "x-amz-request-id": "R1"}
    return Reply(status, headers, body.encode())


@dataclass
class _Rule:
    change: Change
    match: str
    times: int


class ScriptedStore:
    """The store; `content`, `etag` and `metadata` may change at any time and hold for every key."""

    def __init__(
        self, content: bytes, etag: str = '"v1"', *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.content = content
        self.etag = etag
        self.metadata: dict[str, str] = {}
        self.requests: list[Request] = []
        self.connections: list[socket.socket] = []
        self._rules: list[_Rule] = []
        self._clients: list[S3Client] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": self}))
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def script(self, change: Change, match: str = "", times: int = 1) -> None:
        """Let `change` alter the next replies to requests with `match` in their "METHOD range"."""
        self._rules.append(_Rule(change, match, times))

    def client(self, **config: Any) -> S3Client:  # noqa: ANN401 -- botocore's own keywords
        settings: dict[str, Any] = {
            "s3": {"addressing_style": "path"},
            "retries": {"mode": "standard", "total_max_attempts": 1},
            "response_checksum_validation": "when_required",
        }
        client: S3Client = _SESSION.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=SECRETS[0],
            aws_secret_access_key=SECRETS[1],
            aws_session_token=SECRETS[2],
            config=Config(**(settings | config)),
        )
        self._clients.append(client)
        return client

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range headers of all requests so far."""
        return [request.range for request in self.requests]

    def answer(self, request: Request) -> Reply:
        reply = self.honest(request)
        with self._lock:
            self.requests.append(request)
            rules = [
                rule
                for rule in self._rules
                if rule.times and rule.match in f"{request.method} {request.range}"
            ]
            for rule in rules:
                rule.times -= 1
        for rule in rules:
            reply = rule.change(request, reply)
        return reply

    def honest(self, request: Request) -> Reply:
        content, size = self.content, len(self.content)
        if request.headers.get("if-match", self.etag) != self.etag:
            return error_reply(412, "PreconditionFailed")
        if request.headers.get("if-none-match") == self.etag:
            return Reply(304, {"ETag": self.etag})
        headers = {"ETag": self.etag, "Last-Modified": LAST_MODIFIED, "Accept-Ranges": "bytes"}
        headers |= {f"x-amz-meta-{name}": value for name, value in self.metadata.items()}
        if request.range is None:
            return Reply(200, headers, content)
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range)
        assert match, request.range
        if match[1]:
            start, end = int(match[1]), min(int(match[2]) + 1, size)
        else:
            start, end = max(0, size - int(match[2])), size
        if start >= end:
            return error_reply(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return Reply(206, headers, content[start:end])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        self._server.shutdown()
        self._thread.join()
        for connection in self.connections:
            with contextlib.suppress(OSError):  # closed already, by either side
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()  # joins the threads of the connections


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that give up on a connection are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    store: ScriptedStore

    def setup(self) -> None:
        super().setup()
        self.store.connections.append(self.connection)

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.store.answer(Request(self.command, self.path, headers))
        head = self._head(reply) if reply.status else b""  # 0: not even a status line
        body = reply.body[: reply.cut] if self.command == "GET" else b""
        for piece in (head + body,) if reply.together else (head, body):
            self.wfile.write(piece)
        while reply.endless:
            self.wfile.write(reply.body)
        if reply.cut is not None:
            self._end(reply.ending)

    do_HEAD = do_GET  # noqa: N815 -- named by http.server

    def _head(self, reply: Reply) -> bytes:
        lines = {"Content-Length": str(len(reply.body))} | reply.headers
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {reply.status} Scripted\r\n{text}\r\n".encode("latin-1")

    def _end(self, ending: str) -> None:
        self.close_connection = True
        if ending == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            os.close(self.connection.detach())
        elif ending == "stall":
            self.connection.recv(1)  # returns when the client gives up

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as inherited
        """Say nothing."""
