"""Chunks in memory, bounded in bytes, and the threads that fetch some ahead of their readers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3archivefs import renew_after_fork
from s3archivefs_lambda import usage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import TypeAlias

    Key: TypeAlias = tuple[str, int]
    Stream: TypeAlias = Hashable

__all__ = ["AHEAD_THREADS", "ChunkMemory"]

AHEAD_THREADS = 12
"""Requests ahead of readers that are under way at once; s3transfer has 10, object_store 10."""
# A reader that has neither read nor announced anything for so long may have gone.
_FORSAKEN_SECONDS = 10.0


@dataclass(slots=True)
class _Expected:
    """Chunks that were fetched ahead of one reader, and when that last gave a sign of life."""

    chunks: dict[Key, bytes]
    seen: float


class ChunkMemory:
    """At most `max_bytes` of chunks, the least recently used let go first; threads may share it.

    Chunks that were fetched ahead of their reader stay until it reads them, or is gone. Of them and
    of those on their way there are at most `ahead_max_bytes`, so that what is read further ahead
    does not push out what is read next.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self.ahead_max_bytes = max_bytes * 3 // 4
        """The rest is for what is read again."""
        self._clock = clock
        self._chunks: OrderedDict[Key, bytes] = OrderedDict()
        """Those that nobody in particular is expected to read."""
        self._streams: OrderedDict[Stream, _Expected] = OrderedDict()
        """The others; first the reader that has given no sign of life for longest."""
        self._stream_of: dict[Key, Stream] = {}
        self._kept = 0  # bytes of all chunks here
        self._ahead = 0  # bytes of those expected, and of those on their way
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        renew_after_fork(self, ChunkMemory._renew)

    def get(self, archive_id: str, index: int) -> bytes | None:
        """The chunk, or None."""
        key = archive_id, index
        with self._lock:
            stream = self._stream_of.pop(key, None)
            if stream is not None:
                chunk = self._streams[stream].chunks.pop(key)
                self._ahead -= len(chunk)
                self._see(stream)
                self._chunks[key] = chunk
                return chunk
            if key in self._chunks:
                self._chunks.move_to_end(key)
            return self._chunks.get(key)

    def holds(self, archive_id: str, index: int) -> bool:
        """Whether the chunk is here; no use of it."""
        with self._lock:
            return (archive_id, index) in self._chunks or (archive_id, index) in self._stream_of

    def drop(self, archive_id: str, index: int) -> None:
        """Let the chunk go, if it is here."""
        key = archive_id, index
        with self._lock:
            if (stream := self._stream_of.pop(key, None)) is not None:
                chunk = self._streams[stream].chunks.pop(key)
                self._ahead -= len(chunk)
            else:
                chunk = self._chunks.pop(key, b"")
            self._kept -= len(chunk)

    def put(self, archive_id: str, index: int, chunk: bytes | memoryview) -> None:
        """Keep the chunk, if there is room for it at all."""
        size = len(chunk)
        if size > self._max_bytes:
            return
        # As a view it would keep all that it is a part of.
        copy = bytes(chunk)  # no copy, where it is bytes
        key = archive_id, index
        with self._lock:
            if key in self._stream_of:
                return
            before = self._chunks.pop(key, b"")
            self._chunks[key] = copy
            self._kept += size - len(before)
            if self._kept > self._max_bytes:
                self._let_forsaken_go()
            while self._kept > self._max_bytes:
                _, oldest = self._chunks.popitem(last=False)
                self._kept -= len(oldest)

    def expect(self, archive_id: str, index: int, stream: Stream) -> int:
        """Keep the chunk, if it is here, until the reader of `stream` reads it; returns its bytes,
        for the function that fetched it to return.
        """
        key = archive_id, index
        with self._lock:
            chunk = self._chunks.pop(key, None)
            if chunk is None:
                return 0
            self._stream_of[key] = stream
            expected = self._streams.setdefault(stream, _Expected({}, self._clock()))
            expected.chunks[key] = chunk
            return len(chunk)

    def start(
        self,
        size: int,
        function: Callable[..., int],
        *arguments: Any,  # noqa: ANN401 -- the function's
        stream: Stream | None = None,
    ) -> bool:
        """Call `function` in another thread, where what it fetches for the reader of `stream`,
        `size` bytes, has room; return False where that cannot be relied upon.

        It must not raise, and returns how many of the bytes are now expected.
        """
        with self._lock:
            if stream is not None:
                self._see(stream)
            if self._ahead + size > self.ahead_max_bytes:
                self._let_forsaken_go()
            if self._ahead + size > self.ahead_max_bytes:
                return False
            self._ahead += size
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AHEAD_THREADS, "s3archivefs-ahead")
        begun: Future[None] = Future()
        try:
            self._pool.submit(usage.carried(self._run), begun, size, function, *arguments)
        except RuntimeError:  # no thread can be had: there are too many, or the process ends
            if begun.cancel():  # else one of those that are there has found it in the queue
                with self._lock:
                    self._ahead -= size
                return False
        return True

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        """Be as it was, without what was on its way; empty, where a thread was amid a change."""
        if self._lock.locked():
            self._chunks.clear()
            self._streams.clear()
            self._stream_of.clear()
        expected = [chunk for each in self._streams.values() for chunk in each.chunks.values()]
        self._ahead = sum(map(len, expected))
        self._kept = self._ahead + sum(map(len, self._chunks.values()))
        self._pool = None
        self._lock = threading.Lock()

    def _see(self, stream: Stream) -> None:
        """Note a sign of life."""
        expected = self._streams.get(stream)
        if expected is None:
            return
        if not expected.chunks:
            del self._streams[stream]
            return
        expected.seen = self._clock()
        self._streams.move_to_end(stream)

    def _let_forsaken_go(self) -> None:
        """Let the chunks be the next to go whose reader seems to be gone."""
        now = self._clock()
        while self._streams:
            stream, expected = next(iter(self._streams.items()))
            if now - expected.seen < _FORSAKEN_SECONDS:
                return
            del self._streams[stream]
            for key, chunk in expected.chunks.items():
                del self._stream_of[key]
                self._ahead -= len(chunk)
                self._chunks[key] = chunk
                self._chunks.move_to_end(key, last=False)

    def _run(
        self,
        begun: Future[None],
        size: int,
        function: Callable[..., int],
        *arguments: Any,  # noqa: ANN401 -- likewise
    ) -> None:
        if not begun.set_running_or_notify_cancel():
            return
        expected = 0
        try:
            expected = function(*arguments)
        finally:
            with self._lock:
                self._ahead -= size - expected
