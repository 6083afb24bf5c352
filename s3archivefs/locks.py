"""A lock that an interruption leaves as it was.

Python handles signals where a call has returned. In 3.14 that may be between `__enter__` and the
statements of a `with`: Ctrl-C leaves a lock of `threading` locked there, and whoever wants it next
waits for ever (https://github.com/python/cpython/issues/148874; 3.15 is mended). A
`threading.Condition` has that gap in every version, as it makes the calls itself. Let it stand on a
`Lock`, and enter that:

    self._lock = Lock()
    self._changed = threading.Condition(self._lock)

    with self._lock:
        self._changed.notify_all()
"""

from __future__ import annotations

import _thread
import sys

__all__ = ["Lock"]

_ONCE = (True,)


class Lock(_thread.RLock):  # type: ignore[misc]  # final for typeshed alone
    """A lock, reentrant, that a `with` leaves as it was, wherever a signal interrupts it."""

    __slots__ = ()

    if sys.version_info[:2] == (3, 14):

        def __enter__(self) -> bool:
            taken: list[bool] = []
            try:
                # One call locks and notes it: a signal is handled before it, or after.
                taken.extend(map(self.acquire, _ONCE))
            except BaseException:
                if taken:
                    self.release()
                raise
            return True  # where a function of Python's returns, no signal is handled
