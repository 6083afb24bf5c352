"""How many connections one client may have open."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from s3archivefs_lambda.endpoint.eviction import choose_victims

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.connection import Connection
    from s3archivefs_lambda.endpoint.proxies import Proxies

__all__ = ["ClientConnections"]


class ClientConnections:
    """The open connections of each address, at most `most`; 0 is for any number.

    Trusted proxies may have any number, as theirs are those of many clients.
    """

    def __init__(self, most: int, proxies: Proxies | None) -> None:
        self._most = most
        self._proxies = proxies
        self._open: defaultdict[str, set[Connection]] = defaultdict(set)
        self._surplus: set[Connection] = set()

    def add(self, connection: Connection, now: float) -> list[Connection]:
        """Add a connection; return those to close in its place.

        There may be one, which waits for the client. If none does, the new one is surplus.
        """
        client = connection.client
        if not self._most or (self._proxies is not None and self._proxies.is_trusted(client)):
            return []
        others = self._open[client]
        victims = choose_victims(others, now, 1) if len(others) >= self._most else []
        if len(others) - len(victims) >= self._most:
            self._surplus.add(connection)
        others.add(connection)
        return victims

    def remove(self, connection: Connection) -> None:
        """Remove a connection that is closed, or will be."""
        if not self._open:
            return
        self._surplus.discard(connection)
        of_client = self._open.get(connection.client)
        if of_client is not None:
            of_client.discard(connection)
            if not of_client:
                del self._open[connection.client]

    def is_surplus(self, connection: Connection) -> bool:
        """Return whether a connection is one too many: its request is refused."""
        return connection in self._surplus
