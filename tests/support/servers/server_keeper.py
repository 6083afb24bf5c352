"""One Swift and one RADOS gateway for a whole run of tests, in however many processes.

    with ServerKeeper() as keeper, swift(keeper.address) as store:
        store.client().create_bucket(Bucket=own("archives"))

The keeper starts a server when it is first asked for, and ends it with its own context. Any process
of the machine may ask: under pytest-xdist the controller has the keeper, and its workers share the
servers. Each worker keeps its objects in buckets of its own.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.servers.radosgw_server import RadosGateway
from tests.support.servers.swift_store import SwiftStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["ServerKeeper", "own", "radosgw", "swift"]

_WORKER = os.environ.get("PYTEST_XDIST_WORKER")
_END = "end"


def own(bucket: str) -> str:
    """Return the name of this worker's own bucket; `bucket` itself without pytest-xdist."""
    return f"{bucket}-{_WORKER}" if _WORKER else bucket


@contextmanager
def swift(address: str) -> Iterator[SwiftStore]:
    """Yield the Swift of the keeper at `address`."""
    url, owner, stranger = _asked(address, "swift")
    with ExitStack() as clients:
        yield SwiftStore(url, owner, stranger, clients)


@contextmanager
def radosgw(address: str) -> Iterator[RadosGateway]:
    """Yield the RADOS gateway of the keeper at `address`."""
    url, owner = _asked(address, "radosgw")
    with ExitStack() as clients:
        yield RadosGateway(url, owner, clients)


def _asked(address: str, what: str) -> Any:  # noqa: ANN401 -- what _START yields for it
    with Client(address) as connection:
        connection.send(what)
        answer = connection.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def _start_swift(directory: Path) -> Iterator[tuple[object, ...]]:
    with SwiftStore.start(directory) as store:
        yield store.url, store.owner, store.stranger


@contextmanager
def _start_radosgw(directory: Path) -> Iterator[tuple[object, ...]]:
    with RadosGateway.start(directory) as gateway:
        yield gateway.url, gateway.owner


_START = {"swift": _start_swift, "radosgw": _start_radosgw}


class ServerKeeper:
    """Starts each server on demand; ends all of them with its context.

    Should this process be killed, the servers end by themselves.
    """

    def __enter__(self) -> Self:
        self._listener = Listener(family="AF_UNIX")
        # One thread for all of them, since Linux ends the gateway with the thread that starts it.
        self._thread = threading.Thread(target=self._serve, name="server-keeper")
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        with Client(self.address) as connection:
            connection.send(_END)
        self._thread.join()

    @property
    def address(self) -> str:
        """The path of the socket at which the servers are asked for."""
        return str(self._listener.address)

    def _serve(self) -> None:
        started: dict[str, object] = {}
        with (
            self._listener,
            tempfile.TemporaryDirectory(prefix="s3archivefs-tests-") as directory,
            ExitStack() as running,
        ):
            while True:
                # Who asks may be killed while it does.
                with self._listener.accept() as connection, suppress(EOFError, OSError):
                    what = connection.recv()
                    if what == _END:
                        return
                    if what not in started:
                        try:
                            server = _START[what](Path(directory, what))
                            started[what] = running.enter_context(server)
                        except Exception as error:  # noqa: BLE001 -- who asked raises it
                            started[what] = error
                    connection.send(started[what])
