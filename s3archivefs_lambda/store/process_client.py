"""An S3 client that a forked child makes anew, with connections of its own.

A fork waits while a client is being made: that imports botocore and has OpenSSL make a context,
without the GIL, and a child forked meanwhile would find both locked for ever. A TLS handshake at
the very moment of a fork may hold a lock of OpenSSL too; that risk remains (2 of 2,400 children,
among threads that did nothing else).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from s3archivefs import Lock, renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

__all__ = ["process_client"]


# Reentrant, because making a client may fork, to run a program for credentials.
_making = Lock()
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(
        before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release
    )


def process_client(make: Callable[[], S3Client]) -> S3Client:
    """Return a client that calls `make` on first use in each process.

    It stands for the client that `make` returns. Threads and forked processes may share it.
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
            # Kept: to free it would take locks that threads of the parent may have held.
            self._inherited.append(self._client)
            self._client = None
