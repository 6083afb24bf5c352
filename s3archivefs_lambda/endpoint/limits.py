"""What a client of the endpoint may take its time for, and how many of them there may be."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field

from s3archivefs_lambda.endpoint.body_memory import BODY_BYTES

__all__ = ["STOP_SECONDS", "HttpLimits"]

STOP_SECONDS = 8
"""What requests in flight have to finish when the server stops; Docker kills 10 s after asking."""
_MAX_CONNECTIONS = 4096  # each may have sent 64 KiB of a head


def _half_of_the_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_CONNECTIONS if soft < 0 else max(1, min(soft // 2, _MAX_CONNECTIONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of a server; seconds are those of its monotonic clock."""

    connections: int = field(default_factory=_half_of_the_descriptors)
    """Open at once, but for the last one to come, for which another makes room. The rest of the
    descriptors is for archives, the cache and S3.
    """
    answers: int = 512
    """Requests that wait, run or are being sent. For one more, readers are cut off that hold memory
    for long (`HOLD_SECONDS`); without any, it is told to come later.
    """
    body_bytes: int = BODY_BYTES
    """Memory of bodies on their way out (see `BodyMemory`)."""
    head_seconds: float = 15
    """From the first byte of a head to its last. A head comes at once; only a packet that is lost
    takes time, and these are enough to send it again four times (after 1, 2, 4 and 8 s).
    """
    idle_seconds: float = 60
    """Until the next request of a connection begins."""
    min_bytes_per_second: int = 1024
    """What a reader takes at least, on average over `rate_seconds`, of what is there to be read."""
    rate_seconds: float = 60
    linger_seconds: float = 1
    """What a client that has its last answer may take to close the connection, in all."""
    linger_bytes: int = 1 << 20
    """What it may send meanwhile, in all."""
    stop_seconds: float = STOP_SECONDS
    tick_seconds: float = 0.5
    """How often deadlines are looked at."""
