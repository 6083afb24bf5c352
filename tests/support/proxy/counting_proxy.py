"""A reverse proxy on loopback that counts what a client asks of the server behind it.

    with CountingProxy(store.url, latency=0.02) as proxy:
        client = store.client(endpoint_url=proxy.url)
        proxy.reset()
        client.get_object(Bucket="archives", Key="a.sqfs", Range="bytes=0-95")["Body"].read()
        assert proxy.round_trips() == 1

Messages pass unaltered in both directions, the Host header included, so SigV4 signatures stay
valid. Connections to the server are kept for further requests without a body. Where the server has
given one of them up meanwhile, the request goes to it again on a new one: that is no fault of the
client under test, nor of what it is tested against.

As a process of its own, for measurements in which it must not share the client's interpreter:

    python -m tests.support.proxy.counting_proxy --upstream URL [--latency-ms 20]
        [--bandwidth-mbs 80] [--total-mbs 100]

prints its URL as one line, and serves until its standard input ends. There, as with any proxy,
`GET /-/requests` answers with what has been counted, as JSON: `count`, `bytes` (of bodies sent),
`round_trips`, and `requests`, each with `method`, `path`, `range`, `status`, `bytes`, `start`,
`end` and `complete` as in `Recorded`. `DELETE /-/requests` forgets it. Neither counts itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import struct
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.support.proxy.faults import (
    Answer,
    CutBody,
    Fault,
    Reset,
    Rewrite,
    Stall,
    WrongRange,
    WrongVersion,
)
from tests.support.proxy.http_relay import (
    HEAD_MAX_BYTES,
    PIECE_BYTES,
    BodyEndedError,
    Connection,
    Connections,
    close,
    copy_body,
    has_body,
    parse_request,
    send,
)
from tests.support.proxy.recorded import Recorded, Request, round_trips
from tests.support.proxy.relayed_answer import AnswerBrokenError, Pace, RelayedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = [
    "Answer",
    "CountingProxy",
    "CutBody",
    "Fault",
    "Reset",
    "Rewrite",
    "Stall",
    "WrongRange",
    "WrongVersion",
]

COUNTS_PATH = "/-/requests"
"""No bucket can be called "-"."""
SETTLE_SECONDS = 10.0


@dataclass(slots=True)
class _Injected:
    fault: Fault
    times: int
    match: Callable[[Request], bool]


class CountingProxy:
    """Proxy in front of `upstream_url` (http://host:port), serving in a thread while entered.

    `latency` seconds pass before each request is sent on; give it some tens of milliseconds where
    requests made in parallel are to be seen as overlapping. Response bodies reach the client at no
    more than `bandwidth` bytes a second on each connection; 0 is no limit. Both may be changed at
    any time, for the requests that follow. `total` bounds all connections together.
    """

    def __init__(
        self,
        upstream_url: str,
        latency: float = 0.0,
        bandwidth: float = 0.0,
        *,
        total: float = 0.0,
    ) -> None:
        parts = urlsplit(upstream_url)
        if parts.scheme != "http" or parts.hostname is None or parts.port is None:
            raise ValueError(f"upstream_url {upstream_url!r} is not http://host:port")
        self.latency = latency
        self.bandwidth = bandwidth
        self._total = Pace(total)
        self._upstream = Connections((parts.hostname, parts.port))
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

    def heal(self) -> None:
        """Forget the faults that have not befallen a request yet."""
        with self._changed:
            self._faults.clear()

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
        await self._upstream.close()
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
            AnswerBrokenError,
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
        if request.path == COUNTS_PATH:
            await self._tell_counts(request, writer)
            return False
        fault = self._begin(request)
        answer = RelayedAnswer(request, writer, fault, self.bandwidth, self._total)
        try:
            await asyncio.sleep(self.latency)
            if await answer.is_given_by_fault():
                return False
            return await self._ask(request, head, reader, answer)
        except AnswerBrokenError:
            if isinstance(fault, Reset):
                _reset(writer)
            if isinstance(fault, Stall):
                while await reader.read(PIECE_BYTES):  # until the client leaves
                    pass
            raise
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
                fault=fault,
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

    async def _ask(
        self, request: Request, head: bytes, reader: asyncio.StreamReader, answer: RelayedAnswer
    ) -> bool:
        """Send the request on, and its answer back; whether the client's connection can take
        another request.
        """
        can_repeat = request.method in {"GET", "HEAD"} and not has_body(request.headers)
        while True:
            async with self._upstream.connection(used=can_repeat) as connection:
                try:
                    return await self._ask_on(connection, request, head, reader, answer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    if not connection.is_used or answer.status:
                        raise
                    # Given up by the server while it was idle.

    async def _ask_on(
        self,
        connection: Connection,
        request: Request,
        head: bytes,
        reader: asyncio.StreamReader,
        answer: RelayedAnswer,
    ) -> bool:
        connection.writer.write(head)
        pass_on = partial(send, connection.writer)
        upload = asyncio.create_task(copy_body(request.headers, reader, pass_on, pass_on))
        relay = asyncio.create_task(answer.relay(connection.reader))
        try:
            await asyncio.wait({upload, relay}, return_when=asyncio.FIRST_COMPLETED)
            failure = upload.exception() if upload.done() else None
            has_ended = isinstance(failure, (BodyEndedError, asyncio.IncompleteReadError))
            if failure is not None and (has_ended or reader.exception() is not None):
                raise failure  # the client has gone: there is nothing that the server could answer
            keep = await relay
            connection.is_reusable = keep and upload.done() and upload.exception() is None
            return connection.is_reusable
        finally:
            upload.cancel()
            relay.cancel()
            await asyncio.gather(upload, relay, return_exceptions=True)

    async def _tell_counts(self, request: Request, writer: asyncio.StreamWriter) -> None:
        answer = RelayedAnswer(request, writer, None, 0)
        try:
            if request.method == "DELETE":
                await asyncio.to_thread(self.reset)
                counted = []
            else:
                counted = await asyncio.to_thread(lambda: self.requests)
        except TimeoutError as error:
            await answer.report(503, str(error).encode(), "text/plain")
            return
        counts = {
            "count": len(counted),
            "bytes": sum(each.bytes_sent for each in counted),
            "round_trips": round_trips(counted),
            "requests": [each.summary() for each in counted],
        }
        await answer.report(200, json.dumps(counts).encode(), "application/json")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Make the coming close an RST: lingering for zero seconds means that."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="Count what passes between a client and a server.")
    parser.add_argument("--upstream", required=True, metavar="URL", help="http://host:port")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="before each request")
    parser.add_argument(
        "--bandwidth-mbs", type=float, default=0.0, help="10^6 bytes a second, on each connection"
    )
    parser.add_argument(
        "--total-mbs", type=float, default=0.0, help="likewise, on all connections together"
    )
    options = parser.parse_args()
    latency, bandwidth = options.latency_ms / 1e3, options.bandwidth_mbs * 1e6
    made = CountingProxy(options.upstream, latency, bandwidth, total=options.total_mbs * 1e6)
    with made as proxy, suppress(KeyboardInterrupt):
        print(proxy.url, flush=True)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
