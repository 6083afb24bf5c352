"""Lines of the log, written in batches by a thread of their own.

So a line costs a request a microsecond, and whoever reads the log may take a pause: where the
stream is full, that thread waits alone. Lines wait in a queue of bounded size. What finds it full
is dropped, and counted in a line that says so.
"""

from __future__ import annotations

import logging
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from s3archivefs import Lock, renew_after_fork
from s3archivefs_lambda.log_lines import utc_time

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["LineHandler", "LineWriter"]

_BATCH_SECONDS = 0.05
"""Seconds that lines wait for others to be written with."""
_QUEUE_CHARACTERS = 16 << 20
"""Characters of waiting lines: those of some 40,000 requests."""
_WRITTEN_AT_ONCE = 4096
"""Characters, of whole lines. A pipe mixes longer writes with those of other processes."""
_PATIENCE_SECONDS = 1.0
"""Seconds that a line waits for the stream, where no thread writes it."""
_FLUSH_SECONDS = 2.0
"""Seconds that the end of the process waits for the stream."""


class LineWriter:
    """Writes lines to a stream. Thread-safe, and usable after a fork.

    Until `start`, also in a forked child, each line is written at once, if the stream takes it.
    """

    def __init__(self, stream: TextIO, *, most: int = _QUEUE_CHARACTERS) -> None:
        """At most so many characters wait."""
        self._stream = stream
        self._most = most
        self._begin()
        renew_after_fork(self, LineWriter._begin)

    def _begin(self) -> None:
        # In a forked child, what waits is for the parent's thread to write.
        self._lines: list[str] = []
        self._size = 0
        self._dropped = 0  # since the last line that told of some
        self.dropped = 0
        """How many lines were dropped in all."""
        self._thread: threading.Thread | None = None
        self._lock = Lock()  # reentrant, for handlers of signals
        self._changed = threading.Condition(self._lock)
        self._is_writing = False
        self._is_flushing = False

    def start(self) -> None:
        """Write in batches from now on, by a thread; `put` waits for nothing then."""
        # A daemon: the process must end even while the stream is full.
        self._thread = threading.Thread(target=self._write_all, name="s3archivefs-log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written, without its end."""
        with self._lock:
            if self._thread is None:
                if self._takes_more():
                    self._write([line])
                return
            if self._size + len(line) > self._most:
                self._dropped += 1
                self.dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
            if len(self._lines) == 1:  # else the thread knows
                self._changed.notify_all()

    def flush(self, seconds: float = _FLUSH_SECONDS) -> None:
        """Wait until all is written, for so long at most."""
        until = time.monotonic() + seconds
        with self._lock:
            self._is_flushing = True
            self._changed.notify_all()
            while self._lines or self._is_writing:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._is_flushing = False

    def _write_all(self) -> None:
        while True:
            with self._lock:
                self._changed.wait_for(lambda: self._lines)
                self._changed.wait_for(lambda: self._is_flushing, _BATCH_SECONDS)
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
                self._is_writing = True
            if dropped:
                now = utc_time(time.time())
                lines.append(f"{now} {dropped} lines were dropped: the log's reader is too slow")
            self._write(lines)
            with self._lock:
                self._size = sum(map(len, self._lines))
                self._is_writing = False
                self._changed.notify_all()

    def _write(self, lines: list[str]) -> None:
        batch: list[str] = []
        size = 0
        for line in lines:
            if batch and size + len(line) + 1 > _WRITTEN_AT_ONCE:
                self._write_batch(batch)
                batch, size = [], 0
            batch.append(line)
            size += len(line) + 1
        self._write_batch(batch)

    def _takes_more(self) -> bool:
        """Return whether the stream takes a line, after a while at most."""
        try:
            poll = select.poll()
            poll.register(self._stream, select.POLLOUT)
        except (OSError, ValueError):  # it is no file, or closed
            return True
        return bool(poll.poll(_PATIENCE_SECONDS * 1000))

    def _write_batch(self, lines: list[str]) -> None:
        with suppress(OSError, ValueError):  # the stream's reader is gone, or it is closed
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


class LineHandler(logging.Handler):
    """A handler of `logging` that has its lines written by a `LineWriter`."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self.write = writer.put
        """Write a line that is no record."""

    def emit(self, record: logging.LogRecord) -> None:
        """Have the record's line written."""
        try:
            self._writer.put(self.format(record))
        except Exception:  # noqa: BLE001 -- as every handler does
            self.handleError(record)

    def flush(self) -> None:
        """Wait for the stream, as `logging` does at the end of the process."""
        self._writer.flush()
