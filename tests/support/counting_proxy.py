"""A reverse proxy on loopback that counts what a client asks of the server behind it.

    with CountingProxy(store.url, latency=0.02) as proxy:
        client = store.client(endpoint_url=proxy.url)
        proxy.reset()
        client.get_object(Bucket="archives", Key="a.sqfs", Range="bytes=0-95")["Body"].read()
        assert proxy.round_trips() == 1

Messages pass unaltered in both directions, the Host header included, so SigV4 signatures stay
valid. Each request goes to the server on a connection of its own: a connection that the server has
given up can then never be mistaken for a fault of the client under test.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.support.http_relay import (
    HEAD_MAX_BYTES,
    PIECE_BYTES,
    close,
    connection,
    copy_body,
    is_chunked,
    parse_request,
    parse_response,
    send,
)
from tests.support.recorded import Recorded, Request, round_trips

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SETTLE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Fault: answer so, as S3 reports errors, without asking the server."""

    status: int
    code: str = "SlowDown"


@dataclass(frozen=True, slots=True)
class CutBody:
    """Fault: end the connection in order (FIN) after so many bytes of the response body."""

    after: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Fault: reset the connection (RST) instead of answering."""


Fault = Answer | CutBody | Reset


@dataclass(slots=True)
class _Injected:
    fault: Fault
    times: int
    match: Callable[[Request], bool]


class _ClientGoneError(Exception):
    """The response cannot be completed: the client left, or a fault says so."""


class CountingProxy:
    """Proxy in front of `upstream_url` (http://host:port), serving in a thread while entered.

    `latency` seconds pass before each request is sent on; it may be changed at any time. Give it
    some tens of milliseconds where requests made in parallel are to be seen as overlapping.
    """

    def __init__(self, upstream_url: str, latency: float = 0.0) -> None:
        parts = urlsplit(upstream_url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError(f"upstream_url {upstream_url!r} is not http://host:port")
        self.latency = latency
        self._upstream = (parts.hostname, parts.port)
        self._changed = threading.Condition()
        self._recorded: list[Recorded] = []
        self._in_flight: list[Request] = []
        self._faults: list[_Injected] = []

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=[started], name="counting-proxy")
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Recorded]:
        """The finished requests, in the order in which they ended.

        Waits for those under way, since a client may have all it wants before the proxy has noted
        it. TimeoutError if one does not end.
        """
        with self._changed:
            self._settle()
            return list(self._recorded)

    def round_trips(self) -> int:
        """How many of the recorded requests had to be made one after the other."""
        return round_trips(self.requests)

    def reset(self) -> None:
        """Forget all requests so far, waiting as `requests` does; faults not yet used stay."""
        with self._changed:
            self._settle()
            self._recorded.clear()

    def inject(
        self,
        fault: Fault,
        *,
        times: int = 1,
        match: Callable[[Request], bool] = lambda _: True,
    ) -> None:
        """Let `fault` befall the next `times` requests that `match`; earlier injections first."""
        with self._changed:
            self._faults.append(_Injected(fault, times, match))

    def _settle(self) -> None:
        if not self._changed.wait_for(lambda: not self._in_flight, SETTLE_SECONDS):
            raise TimeoutError(f"still under way: {self._in_flight}")

    # -- the event loop's side

    def _run(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._converse, "127.0.0.1", 0, limit=HEAD_MAX_BYTES, backlog=256
        )
        self._port = server.sockets[0].getsockname()[1]
        started.set_result(None)
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(await reader.readuntil(b"\r\n\r\n"), reader, writer):
                pass
        except (
            _ClientGoneError,
            asyncio.CancelledError,  # __exit__ asks this task to end, and here it does
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            OSError,
        ):
            pass  # The record of the request, if there was one, tells.
        finally:
            await close(writer)
            self._tasks.discard(task)

    async def _exchange(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve one request; whether the connection can take another."""
        start = time.monotonic()
        request = Request(*parse_request(head))
        fault = self._begin(request)
        answer = _Answer(writer, None if not isinstance(fault, CutBody) else fault.after)
        try:
            await asyncio.sleep(self.latency)
            if isinstance(fault, Reset):
                _reset(writer)
                raise _ClientGoneError
            if isinstance(fault, Answer):
                await answer.report(fault, request)
                return False
            async with connection(self._upstream) as (up_reader, up_writer):
                up_writer.write(head)
                pass_on = partial(send, up_writer)
                upload = asyncio.create_task(copy_body(request.headers, reader, pass_on, pass_on))
                try:
                    keep = await answer.relay(request, up_reader)
                    return keep and upload.done() and upload.exception() is None
                finally:
                    upload.cancel()
                    await asyncio.gather(upload, return_exceptions=True)
        finally:
            recorded = Recorded(
                method=request.method,
                path=request.path,
                headers=request.headers,
                status=answer.status,
                bytes_sent=answer.bytes_sent,
                start=start,
                # No other request is seen between the last write and here: drain() gives way to
                # the event loop only while the client is slow to take what was written.
                end=time.monotonic(),
                complete=answer.complete,
            )
            with self._changed:
                self._in_flight.remove(request)
                self._recorded.append(recorded)
                self._changed.notify_all()

    def _begin(self, request: Request) -> Fault | None:
        """Note that `request` is under way; the fault that befalls it."""
        with self._changed:
            self._in_flight.append(request)
            for injected in self._faults:
                if injected.match(request):
                    injected.times -= 1
                    if not injected.times:
                        self._faults.remove(injected)
                    return injected.fault
            return None


class _Answer:
    """The response to one request, on its way to the client."""

    def __init__(self, writer: asyncio.StreamWriter, cut_after: int | None) -> None:
        self.status = 0
        self.bytes_sent = 0
        self.complete = False
        self._writer = writer
        self._cut_after = cut_after

    async def report(self, fault: Answer, request: Request) -> None:
        """Send an S3 error document and announce the end of the connection."""
        body = f"<Error><Code>{fault.code}</Code><Message>Injected.</Message></Error>".encode()
        reason = http.client.responses.get(fault.status, "")
        self._writer.write(
            f"HTTP/1.1 {fault.status} {reason}\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        self.status = fault.status
        if request.method != "HEAD":
            await self._send_payload(body)
        await self._writer.drain()
        self.complete = True

    async def relay(self, request: Request, reader: asyncio.StreamReader) -> bool:
        """Pass the server's response on; whether the client's connection can be used again."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            version, status, headers = parse_response(head)
            self._writer.write(head)
            if status >= 200:
                break  # What came before was "100 Continue" or the like.
        self.status = status
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if request.method != "HEAD" and status not in {204, 304}:
            framed = "content-length" in headers or is_chunked(headers)
            if framed:
                frame = partial(send, self._writer)
                await copy_body(headers, reader, frame, self._send_payload)
            else:
                keep = False
                while data := await reader.read(PIECE_BYTES):
                    await self._send_payload(data)
        await self._writer.drain()
        self.complete = True
        return keep

    async def _send_payload(self, data: bytes) -> None:
        if self._cut_after is not None and self.bytes_sent + len(data) > self._cut_after:
            data = data[: self._cut_after - self.bytes_sent]
            self.bytes_sent += len(data)
            self._writer.write(data)
            raise _ClientGoneError
        self.bytes_sent += len(data)
        await send(self._writer, data)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Make the coming close an RST: lingering for zero seconds means that."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
