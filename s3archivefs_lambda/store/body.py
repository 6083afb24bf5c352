"""The body of a ranged GET: resumed if it breaks off, cut into pieces.

No retry mode of botocore resumes a body that breaks half-way.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from s3archivefs_lambda import accounting
from s3archivefs_lambda.store.errors import client_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader
    from typing import TypeAlias

    from botocore.response import StreamingBody

    Take: TypeAlias = Callable[[int], memoryview]
    """Returns writable memory of so many bytes."""

__all__ = [
    "LASTING_PATIENCE",
    "BodyBrokenError",
    "Patience",
    "ResumedBody",
    "in_pieces",
    "new_memory",
]

_LOG = logging.getLogger("s3archivefs")

_ATTEMPTS = 5
"""GETs without progress between them, as many as mountpoint-s3 and s3transfer make for a range."""
_BACKOFF_SECONDS = 0.05
"""Seconds of the first pause, doubled for each further attempt.

Short, because a broken body, other than SlowDown, does not ask for patience.
"""
_COPIED_BYTES = 256 * 1024
"""Bytes at most that one read brings where they are copied into place."""


class Patience(NamedTuple):
    """How slow a body may be, and until when it is asked for again."""

    last_attempt_seconds: float = 15.0
    """Seconds after which no attempt begins.

    Those that the caller takes between reads do not count. Together with the client's retries
    within the last one, a read stays below the 60 s that S3 Object Lambda gives a function.
    """
    progress_seconds: float = 10.0
    """Seconds within which a body must bring `progress_bytes`."""
    progress_bytes: int = 512 * 1024
    """Bytes that a body must bring in that time; a slower one counts as broken.

    The client's own time-out covers each piece alone: 8 MiB may come one byte every four seconds,
    for a year. With this bound a read of 8 MiB ends within three minutes.
    """
    renewing_bytes: int | None = None
    """Bytes after which time and attempts count anew.

    None where a read must end in time. So much is progress. A single byte is none: a store that
    brings one an attempt would hold a reader of many for ever.
    """


LASTING_PATIENCE = Patience(
    last_attempt_seconds=300.0, progress_seconds=60.0, renewing_bytes=512 * 1024
)
"""Patience of what may take hours, as packing does.

Its clients wait 60 s for a piece, so five attempts take 300. And 32 bodies may share a slow line.
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
        self._renewed_at = 0
        """Bytes that were there when time and attempts began to count."""
        self._started = time.monotonic()
        self._attempts = 1
        self._open(request(0) if body is None else body)
        self._returned = time.monotonic()

    def read_into(self, place: memoryview) -> int:
        """Read at least one byte, at most as many as fit; return how many.

        Raises BodyBrokenError after the last attempt, and what `request` raises.
        """
        self._started += time.monotonic() - self._returned  # that was the caller's time
        while True:
            try:
                count = self._reader.read_into(place)
            except BodyBrokenError as error:
                self._resume(error)
            else:
                self._done += count
                accounting.add("s3_bytes", count)
                self._returned = time.monotonic()
                return count

    def close(self) -> None:
        """Return the connection to the client's pool, or close it if bytes are missing."""
        self._body.close()

    def _open(self, body: StreamingBody) -> None:
        self._body = body
        self._reader = _BodyReader(body, self._length - self._done, self._patience)

    def _resume(self, fault: BodyBrokenError) -> None:
        """Request the missing bytes after a pause, or raise BodyBrokenError if too late."""
        self.close()
        what = f"{fault} with {self._length - self._done} of {self._length} bytes missing"
        renewing = self._patience.renewing_bytes
        if renewing is not None and self._done - self._renewed_at >= renewing:
            self._renewed_at, self._started, self._attempts = self._done, time.monotonic(), 0
        seconds = time.monotonic() - self._started
        is_late = seconds > self._patience.last_attempt_seconds
        if self._attempts == _ATTEMPTS or (is_late and self._attempts > 1):
            raise BodyBrokenError(f"{what}, also when asked for again") from fault
        if is_late:
            raise BodyBrokenError(
                f"{what}; after {seconds:.0f} seconds it is not asked for again"
            ) from fault
        _LOG.info("%s: %s", self._url, what)
        time.sleep(random.uniform(0, _BACKOFF_SECONDS * 2**self._attempts))  # noqa: S311 -- jitter
        self._attempts += 1
        self._open(self._request(self._done))


