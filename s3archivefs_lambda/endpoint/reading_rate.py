"""How fast a client takes its answers, by the queues of its socket."""

from __future__ import annotations

import fcntl
import termios
from contextlib import suppress
from struct import unpack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket

    from s3archivefs_lambda.endpoint.limits import HttpLimits

__all__ = ["ReadingRate", "has_unread"]


class ReadingRate:
    """The rate at which one client takes what is written to its connection."""

    def __init__(self, sock: socket.socket, limits: HttpLimits, now: float) -> None:
        self._socket = sock
        self._limits = limits
        self._written = 0  # bytes, ever
        self._since = now  # when the average begins
        self._taken_then = 0  # bytes, at that time

    def written(self, size: int) -> None:
        """Note bytes that were written to the transport."""
        self._written += size

    def restart(self, now: float, transport: asyncio.Transport) -> None:
        """Begin the average anew."""
        self._since, self._taken_then = now, self._taken(transport)

    def is_too_low(self, now: float, transport: asyncio.Transport) -> bool:
        """Return whether the client took too little on average, once per `rate_seconds`."""
        limits = self._limits
        seconds, taken = now - self._since, self._taken(transport)
        is_too_low = False
        if taken < self._written:  # otherwise it waits for us
            if seconds < limits.rate_seconds:
                return False
            is_too_low = taken - self._taken_then < limits.min_bytes_per_second * seconds
        self._since, self._taken_then = now, taken
        return is_too_low

    def _taken(self, transport: asyncio.Transport) -> int:
        """Return the bytes that have reached the client's machine."""
        waiting = transport.get_write_buffer_size()
        with suppress(OSError):
            (unacknowledged,) = unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))
            waiting += unacknowledged
        return self._written - waiting


def has_unread(sock: socket.socket) -> bool:
    """Return whether something has arrived that the event loop has not read yet."""
    with suppress(OSError):
        (arrived,) = unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))
        return bool(arrived)
    return False
