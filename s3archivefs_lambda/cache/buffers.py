"""Memory that chunks arrive in, used again when nobody reads it any more."""

from __future__ import annotations

from collections import deque

from s3archivefs import Lock, renew_after_fork

__all__ = ["Buffers"]

_TRIED = 8
"""Buffers that are tried before another is made.

Requests in parallel fill them in turn, and the reader leaves those of one request after the other.
"""


class Buffers:
    """Buffers of `size` bytes, which one reader's chunks arrive in. Thread-safe.

    Python fills new memory with zeros, and the system hands it out page by page, while all other
    threads wait: a third of the time that a long download had the interpreter to itself.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: deque[bytearray] = deque()  # the next to be tried comes first
        self._lock = Lock()
        renew_after_fork(self, Buffers._renew)

    def __len__(self) -> int:
        """Return the number of buffers that are known, in use or not."""
        return len(self._known)

    def take(self, size: int) -> memoryview:
        """Return memory for a chunk of `size` bytes, which has whatever it had before.

        It is used again once no view of it is left.
        """
        if size != self._size:  # the last chunk of a device
            return memoryview(bytearray(size))
        with self._lock:
            for _ in range(min(_TRIED, len(self._known))):
                buffer = self._known.popleft()
                self._known.append(buffer)
                if _is_free(buffer):
                    return memoryview(buffer)
            buffer = bytearray(size)
            self._known.append(buffer)
            return memoryview(buffer)

    def limit(self, count: int) -> None:
        """Forget buffers beyond a number; those in use stay with who uses them."""
        with self._lock:
            while len(self._known) > count:
                self._known.popleft()

    def _renew(self) -> None:  # pragma: no cover -- in forked processes, which nothing measures
        self._known.clear()
        self._lock = Lock()


def _is_free(buffer: bytearray) -> bool:
    """Return whether no view of a buffer is left: then it can be cut."""
    try:
        last = buffer.pop()
    except BufferError:
        return False
    buffer.append(last)
    return True
