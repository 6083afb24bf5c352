"""Chunks in memory, bounded in bytes, and the threads that fetch some ahead of their readers."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda import usage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AHEAD_THREADS", "ChunkMemory"]

AHEAD_THREADS = 8
"""Requests ahead of readers that are under way at once; s3transfer has 10, object_store 10."""


class ChunkMemory:
    """At most `max_bytes` of chunks, the least recently used let go first; threads may share it.

    Besides, at most half as many bytes are being fetched ahead of readers at any time.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._kept = 0
        self._ahead = 0
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0  # whose threads they are
        self._lock = threading.Lock()

    def get(self, archive_id: str, index: int) -> bytes | None:
        """The chunk, or None."""
        with self._lock:
            chunk = self._chunks.get((archive_id, index))
            if chunk is not None:
                self._chunks.move_to_end((archive_id, index))
            return chunk

    def put(self, archive_id: str, index: int, chunk: bytes | memoryview) -> None:
        """Keep the chunk, if there is room for it at all."""
        size = len(chunk)
        if size > self._max_bytes:
            return
        # As a view it would keep all that it is a part of.
        copy = bytes(chunk)  # no copy, where it is bytes
        with self._lock:
            before = self._chunks.pop((archive_id, index), b"")
            self._chunks[archive_id, index] = copy
            self._kept += size - len(before)
            while self._kept > self._max_bytes:
                _, oldest = self._chunks.popitem(last=False)
                self._kept -= len(oldest)

    def start(self, size: int, function: Callable[..., None], *arguments: Any) -> bool:  # noqa: ANN401 -- the function's
        """Call `function` in another thread, where what it fetches, `size` bytes, has room; return
        False where that cannot be relied upon. It must not raise.
        """
        with self._lock:
            if self._ahead + size > self._max_bytes // 2:
                return False
            self._ahead += size
            if self._pool is None or self._process != os.getpid():  # a fork has none of its threads
                self._process, self._ahead = os.getpid(), size
                self._pool = ThreadPoolExecutor(AHEAD_THREADS, "s3archivefs-ahead")
        try:
            self._pool.submit(usage.carried(self._run), size, function, *arguments)
        except RuntimeError:  # no thread can be had: there are too many, or the process ends
            with self._lock:
                self._ahead -= size
            return False
        return True

    def _run(self, size: int, function: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 -- likewise
        try:
            function(*arguments)
        finally:
            with self._lock:
                self._ahead -= size