def new_memory(size: int) -> memoryview:
    """Return memory that nobody else has."""
    return memoryview(bytearray(size))


def in_pieces(
    body: ResumedBody, length: int, piece_bytes: int, take: Take = new_memory
) -> Iterator[memoryview]:
    """Yield the `length` bytes of a body in pieces of `piece_bytes`, and close it.

    Each piece is read-only, in memory that `take` returned for it alone. The last one may be
    shorter.
    """
    with closing(body):
        while length:
            piece = take(min(piece_bytes, length))
            length -= len(piece)
            done = 0
            while done < len(piece):
                done += body.read_into(piece[done:])
            yield piece.toreadonly()


class _BodyReader:
    """Reads from a body of `length` bytes what has arrived.

    StreamingBody's own `read` waits for all the bytes it was asked for, and loses those that came
    when the rest does not. `read1` of the urllib3 response below it returns without that wait.
    """

    def __init__(self, body: StreamingBody, length: int, patience: Patience) -> None:
        raw = getattr(body, "_raw_stream", body)
        self._read1: Callable[[int], bytes] = getattr(raw, "read1", body.read)
        self._connection = _Connection.below(raw, length)
        self._patience = patience
        self._seconds, self._bytes = 0.0, 0

    def read_into(self, place: memoryview) -> int:
        """Read at least one byte, and return how many; raise BodyBrokenError if none comes."""
        if self._seconds > self._patience.progress_seconds:
            if self._bytes < self._patience.progress_bytes:
                what = f"brought {self._bytes} bytes in {self._seconds:.0f} seconds"
                raise BodyBrokenError(f"the body {what}")
            self._seconds, self._bytes = 0.0, 0
        started = time.monotonic()
        try:
            count = self._read_into(place)
        except client_faults() as error:
            raise BodyBrokenError(f"the body broke off ({type(error).__name__})") from error
        self._seconds += time.monotonic() - started  # not the time that the caller takes between
        self._bytes += count
        if not count:
            raise BodyBrokenError("the body ended")
        return count

    def _read_into(self, place: memoryview) -> int:
        if self._connection is not None and (size := self._connection.left(len(place))):
            return self._connection.read_into(place[:size])
        part = self._read1(min(len(place), _COPIED_BYTES))
        place[: len(part)] = part
        return len(part)


class _Connection:
    """The connection below a body, read past urllib3 up to the last byte.

    urllib3 has no read into place: its own copies. The last byte it must read itself, to see that
    the connection is free again. What came with the headers is in the buffer, and read first, by
    itself: `readinto1` would wait for more behind it, and lose it where that does not come.
    """

    def __init__(self, raw: Any, response: Any, buffer: BufferedReader) -> None:  # noqa: ANN401 -- urllib3's response, and http.client's
        self._raw = raw
        self._response = response
        self._buffer = buffer
        self._buffered: int | None = None
        """Bytes that are left in the buffer; None before the first read."""

    @classmethod
    def below(cls, raw: Any, length: int) -> _Connection | None:  # noqa: ANN401 -- likewise
        """Return the connection of a plain body of `length` bytes, or None."""
        response = getattr(raw, "_fp", None)
        buffer: Any = getattr(response, "fp", None)
        if not (hasattr(buffer, "peek") and hasattr(buffer, "raw") and hasattr(raw, "read1")):
            return None
        is_whole = getattr(response, "length", None) == raw.length_remaining == length
        return cls(raw, response, buffer) if is_whole else None

    def left(self, size: int) -> int:
        """Return `size`, or the bytes before the last if those are fewer."""
        before_last: int = self._raw.length_remaining - 1
        return min(size, before_last)

    def read_into(self, place: memoryview) -> int:
        """Read what has arrived, and return how many bytes."""
        if self._buffered is None:
            self._buffered = len(self._buffer.peek(1))
        if self._buffered:
            count = self._buffer.readinto1(place[: self._buffered])
            self._buffered -= count
        else:
            count = self._buffer.raw.readinto(place) or 0
        self._raw.length_remaining -= count
        self._response.length = self._raw.length_remaining
        return count
