"""Chunks in memory, bounded in bytes, and the threads that fetch some ahead of their readers."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda import usage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AHEAD_THREADS", "ChunkMemory"]

AHEAD_THREADS = 12
"""Requests ahead of readers that are under way at once; s3transfer has 10, object_store 10."""
# After so long, chunks that were fetched ahead count as forsaken where others need their room.
_FORSAKEN_SECONDS = 5.0


class ChunkMemory:
    """At most `max_bytes` of chunks, the least recently used let go first; threads may share it.

    Chunks that were fetched ahead of their readers stay until they are read. Of them, and of those
    on their way, there are at most `ahead_max_bytes`: what is read ahead is not pushed out by what
    is read further ahead.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self.ahead_max_bytes = max_bytes * 3 // 4
        """Bytes; the rest is for what is read again."""
        self._clock = clock
        self._chunks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._expected: OrderedDict[tuple[str, int], tuple[bytes, float]] = OrderedDict()
        """Those to be read, and since when they are here; the oldest first."""
        self._kept = 0  # bytes of both
        self._ahead = 0  # bytes of those expected, and of those on their way
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # whose threads they are
        self._lock = threading.Lock()

    def get(self, archive_id: str, index: int) -> bytes | None:
        """The chunk, or None."""
        key = archive_id, index
        with self._lock:
            if found := self._expected.pop(key, None):
                self._ahead -= len(found[0])
                self._chunks[key] = found[0]
                return found[0]
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def holds(self, archive_id: str, index: int) -> bool:
        """Whether the chunk is here; no use of it."""
        with self._lock:
            return (archive_id, index) in self._expected or (archive_id, index) in self._chunks

    def expect(self, archive_id: str, index: int) -> None:
        """Keep the chunk, if it is here, until it is read."""
        with self._lock:
            chunk = self._chunks.pop((archive_id, index), None)
            if chunk is not None:
                self._expected[archive_id, index] = chunk, self._clock()
                self._ahead += len(chunk)

    def put(self, archive_id: str, index: int, chunk: bytes | memoryview) -> None:
        """Keep the chunk, if there is room for it at all."""
        size = len(chunk)
        if size > self._max_bytes:
            return
        # As a view it would keep all that it is a part of.
        copy = bytes(chunk)  # no copy, where it is bytes
        key = archive_id, index
        with self._lock:
            if key in self._expected:
                return
            before = self._chunks.pop(key, b"")
            self._chunks[key] = copy
            self._kept += size - len(before)
            while self._kept > self._max_bytes:
                _, oldest = self._chunks.popitem(last=False)
                self._kept -= len(oldest)

    def start(self, size: int, function: Callable[..., None], *arguments: Any) -> bool:  # noqa: ANN401 -- the function's
        """Call `function` in another thread, where what it fetches, `size` bytes, has room; return
        False where that cannot be relied upon. It must not raise.
        """
        with self._lock:
            self._let_forsaken_go(size)
            if self._ahead + size > self.ahead_max_bytes:
                return False
            self._ahead += size
            if self._pool is None or self._process != os.getpid():  # a fork has none of its threads
                self._process = os.getpid()
                self._ahead = size + sum(len(chunk) for chunk, _ in self._expected.values())
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

    def _let_forsaken_go(self, size: int) -> None:
        """Make room for `size` bytes ahead where nobody came for what is expected longest."""
        now = self._clock()
        while self._expected and self._ahead + size > self.ahead_max_bytes:
            key, (chunk, since) = next(iter(self._expected.items()))
            if now - since < _FORSAKEN_SECONDS:
                return
            del self._expected[key]
            self._ahead -= len(chunk)
            self._chunks[key] = chunk
            self._chunks.move_to_end(key, last=False)

    def _run(
        self,
        begun: Future[None],
        size: int,
        function: Callable[..., None],
        *arguments: Any,  # noqa: ANN401 -- likewise
    ) -> None:
        if not begun.set_running_or_notify_cancel():
            return
        try:
            function(*arguments)
        finally:
            with self._lock:
                self._ahead -= size
