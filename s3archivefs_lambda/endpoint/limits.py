"""How many clients the endpoint serves, and how long they may take."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field

from s3archivefs_lambda.endpoint.body_memory import BODY_BYTES

__all__ = ["HttpLimits"]

_MAX_CONNECTIONS = 4096
"""Connections at most: each may have sent 64 KiB of a head."""


def _half_of_the_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft < 0 else max(1, min(soft // 2, _MAX_CONNECTIONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of a server; seconds are those of its monotonic clock."""

    connections: int = field(default_factory=_half_of_the_descriptors)
    """Connections open at once; for one more, another is closed.

    The other half of the descriptors is for archives, the cache and S3.
    """
    connections_per_client: int = 0
    """Connections open at once to one address (see `ClientConnections`); 0 for any number."""
    answers: int = 512
    """Requests that wait, run or are being sent.

    For one more, readers are cut off that have held memory for `HOLD_SECONDS`; if there is none, it
    is answered with SlowDown.
    """
    body_bytes: int = BODY_BYTES
    """Memory of bodies being sent (see `BodyMemory`)."""
    head_seconds: float = 15
    """From the first byte of a head to its last.

    A head is sent at once. Only a lost packet takes time, and this is enough to send it again four
    times (after 1, 2, 4 and 8 s).
    """
    idle_seconds: float = 60
    """Until a connection's next request begins."""
    min_bytes_per_second: int = 1024
    """The least that a reader takes of what is sent, on average over `rate_seconds`."""
    rate_seconds: float = 60
    linger_seconds: float = 1
    """From the last answer until the client has closed the connection."""
    linger_bytes: int = 1 << 20
    """The most that the client may send in that time."""
    stop_seconds: float = 8
    """That requests in flight have when the server stops. Docker kills after 10."""
    accept_pause_seconds: float = 0.1
    """Without accepting, where there is no place for a connection."""
    tick_seconds: float = 0.5
    """Between two looks at the deadlines."""
