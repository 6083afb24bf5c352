"""The body of a ranged GET: resumed if it breaks off, cut into pieces.

No retry mode of botocore resumes a body that breaks half-way.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda import accounting
from s3archivefs_lambda.store.errors import client_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from botocore.response import StreamingBody

__all__ = ["BodyBrokenError", "Patience", "ResumedBody", "in_pieces"]

_LOG = logging.getLogger("s3archivefs")

_ATTEMPTS = 5
"""GETs for one range, as many as mountpoint-s3 and s3transfer make."""
_BACKOFF_SECONDS = 0.05
"""Seconds of the first pause, doubled for each further attempt.

Short, because a broken body, other than SlowDown, does not ask for patience.
"""
_READ_BYTES = 256 * 1024
"""Bytes read from a body at once, at most."""


class Patience(NamedTuple):
    """How slow a body may be, and until when it is asked for again."""

    last_attempt_seconds: float = 15.0
    """Seconds after which no attempt begins.

    Together with the client's retries within the last one, a read stays below the 60 s that S3
    Object Lambda gives a function.
    """
    progress_seconds: float = 10.0
    """Seconds within which a body must bring `progress_bytes`."""
    progress_bytes: int = 512 * 1024
    """Bytes that a body must bring in that time; a slower one counts as broken.

    The client's own time-out covers each piece alone: 8 MiB may come one byte every four seconds,
    for a year. With this bound a read of 8 MiB ends within three minutes.
    """


class BodyBrokenError(Exception):
    """A body ended early; the message says how."""


_PATIENCE = Patience()


class ResumedBody:
    """The bytes of one range, from as many bodies as it takes.

    `request(done)` sends a GET for the range without its first `done` bytes and returns the
    verified body. `body` is the answer to the first such GET, if it was sent already.
    """

    def __init__(
        self,
        request: Callable[[int], StreamingBody],
        length: int,
        url: str,
        body: StreamingBody | None = None,
        *,
        patience: Patience = _PATIENCE,
    ) -> None:
        self._request = request
        self._length = length
        self._url = url
        self._patience = patience
        self._done = 0
        self._started = time.monotonic()
        self._attempts = 1
        self._open(request(0) if body is None else body)

    def read(self, size: int) -> bytes:
        """Return the next bytes: at least one, at most `size`.

        Raises BodyBrokenError after the last attempt, and what `request` raises.
        """
        while True:
            try:
                part = self._reader.read(size)
            except BodyBrokenError as error:
                self._resume(error)
            else:
                self._done += len(part)
                accounting.add("s3_bytes", len(part))
                return part

    def close(self) -> None:
        """Return the connection to the client's pool, or close it if bytes are missing."""
        self._body.close()

    def _open(self, body: StreamingBody) -> None:
        self._body = body
        self._reader = _BodyReader(body, self._patience)

    def _resume(self, fault: BodyBrokenError) -> None:
        """Request the missing bytes after a pause, or raise BodyBrokenError if too late."""
        self.close()
        what = f"{fault} with {self._length - self._done} of {self._length} bytes missing"
        is_late = time.monotonic() - self._started > self._patience.last_attempt_seconds
        if self._attempts == _ATTEMPTS or is_late:
            raise BodyBrokenError(f"{what}, also when asked for again") from fault
        _LOG.info("%s: %s", self._url, what)
        time.sleep(random.uniform(0, _BACKOFF_SECONDS * 2**self._attempts))  # noqa: S311 -- jitter
        self._attempts += 1
        self._open(self._request(self._done))


def in_pieces(body: ResumedBody, length: int, piece_bytes: int) -> Iterator[bytes]:
    """Yield the `length` bytes of a body in pieces of `piece_bytes`, and close it.

    The last piece may be shorter.
    """
    with closing(body):
        while length:
            missing = min(piece_bytes, length)
            length -= missing
            parts: list[bytes] = []
            while missing:
                parts.append(body.read(min(missing, _READ_BYTES)))
                missing -= len(parts[-1])
            yield parts[0] if len(parts) == 1 else b"".join(parts)


class _BodyReader:
    """Reads from a body what has arrived.

    StreamingBody's own `read` waits for all the bytes it was asked for, and loses those that came
    when the rest does not. `read1` of the urllib3 response below it returns without that wait.
    """

    def __init__(self, body: StreamingBody, patience: Patience) -> None:
        raw = getattr(body, "_raw_stream", body)
        self._read: Callable[[int], bytes] = getattr(raw, "read1", body.read)
        self._patience = patience
        self._seconds, self._bytes = 0.0, 0

    def read(self, size: int) -> bytes:
        """Return at least one byte, at most `size`; raise BodyBrokenError if none comes."""
        if self._seconds > self._patience.progress_seconds:
            if self._bytes < self._patience.progress_bytes:
                what = f"brought {self._bytes} bytes in {self._seconds:.0f} seconds"
                raise BodyBrokenError(f"the body {what}")
            self._seconds, self._bytes = 0.0, 0
        started = time.monotonic()
        try:
            part = self._read(size)
        except client_faults() as error:
            raise BodyBrokenError(f"the body broke off ({type(error).__name__})") from error
        self._seconds += time.monotonic() - started  # not the time that the caller takes between
        self._bytes += len(part)
        if not part:
            raise BodyBrokenError("the body ended")
        return part
