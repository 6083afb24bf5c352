"""Sockets that listen for connections, also several processes at one."""

from __future__ import annotations

import errno
import select
import socket
import sys

__all__ = ["BACKLOG", "has_waiting", "listen", "waiting_at"]

BACKLOG = 1024
"""Connections that wait in the kernel to be accepted."""
_ACCEPTED_AT_ONCE = 64
"""Connections, before others get a turn on the event loop."""


def has_waiting(listener: socket.socket) -> bool:
    """Return whether a connection waits to be accepted."""
    return bool(select.select([listener], [], [], 0)[0])


def waiting_at(listener: socket.socket) -> int:
    """Return how many connections wait to be accepted, where one does; at most 64."""
    try:
        # Of a listening socket, tcpi_unacked is how many wait to be accepted.
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    except (AttributeError, OSError):  # not on Linux
        return 1
    waiting = int.from_bytes(info[24:28], sys.byteorder)
    return max(1, min(waiting, _ACCEPTED_AT_ONCE))


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens at the first of the host's addresses that is free.

    Raises OSError with errno if there is none.
    """
    fault = OSError(errno.EADDRNOTAVAIL, "there is no such address")
    for family, _, _, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        dual = family is socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
        try:
            listener = socket.create_server(
                address, family=family, backlog=BACKLOG, dualstack_ipv6=dual
            )
        except OSError as error:
            fault = error
            continue
        listener.settimeout(0)
        # Accepted sockets inherit it: the end of an answer waits for no acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    raise fault
