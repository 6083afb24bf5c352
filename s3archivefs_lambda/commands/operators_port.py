"""The operators' port: health, readiness and metrics, on a port of their own.

Each worker answers there for all: they share one board.
"""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING

from s3archivefs_lambda.commands.endpoint_settings import METRICS_HOST, METRICS_PORT
from s3archivefs_lambda.commands.errors import UsageError, require
from s3archivefs_lambda.endpoint.board import Board
from s3archivefs_lambda.endpoint.hosts import Hosts
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.listening import listen
from s3archivefs_lambda.endpoint.meter import Meter, WorkerState
from s3archivefs_lambda.endpoint.probes import OperatorsApp
from s3archivefs_lambda.endpoint.request_pool import RequestPool
from s3archivefs_lambda.endpoint.server import S3HttpServer
from s3archivefs_lambda.endpoint.thread_shares import ThreadShares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.archives.reachability import Reachability
    from s3archivefs_lambda.commands.endpoint_settings import EndpointSetting
    from s3archivefs_lambda.line_writer import LineWriter

__all__ = ["OperatorsPort", "operators_address"]

_THREADS = 4
"""Requests that may wait for a check of the archives."""
_CONNECTIONS = 32
"""Connections at most: a few probes and scrapers."""


def operators_address(settings: Mapping[EndpointSetting, str]) -> tuple[str, int] | None:
    """Return the address that the settings give the port, or None without one.

    Raises UsageError for what is no port, and if prometheus_client is missing.
    """
    port = settings.get(METRICS_PORT)
    if port is None:
        if METRICS_HOST in settings:
            raise UsageError(f"{METRICS_HOST}: give {METRICS_PORT} too")
        return None
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        raise UsageError(f"{METRICS_PORT} {port}: write a number from 0 to 65535")
    require("prometheus_client", extra="endpoint", what=str(METRICS_PORT))
    return settings.get(METRICS_HOST, "127.0.0.1"), int(port)


def _limits() -> HttpLimits:
    """Return the port's limits: where descriptors are few, it takes a small share of them."""
    connections = min(_CONNECTIONS, max(2, HttpLimits().connections // 8))
    return HttpLimits(connections=connections, stop_seconds=1)


class OperatorsPort:
    """Listens once it is made, and serves from `begin` to `end`, in each worker."""

    def __init__(
        self,
        address: tuple[str, int],
        workers: int,
        archives: Archives,
        reachability: Reachability,
        log: LineWriter,
    ) -> None:
        """Listen at the address; raise UsageError if that cannot be."""
        host, port = address
        self._archives = archives
        self._reachability = reachability
        self._log = log
        self._board = Board(workers)
        self._meter = Meter(self._board)
        self.count = self._meter.count
        """Count a request that has ended."""
        try:
            listener = listen(host, port)
        except (OSError, UnicodeError) as error:
            what = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot listen on {host} port {port}: {what}; "
                f"choose another with {METRICS_HOST} and {METRICS_PORT}"
            ) from error
        self._listener = listener
        self._app = self._make_app(is_loopback=ip_address(listener.getsockname()[0]).is_loopback)
        self._server = S3HttpServer(
            self._app,
            host=host,
            listener=listener,
            limits=_limits(),
            pool=RequestPool(ThreadShares(_THREADS, local=0, store=_THREADS, kept=0)),
        )

    def _make_app(self, *, is_loopback: bool) -> OperatorsApp:
        from s3archivefs_lambda.endpoint.exposition import Exposition, overdue_workers

        return OperatorsApp(
            self._reachability,
            metrics=Exposition(self._board, time.monotonic).encode,
            overdue=lambda: overdue_workers(self._board, time.monotonic()),
            hosts=Hosts() if is_loopback else None,
        )

    @property
    def url(self) -> str:
        """The URL of the port."""
        return self._server.url

    def begin(self, place: int) -> None:
        """Serve as the worker in this place, after the fork."""
        self._meter.begin(place)
        self._server.start()

    def note(self, server: S3HttpServer) -> None:
        """Note the state of this worker, whose server that is."""
        archives, known = self._archives, self._reachability.known
        if known.failing_count:  # probes and scrapers may ask other workers
            self._reachability.look()
        state = WorkerState(
            connections=len(server.connections),
            answers=server.answers,
            waiting=server.waiting,
            open_archives=archives.open_count,
            open_archive_bytes=archives.open_bytes,
            chunk_bytes=archives.chunk_bytes,
            failing_archives=known.failing_count,
        )
        self._meter.note(state, self._log.dropped)

    def will_stop(self) -> None:
        """Tell from now on that no more requests should be sent here."""
        self._app.is_stopping = True

    def end(self) -> None:
        """Serve no more."""
        self._server.stop()
