"""HTTP/1.1 messages passed on unaltered between asyncio streams."""

from __future__ import annotations

import asyncio
import http.client
import io
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

HEAD_MAX_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


@asynccontextmanager
async def connection(
    address: tuple[str, int],
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to `address`, closed afterwards."""
    reader, writer = await asyncio.open_connection(*address, limit=HEAD_MAX_BYTES)
    try:
        yield reader, writer
    finally:
        await close(writer)


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


async def copy_body(
    headers: Mapping[str, str],
    reader: asyncio.StreamReader,
    send_framing: Callable[[bytes], Awaitable[None]],
    send_payload: Callable[[bytes], Awaitable[None]],
) -> None:
    """Copy a message body as `headers` frame it: the lines about chunks one way, data the other."""

    async def copy(length: int) -> None:
        while length:
            data = await reader.read(min(length, PIECE_BYTES))
            if not data:
                raise ConnectionResetError
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
