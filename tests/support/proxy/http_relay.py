"""HTTP/1.1 messages passed on unaltered between asyncio streams."""

from __future__ import annotations

import asyncio
import http.client
import io
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

HEAD_MAX_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


@dataclass(slots=True)
class Connection:
    """A connection to a server, on loan for one request."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_used: bool = False
    """Whether it has carried a request before: then the server may have given it up by now."""
    is_reusable: bool = False
    """To be set once the response has been read to its end and announces no other."""


class Connections:
    """Connections to one server, of which those that can take another request are kept."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def connection(self, *, used: bool) -> AsyncIterator[Connection]:
        """One for a request: where `used` allows it, the one that was kept last."""
        connection = await self._take(used=used)
        try:
            yield connection
        finally:
            if connection.is_reusable:
                self._idle.append(connection)
            else:
                await close(connection.writer)

    async def _take(self, *, used: bool) -> Connection:
        while used and self._idle:
            connection = self._idle.pop()
            connection.is_used, connection.is_reusable = True, False
            if not connection.reader.at_eof():
                return connection
            await close(connection.writer)
        return Connection(*await asyncio.open_connection(*self._address, limit=HEAD_MAX_BYTES))

    async def close(self) -> None:
        """Close those that are idle."""
        while self._idle:
            await close(self._idle.pop().writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close the connection and wait until it is closed."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def parse_request(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers (lower-case names) of a request's head."""
    first, _, rest = head.partition(b"\r\n")
    method, target, _ = first.decode("latin-1").split(" ", 2)
    return method, target, _parse_headers(rest)


def parse_response(head: bytes) -> tuple[str, int, dict[str, str]]:
    """Version, status and headers (lower-case names) of a response's head."""
    first, _, rest = head.partition(b"\r\n")
    version, status, *_ = first.decode("latin-1").split(" ", 2)
    return version, int(status), _parse_headers(rest)


def _parse_headers(lines: bytes) -> dict[str, str]:
    parsed = http.client.parse_headers(io.BytesIO(lines))
    return {name.lower(): value for name, value in parsed.items()}


def is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether the body comes in chunks."""
    return "chunked" in headers.get("transfer-encoding", "").lower()


def has_body(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers has a body."""
    return is_chunked(headers) or headers.get("content-length", "0") != "0"


class BodyEndedError(ConnectionResetError):
    """Who sends a body has gone before its end."""


async def copy_body(
    headers: Mapping[str, str],
    reader: asyncio.StreamReader,
    send_framing: Callable[[bytes], Awaitable[None]],
    send_payload: Callable[[bytes], Awaitable[None]],
) -> None:
    """Copy a message body as `headers` frame it: the lines about chunks one way, data the other.

    Raises BodyEndedError, or IncompleteReadError between chunks, where the reader ends before it.
    """

    async def copy(length: int) -> None:
        while length:
            data = await reader.read(min(length, PIECE_BYTES))
            if not data:
                raise BodyEndedError
            length -= len(data)
            await send_payload(data)

    if not is_chunked(headers):
        await copy(int(headers.get("content-length", 0)))
        return
    size = -1
    while size:
        line = await reader.readuntil(b"\r\n")
        await send_framing(line)
        size = int(line.partition(b";")[0], 16)
        await copy(size)
        if size:
            await send_framing(await reader.readexactly(2))
    line = b""
    while line != b"\r\n":  # trailers, then an empty line
        line = await reader.readuntil(b"\r\n")
        await send_framing(line)


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write `data`, waiting while too much is unsent."""
    writer.write(data)
    await writer.drain()
