"""An S3 client that a forked child makes anew, so that it shares no connection with its parent."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

from s3archivefs import renew_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

__all__ = ["process_client"]


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
        self._lock = threading.Lock()
        renew_after_fork(self, _ProcessClient._renew)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- the client's
        with self._lock:
            if self._client is None:
                self._client = self._make()
            client = self._client
        return getattr(client, name)

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._lock = threading.Lock()
        if self._client is not None:
            # Kept, for to let go of it would take locks that its parent's threads may have held.
            self._inherited.append(self._client)
            self._client = None
