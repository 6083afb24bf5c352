"""The endpoint's server from its start to its end: descriptors, signals, shutdown.

The first SIGINT or SIGTERM lets requests in flight finish for some seconds; a second one ends the
process at once.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs_lambda.commands.capacity import Capacity, raise_descriptor_limit
from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.service_manager import tell_ready
from s3archivefs_lambda.commands.workers import is_orphan, run_workers
from s3archivefs_lambda.endpoint.accept_shares import AcceptShares
from s3archivefs_lambda.endpoint.listening import listen
from s3archivefs_lambda.endpoint.server import S3HttpServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from s3archivefs_lambda.commands.operators_port import OperatorsPort
    from s3archivefs_lambda.commands.reloading import Reloading
    from s3archivefs_lambda.endpoint.messages import HttpApplication
    from s3archivefs_lambda.endpoint.proxies import Proxies
    from s3archivefs_lambda.endpoint.tls import Certificate
    from s3archivefs_lambda.line_writer import LineWriter

__all__ = ["exit_after", "serve_until_stopped"]

_YOUNG_OBJECTS = 10_000
"""Objects made, and not freed, until garbage is looked for among them.

A page of a listing makes as many. Of answers, little is garbage that only this finds.
"""


def serve_until_stopped(
    app: HttpApplication,
    address: tuple[str, int],
    ready_line: Callable[[str], str],
    *,
    certificate: Certificate | None,
    log: LineWriter,
    on_hangup: Reloading,
    capacity: Capacity,
    proxies: Proxies | None,
    operators: OperatorsPort | None,
) -> None:
    """Serve the application until SIGINT or SIGTERM; print `ready_line(url)` once it is up.

    With more than one worker, each is a process that serves. SIGHUP calls `on_hangup`; if that has
    nothing to reload, it ends the process, as by default. `operators` serves meanwhile, if there is
    a port for them. Raises UsageError if the server cannot listen, and KeyboardInterrupt for a
    signal before it is up.
    """
    raise_descriptor_limit()
    listener = _listen(*address)
    limits, workers = capacity.limits(), capacity.workers
    shares = AcceptShares(workers)
    server = S3HttpServer(
        app,
        host=address[0],
        limits=limits,
        pool=capacity.pool(),
        certificate=certificate,
        listener=listener,
        shares=shares,
        proxies=proxies,
        on_tick=(lambda: None) if operators is None else lambda: operators.note(server),
    )

    _leave_to_collect_little()
    if on_hangup:  # before workers exist, which a SIGHUP would end
        signal.signal(signal.SIGHUP, lambda *_: on_hangup())

    def say_ready() -> None:
        sys.stdout.write(ready_line(server.url))
        sys.stdout.flush()
        tell_ready()

    place: int | None = 0
    if workers > 1:
        place = run_workers(
            workers,
            begun=say_ready,
            ended=shares.leave,
            stop=listener.close,
            on_hangup=partial(on_hangup, says_success=False) if on_hangup else None,
            stop_seconds=limits.stop_seconds + 1.5,
        )
    if place is not None:
        shares.begin(place)
        own = _Process(server, log, operators, place, limits.stop_seconds)
        own.serve(up=say_ready if workers == 1 else lambda: None)


def _leave_to_collect_little() -> None:
    """Have the collection of garbage leave out what lives as long as the process.

    To go through it again and again takes a fifth of a page of a listing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


@dataclass(frozen=True, slots=True)
class _Process:
    """One process that serves, from its first thread to its last."""

    server: S3HttpServer
    log: LineWriter
    operators: OperatorsPort | None
    place: int
    stop_seconds: float

    def serve(self, up: Callable[[], object]) -> None:
        """Serve until a signal or the end of a worker's parent; call `up` once serving."""
        is_up = False
        try:
            # A half-started server could not be stopped.
            with _delayed(signal.SIGINT, signal.SIGTERM):
                self._begin()
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            is_up = True  # before the line, as its reader may stop the server at once
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            up()
            self._wait()
        except KeyboardInterrupt:
            if not is_up:
                raise
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            exit_after(self.stop_seconds + 1)
            if self.operators is not None:
                self.operators.will_stop()
        finally:
            self._end()

    def _begin(self) -> None:
        # Lambda freezes an instance once it has answered, and lines that wait with it.
        if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
            self.log.start()
        if self.operators is not None:
            self.operators.begin(self.place)
        self.server.start()

    def _wait(self) -> None:
        while not self.server.wait(1):
            if is_orphan():
                raise KeyboardInterrupt

    def _end(self) -> None:
        self.server.stop()
        if self.operators is not None:
            self.operators.end()
        self.log.flush()


@contextmanager
def _delayed(*signals: signal.Signals) -> Iterator[None]:
    """Delay signals until the context ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "choose another with --host and --port (0 takes a free port)"
        ) from error


def exit_after(seconds: float) -> None:
    """End the process after this time at the latest, whatever its threads do.

    A thread that waits for S3 cannot be stopped, and Python ends after it only: that takes 25 s
    while S3 is silent, and as long again for requests that wait for a thread.
    """

    def end() -> None:
        line = b"s3archivefs: stopped without waiting any longer for requests under way\n"
        with suppress(OSError, ValueError):
            # Past sys.stderr: a thread may hold its lock and wait for a reader that is gone.
            if select.select([], [2], [], 0)[1]:
                os.write(2, line)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
