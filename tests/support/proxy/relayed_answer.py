"""One response on its way through a proxy: counted, paced, and broken where a fault says so."""

from __future__ import annotations

import asyncio
import http.client
import math
import time
from collections.abc import Callable
from functools import partial

from tests.support.proxy.faults import (
    Answer,
    CutBody,
    Fault,
    Reset,
    Rewrite,
    Stall,
    WrongRange,
    WrongVersion,
    other_bytes,
)
from tests.support.proxy.http_relay import PIECE_BYTES, copy_body, is_chunked, parse_response, send
from tests.support.proxy.recorded import Request

# Timers fire up to some milliseconds late: a delay of up to this much is made up for, so that the
# rate is kept on average. A pause of the server's is not.
_SLACK_SECONDS = 0.01
_PIECE_SECONDS = 0.005


class AnswerBrokenError(Exception):
    """The response cannot be completed: the client left, or a fault says so."""


class Pace:
    """When bytes are due at a limited rate, which begins now: of one body, or of several."""

    def __init__(self, bandwidth: float) -> None:
        self._bandwidth = bandwidth
        self._due = time.monotonic()
        self.piece_bytes = PIECE_BYTES
        """Into how small pieces to divide the body, for it to flow rather than come in gushes."""
        if bandwidth:
            self.piece_bytes = max(1, min(PIECE_BYTES, int(bandwidth * _PIECE_SECONDS)))

    async def wait(self, length: int) -> None:
        """Wait until the last of the next `length` bytes is due."""
        if not self._bandwidth:
            return
        now = time.monotonic()
        self._due = max(self._due, now - _SLACK_SECONDS) + length / self._bandwidth
        if self._due > now:
            await asyncio.sleep(self._due - now)


class RelayedAnswer:
    """The response to `request`, written to the client as `fault` allows, its body at `bandwidth`
    bytes a second (0: unlimited), and with all others' at the pace of `total`.
    """

    def __init__(
        self,
        request: Request,
        writer: asyncio.StreamWriter,
        fault: Fault | None,
        bandwidth: float,
        total: Pace | None = None,
    ) -> None:
        self.status = 0
        self.bytes_sent = 0
        self.complete = False
        self._request = request
        self._writer = writer
        self._fault = fault
        self._bandwidth = bandwidth
        self._pace: Pace | None = None  # until the body begins
        self._total = total or Pace(0)
        self._alter: Callable[[bytes], bytes] = bytes
        self._ends_after = math.inf
        if isinstance(fault, CutBody | Reset | Stall) and fault.after is not None:
            self._ends_after = fault.after

    async def report(self, status: int, body: bytes, content_type: str) -> None:
        """Answer in the server's place, and announce the end of the connection."""
        reason = http.client.responses.get(status, "")
        self._writer.write(
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        self.status = status
        if self._request.method != "HEAD":
            await self._send_payload(body)
        await self._writer.drain()
        self.complete = True

    async def is_given_by_fault(self) -> bool:
        """Send the fault's own answer, if it has one; whether it has.

        Raises AnswerBrokenError where there is to be none at all.
        """
        match self._fault:
            case Answer(status, code):
                body = f"<Error><Code>{code}</Code><Message>Injected.</Message></Error>"
                await self.report(status, body.encode(), "application/xml")
                return True
            case Reset(None) | Stall(None):
                raise AnswerBrokenError
            case _:
                return False

    async def relay(self, reader: asyncio.StreamReader) -> bool:
        """Pass the server's response on; whether both connections can be used again.

        Raises AnswerBrokenError where the fault ends it early.
        """
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            version, status, headers = parse_response(head)
            match self._fault:
                case Rewrite():
                    head = self._fault.head(head)
                case WrongRange() | WrongVersion() if status == 206:
                    head = self._fault.head(head)
                    self._alter = other_bytes
            self._writer.write(head)
            if status >= 200:
                break  # What came before was "100 Continue" or the like.
        self.status = status
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if self._request.method != "HEAD" and status not in {204, 304}:
            if "content-length" in headers or is_chunked(headers):
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
        data = self._alter(data)
        pace = self._pace = self._pace or Pace(self._bandwidth)
        is_last = self.bytes_sent + len(data) > self._ends_after
        if is_last:
            data = data[: int(self._ends_after) - self.bytes_sent]
        piece_bytes = min(pace.piece_bytes, self._total.piece_bytes)
        for start in range(0, len(data), piece_bytes):
            piece = data[start : start + piece_bytes]
            await pace.wait(len(piece))
            await self._total.wait(len(piece))
            self.bytes_sent += len(piece)
            await send(self._writer, piece)
        if is_last:
            raise AnswerBrokenError
