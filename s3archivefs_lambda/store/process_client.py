"""An S3 client that a forked child makes anew, so that it shares no connection with its parent.

A process that forks waits for a client that is being made. Whoever makes one imports botocore, and
then has OpenSSL make a context, for which Python lets other threads go on: a child that is forked
meanwhile has both locked for ever, and cannot make another. What is left is a TLS handshake at the
very moment of a fork: it may hold a lock of OpenSSL, too (2 of 2,400 children, among threads that
did nothing else).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, cast

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

__all__ = ["process_client"]


# One that a thread may take again: to make a client may fork, to ask a program for credentials.
_making = threading.RLock()
os.register_at_fork(
    before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
)


def process_client(make: Callable[[], S3Client]) -> S3Client:
    """A client that stands for the one that `make` returns, called on first use in each process.

    Whoever holds it may fork. Threads may share it.
    """
    return cast("S3Client", _ProcessClient(make))


class _ProcessClient:
    def __init__(self, make: Callable[[], S3Client]) -> None:
        self._make = make
        self._client: S3Client | None = None
        self._inherited: list[S3Client] = []
        renew_after_fork(self, _ProcessClient._renew)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- the client's
        client = self._client
        if client is None:
            with _making:
                if self._client is None:
                    self._client = self._make()
                client = self._client
        return getattr(client, name)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        if self._client is not None:
            # Kept, for to let go of it would take locks that its parent's threads may have held.
            self._inherited.append(self._client)
            self._client = None
